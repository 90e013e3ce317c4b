"""Delete: rows first, then bytes. After a crash between the two, archive.maintenance.sweep removes the bytes."""

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive
from relais.db.database import Transaction
from relais.dicom.refs import Ref
from relais.errors import NotFound
from relais.index import composite
from relais.index.rows import InstanceRow


def delete(archive: Archive, principal: Principal, ref: Ref) -> int:
    """Delete what *ref* names and return the number of instances. Raises Forbidden, NotFound if there is nothing."""
    archive.policy.decide(principal, Action.DELETE, ref)

    def work(tx: Transaction) -> tuple[list[InstanceRow], list[str]]:
        rows = composite.remove(tx, ref)
        if rows:
            detail: dict[str, object] = {"instances": len(rows), "level": type(ref).__name__}
            audit.write(tx, audit.Record(principal, Action.DELETE, ref.study_instance_uid, detail))
        return rows, composite.history(tx, rows)

    removed, history = archive.db.write(work)
    if not removed:
        raise NotFound
    for key in [row.key for row in removed] + history:
        archive.store.delete(key)
    return len(removed)
