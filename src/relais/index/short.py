"""Attributes of a row in few bytes: what its columns say already is left out, and put back when it is read.

Knows columns and attributes, no statements. *present* says which attributes a row has: one that is neither packed nor
here in a column is not there at all.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from relais.db.database import Row
from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.json_values import Element
from relais.dicom.values import NUMBER_VRS
from relais.index import columns, packing

_MIDNIGHT = "000000"  # and no fraction
_LARGE = 2**53  # integers below it mean the same everywhere
_Told = Callable[[Any], Element]
_Columns = Row | Mapping[str, Any]


def pack(level: Level, ds: JsonDataset, row: _Columns) -> bytes:
    """What of *ds*, all that a row of *level* says, does not follow from its columns; b"" if all does."""
    held = ((column, row[column.name]) for column in columns.value_columns(level))
    told = {column.key: _element(column, value) for column, value in held if _tells(value)}
    left = {key: element for key, element in ds.items() if repr(told.get(key)) != repr(element)}  # 1.0 is not 1 here
    return packing.pack(left) if left else b""


def _tells(value: Any) -> bool:
    """Whether a column's value can be the whole of what an attribute says."""
    if isinstance(value, str):
        return bool(value) and not value.startswith(columns.UNPARSED) and "\0" not in value
    return isinstance(value, int) and -_LARGE < value < _LARGE


def whole(level: Level, row: _Columns, packed: JsonDataset) -> JsonDataset:
    """All attributes of a *row*, whose columns it has, by tag; *packed* are those that `pack` left."""
    present, found = row["present"], {}
    for key, bit, name, vr, told in _plan(level):
        if present & bit:
            if key in packed:
                found[key] = packed[key]
            else:  # written out for texts, the most of all: every answer comes by here
                found[key] = told(row[name]) if told else {"vr": vr, "Value": [row[name]]}
    return found


@cache
def _plan(level: Level) -> tuple[tuple[str, int, str, str, _Told | None], ...]:
    """Of each attribute of *level*: tag, bit, column, VR, and what its value tells if that is no text."""
    held = {column.key: (column.name, column.vr, _TOLD.get(column.vr)) for column in columns.value_columns(level)}
    return tuple((key, bit, *held.get(key, ("", "", None))) for key, bit in sorted(columns.packed_attributes(level)))


def _time(value: str) -> Element:
    fraction = "" if value.endswith(_MIDNIGHT) else f".{value[6:]}"
    return {"vr": "TM", "Value": [value[:6] + fraction]}


def _number(vr: str) -> _Told:
    return lambda value: {"vr": vr, "Value": [int(value)]}  # PostgreSQL's numbers come as decimal ones


_TOLD: dict[str, _Told] = {"TM": _time} | {vr: _number(vr) for vr in NUMBER_VRS}


def _element(column: columns.Column, value: Any) -> Element:
    """What the value of a column tells."""
    told = _TOLD.get(column.vr)
    return told(value) if told else {"vr": column.vr, "Value": [value]}
