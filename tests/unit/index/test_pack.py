"""The codec of packed series: exact, small, and never believed blindly."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.attributes import Level
from relais.errors import Unavailable
from relais.index import bundles, columns, pack, packing

LIMIT = 2**62
integers = st.integers(-LIMIT, LIMIT)
texts = st.text(max_size=12)
elements = st.one_of(
    st.none(),
    st.builds(lambda value: {"vr": "IS", "Value": [value]}, integers),
    st.builds(lambda value: {"vr": "LO", "Value": [value]}, texts),
    st.builds(lambda values: {"vr": "CS", "Value": values}, st.lists(st.one_of(texts, st.none()), max_size=3)),
    st.just({"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["121111"]}}]}),
)
keys = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda token: f"ab/\1/\2/\3.{token:08x}.dcm"),
    st.sampled_from(["ab/\1/\2/\3.dcm", "plain", "cd/\1/\2/\3.0BADCAFE.dcm"]),
)
uids = st.one_of(st.integers(0, 999).map(lambda number: f"1.2.{number}"), st.sampled_from(["2.25.007", "1", "1.2", ""]))
KEPT = ("00200013", "00280010", "00080008", "0040A043", "00080033")


@st.composite
def _rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of the table of instances, whatever is in them."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        said = {tag: element for tag in KEPT if (element := draw(elements)) is not None}
        numbers = {
            name: draw(integers) for name in ("id", "sop_class_uid", "transfer_syntax_uid", "origin_fk", "size_bytes")
        }
        found.append(
            numbers
            | columns.values(said, Level.IMAGE)
            | {
                "sop_instance_uid": draw(uids),
                "key": draw(keys),
                "digest": draw(st.binary(min_size=32, max_size=32)),
                "head_digest": draw(st.binary(min_size=32, max_size=32)),
                "dataset_offset": draw(integers),
                "pixel_offset": draw(st.one_of(st.none(), integers)),
                "frame_table": draw(st.one_of(st.none(), st.binary(min_size=1, max_size=9))),
                "stored_at": draw(st.floats(allow_nan=False, allow_infinity=False)),
                "revision": draw(integers),
                "position": draw(integers),
                "attributes": packing.pack(said),
            }
        )
    return found


@given(rows=_rows())
def test_every_row_comes_back_as_it_was(rows: list[dict[str, Any]]) -> None:
    found = pack.decode(pack.encode(rows))
    assert len(found) == len(rows)
    for place, row in enumerate(rows):
        assert packing.unpack(found.row(place)["attributes"]) == packing.unpack(row["attributes"])
        assert found.columns["position"][place] == row["position"]
        kept = {name: value for name, value in row.items() if name not in ("attributes", "position")}
        assert {name: value for name, value in found.row(place).items() if name != "attributes"} == kept


def _ct(count: int) -> list[dict[str, Any]]:
    """A CT series as it comes: what counts up, what jitters, and what is random."""
    found = []
    for number in range(1, count + 1):
        said = {
            "00200013": {"vr": "IS", "Value": [number]},
            "00280010": {"vr": "US", "Value": [512]},
            "00280011": {"vr": "US", "Value": [512]},
            "00280100": {"vr": "US", "Value": [16]},
            "00280101": {"vr": "US", "Value": [12]},
            "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
            "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
            "00080023": {"vr": "DA", "Value": ["20240305"]},
            "00080033": {"vr": "TM", "Value": [f"1012{number % 60:02d}.{number * 7919 % 1000000:06d}"]},
        }
        offset = 1100 + number * 13 % 3 * 2
        row = columns.values(said, Level.IMAGE) | {
            "id": 4_000_000 + number,
            "sop_class_uid": 1,
            "transfer_syntax_uid": 2,
            "origin_fk": 3,
            "sop_instance_uid": f"1.2.840.113619.2.334.3.2831868886.775.1361167262.402.{number}",
            "key": f"ab/\1/\2/\3.{os.urandom(4).hex()}.dcm",
            "size_bytes": 524288 + offset,
            "digest": os.urandom(32),
            "head_digest": os.urandom(32),
            "dataset_offset": 700,
            "pixel_offset": offset,
            "frame_table": b"N\1" + offset.to_bytes(2, "little") + b"\x80\x80\x20",
            "stored_at": 1_700_000_000.123456 + number * 0.0123457,
            "revision": 4_000_000 + number,
            "position": number,
            "attributes": packing.pack(said),
        }
        found.append(row)
    return found


@pytest.mark.parametrize(("count", "most"), [(20, 40), (150, 16), (500, 12)])
def test_an_instance_takes_few_bytes_besides_what_is_random(count: int, most: int) -> None:
    random_bytes = 2 * pack.DIGEST_BYTES + pack.TOKEN_BYTES
    assert len(pack.encode(_ct(count))) / count - random_bytes <= most


def test_a_damaged_pack_is_told_and_never_answered_from() -> None:
    packed = pack.encode(_ct(3))
    for damaged in (b"", packed[:3], packed[:-5], b"\xff" + packed[1:], packed[:1] + b"\7" + packed[2:], packed[:250]):
        with pytest.raises(Unavailable, match="reindex"):
            pack.decode(damaged)


def test_documents_of_a_series_come_back_by_id_and_revision() -> None:
    bundle, kept = bundles.Bundle(), {(number, 7): b'{"00200013":%d}' % number for number in range(200)}
    for version, document in kept.items():
        bundle.add(version, document)
    packed = bundle.packed()
    assert len(packed) < sum(map(len, kept.values())) / 4
    assert {(number, 7): document for number, document in bundles.documents(packed, kept)} == kept
    assert list(bundles.documents(packed, [(70, 7), (71, 8), (4711, 7)])) == [(70, kept[70, 7])]
    assert list(bundles.documents(bundles.Bundle().packed(), [(1, 1)])) == []
    with pytest.raises(Unavailable, match="reindex"):
        list(bundles.documents(packed[:-3], kept))


def test_large_documents_end_their_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "CHUNK_BYTES", 100)
    bundle = bundles.Bundle()
    for number in range(5):
        bundle.add((number, number), b'"%s"' % (b"x" * 60))
    assert len(dict(bundles.documents(bundle.packed(), [(number, number) for number in range(5)]))) == 5
