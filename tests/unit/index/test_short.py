"""Rows leave out of their attributes what their columns say, and give back the very same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.attributes import Level
from relais.index import columns, packing, short

texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["20240305", "101500", "101500.25", "101500.000000", "10", "?", " A "])
)
values = st.one_of(texts, st.integers(-(2**64), 2**64), st.floats(allow_nan=False, allow_infinity=False), st.none())
names = st.builds(lambda text: {"Alphabetic": text}, st.text(min_size=1, max_size=8))
VRS = {Level.STUDY: ("DA", "TM", "LO", "SH"), Level.SERIES: ("DA", "TM", "IS", "LO", "CS")}


@st.composite
def _attributes(draw: st.DrawFn, level: Level) -> dict[str, Any]:
    """Attributes of a study or series, as far as JSON can say them, right and wrong ones."""
    own = {column.key: column.vr for column in columns.value_columns(level)}
    found = {}
    for key, _ in columns.packed_attributes(level):
        if draw(st.booleans()):
            vr = draw(st.sampled_from([own.get(key, "PN"), "UN"]))
            several = draw(st.lists(names if vr == "PN" else values, min_size=1, max_size=2))
            found[key] = {"vr": vr, "Value": several}
    return found


def _row(level: Level, ds: dict[str, Any]) -> dict[str, Any]:
    part = columns.parts(ds)[level]
    said = columns.values(part.attributes, level)
    return said | {"present": part.present, "attributes": short.pack(level, part.attributes, said)}


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES])
@given(data=st.data())
def test_every_attribute_comes_back_as_it_was(level: Level, data: st.DataObject) -> None:
    ds = data.draw(_attributes(level))
    row = _row(level, ds)
    found = short.whole(level, row, packing.unpack(row["attributes"]))
    expected = packing.unpack(packing.pack(columns.parts(ds)[level].attributes))
    assert list(found) == sorted(found)
    assert repr(found) == repr(expected)


def test_what_devices_mostly_write_takes_no_bytes() -> None:
    ds = {
        "00080021": {"vr": "DA", "Value": ["20240305"]},
        "00080031": {"vr": "TM", "Value": ["101500.250000"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "0008103E": {"vr": "LO", "Value": ["Thorax 1.0 B30f"]},
        "00200011": {"vr": "IS", "Value": [3]},
        "00400245": {"vr": "TM", "Value": ["101500"]},
    }
    assert _row(Level.SERIES, ds)["attributes"] == b""
    assert short.whole(Level.SERIES, _row(Level.SERIES, ds), {}) == ds


def test_rows_that_leave_out_nothing_are_read_as_well() -> None:
    ds = {"00080060": {"vr": "CS", "Value": ["CT"]}, "00181030": {"vr": "LO", "Value": ["Routine"]}}
    row = _row(Level.SERIES, ds) | {"attributes": packing.pack(ds)}
    assert short.whole(Level.SERIES, row, packing.unpack(row["attributes"])) == ds
