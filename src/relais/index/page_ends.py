"""Slots of an index that nodes share, for archive.bookmarks. Knows rows, not what they hold."""

from relais.db import statements
from relais.db.database import Database

SQL = statements.load("relais.index.sql", "page_ends.sql")


class IndexSlots:
    """The slots of one index on a server: every node sees at once what is put there, and a crash loses it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def read(self, slot: int) -> bytes:
        """What is in *slot*, empty at first. Raises Unavailable."""
        row = self._db.first(SQL["get"], (slot,))
        return b"" if row is None else bytes(row["content"])

    def write(self, contents: dict[int, bytes]) -> None:
        """Put *contents* in their slots. Raises Unavailable."""
        for slot, content in contents.items():
            self._db.aside(SQL["put"], (slot, content))
