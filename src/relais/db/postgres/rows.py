"""Rows and values between psycopg and the rooms above: what they write comes back as it was. Knows types, no tables."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from psycopg import Cursor as Raw
from psycopg import adapters
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.types.numeric import FloatDumper, Int8Dumper
from psycopg.types.string import StrDumperUnknown

MAX_INTEGER = 2**63


class Row(tuple[Any, ...]):
    """A row: its values by name and by place."""

    __slots__ = ()
    places: ClassVar[dict[str, int]] = {}

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.places[key] if type(key) is str else key)

    def keys(self) -> list[str]:
        """The names, in order."""
        return list(self.places)


@lru_cache(maxsize=1024)
def _kind(names: tuple[str, ...]) -> type[Row]:
    """The rows of a statement that finds columns of these names; of two that are alike the first is meant."""
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    return type("Row", (Row,), {"places": {name: places[name] for name in dict.fromkeys(names)}, "__slots__": ()})


def rows(cursor: "Raw[Any]") -> Callable[[Sequence[Any]], Row]:
    """psycopg's row factory."""
    result = cursor.pgresult
    names = [result.fname(place) or b"" for place in range(result.nfields)] if result is not None else []
    return _kind(tuple(name.decode() for name in names))


class Nothing:
    """What a statement finds that PostgreSQL need not be told."""

    rowcount = 0

    def fetchone(self) -> None:
        """No row."""

    def fetchall(self) -> list[Any]:
        """No rows."""
        return []

    def __iter__(self) -> Any:
        return iter(())


class _Text(StrDumperUnknown):
    """Text without NUL, which PostgreSQL cannot hold."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class _Float(FloatDumper):
    """All digits of a float, whether they go into a numeric column or another."""

    oid = 0


class _Numeric(Loader):
    """A number as an int where it is whole and fits 64 bits, as SQLite has it."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        if b"." in text or b"N" in text:
            return float(text)
        whole = int(text)
        return whole if -MAX_INTEGER <= whole < MAX_INTEGER else float(text)


def adapted() -> AdaptersMap:
    """How values go in and come out."""
    found = AdaptersMap(adapters)
    found.register_dumper(str, _Text)
    found.register_dumper(float, _Float)
    found.register_dumper(int, Int8Dumper)  # one type for all, so that a prepared statement fits
    found.register_loader("numeric", _Numeric)
    return found
