"""Validators of what is made out of the index, as its revisions tell it apart (RFC 9110 8.8). Knows no resource.

A revision alone says too little: an index that was set back gives out the same ones again (`relais restore`), under
another name. The answer has URLs of ours in it, too, and is put together as this version of the program does it.
"""

import hashlib
from functools import cache
from secrets import token_hex

from relais import __version__
from relais.db.database import Database
from relais.errors import Unavailable
from relais.index import changes


class Validators:
    """Makes the validators of one process; those of all processes of the same index, address and program agree."""

    def __init__(self, db: Database, public_url: str) -> None:
        self._name = cache(lambda: changes.name(db))
        self._own_name = token_hex(8)
        self._public_url = public_url

    def of(self, *what: object) -> str:
        """The unquoted validator of *what* a representation is made of: revision, media type and all else."""
        said = repr((self._index_name(), self._public_url, __version__, *what))
        return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def _index_name(self) -> str:
        """The name of the index; while it has none yet and none can be written, one of this process."""
        try:
            return self._name()
        except Unavailable:
            return self._own_name
