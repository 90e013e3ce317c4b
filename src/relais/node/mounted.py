"""Whether the storage is the one that the index speaks of, as far as can be told without reading it all.

A disk that was not mounted when the node was started is an empty folder, which takes what comes in; mounted later, it
would hide what was acknowledged meanwhile.
"""

from relais.db.database import Database
from relais.errors import Unavailable
from relais.index import statistics
from relais.storage.base import Folder, ObjectStore

NOTHING_THERE = (
    "The index names {} instances, and the folder of the objects holds none: is it mounted, and the right one? Where "
    "they are really lost, restore a backup, or move the index away."
)


def require(db: Database, store: ObjectStore) -> None:
    """Raise Unavailable if *store* is an empty folder and the index names objects. Away if it is gone."""
    if not isinstance(store, Folder) or next(store.iterate(), None) is not None:
        return
    if counted := statistics.statistics(db).instances:
        raise Unavailable(NOTHING_THERE.format(counted))
