"""The codec of packed series: exact, small, and never believed blindly."""

import os
from base64 import b85decode
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicom import part10
from relais.dicom.attributes import Level
from relais.dicom.frames import FrameTable
from relais.dicom.origin import Channel, Origin
from relais.errors import Unavailable
from relais.index import bundles, columns, pack, packing, packs
from relais.index.rows import kept_of

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
uids = st.one_of(
    st.integers(0, 999).map(lambda number: f"1.2.{number}"),
    st.integers(0, 2**128).map(lambda number: f"1.2.{number}"),
    st.tuples(st.integers(0, 9), st.integers(0, 2**80)).map(lambda parts: f"1.2.{parts[0]}.{parts[1]}"),
    st.sampled_from(["2.25.007", "2.25.008", "1", "1.2", "", "1.2.", "1.2.x"]),
)
tables = st.one_of(
    st.none(),
    st.binary(min_size=1, max_size=9),
    st.integers(0, 5000).map(lambda first: FrameTable(2, first, size=8).pack()),
    st.integers(0, 5000).map(lambda first: FrameTable(2, first, lengths=(7, 9)).pack()),
    st.integers(0, 5000).map(lambda first: FrameTable(1, first, lengths=(7, 9), shares=(2,)).pack()),
)
times = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**42).map(lambda number: number / 1000)
)
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
                "pixel_offset": draw(st.one_of(st.none(), st.integers(0, 5000), integers)),
                "frame_table": draw(tables),
                "stored_at": draw(times),
                "revision": draw(integers),
                "position": draw(integers),
                "attributes": packing.pack(said),
            }
        )
    return found


def _said(row: dict[str, Any]) -> dict[str, Any]:
    """What a pack says of *row*."""
    return row | {name: kept_of(row[name]) for name in ("digest", "head_digest")}


@given(rows=_rows())
def test_every_row_comes_back_as_it_was(rows: list[dict[str, Any]]) -> None:
    found = pack.decode(pack.encode(rows))
    assert len(found) == len(rows)
    for place, row in enumerate(rows):
        assert packing.unpack(found.row(place)["attributes"]) == packing.unpack(row["attributes"])
        assert found.columns["position"][place] == row["position"]
        kept = {name: value for name, value in _said(row).items() if name not in ("attributes", "position")}
        assert {name: value for name, value in found.row(place).items() if name != "attributes"} == kept


ORIGIN = Origin(Channel.DIMSE, "192.0.2.17", "CT_SCAN1", "RELAIS")


def _head(uid: str, received_at: float, origin: Origin = ORIGIN) -> bytes:
    private = part10.private_information(origin, received_at)
    calling, called = origin.calling_ae_title, origin.called_ae_title
    kinds = ("1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2")
    return part10.encode_head(part10.FileMeta(*kinds, uid, calling, calling, called, private))


def _ge(number: int, _: Random) -> str:
    return f"1.2.840.113619.2.334.3.2831868886.775.1361167262.402.{number}"


def _siemens(number: int, _: Random) -> str:
    return f"1.3.12.2.1107.5.2.32.35162.2015050317{233912345607 + number * 28987:014d}"


def _dcmtk(number: int, _: Random) -> str:
    return f"1.2.276.0.7230010.3.1.4.1787205428.166.{1117461927 + number // 9}.{14 + number}"


def _uuid(_: int, rnd: Random) -> str:
    return f"2.25.{rnd.getrandbits(128)}"


def _ct(count: int, style: Any = _ge, is_compressed: bool = False) -> tuple[list[dict[str, Any]], bytes]:
    """A CT series as ingest writes its rows, and the head of one: what counts up, what jitters, and what is random."""
    found, rnd, token = [], Random(1), 0x00C0FFEE
    for number in range(1, count + 1):
        said = {
            "00200013": {"vr": "IS", "Value": [number]},
            "00280010": {"vr": "US", "Value": [512]},
            "00280011": {"vr": "US", "Value": [512]},
            "00280100": {"vr": "US", "Value": [16]},
            "00280101": {"vr": "US", "Value": [12]},
            "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
            "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]},
            "00080022": {"vr": "DA", "Value": ["20240305"]},
            "00080023": {"vr": "DA", "Value": ["20240305"]},
            "00080032": {"vr": "TM", "Value": [f"1012{number % 60:02d}.{rnd.randrange(1000000):06d}"]},
            "00080033": {"vr": "TM", "Value": [f"1012{number % 60:02d}.{rnd.randrange(1000000):06d}"]},
        }
        uid, stored_at = style(number, rnd), 1_763_795_000 + number * 13 / 1000
        head = _head(uid, stored_at)
        offset = len(head) + 1480 + number * 13 % 3 * 2
        lengths = (rnd.randrange(75_000, 130_000) * 2,) if is_compressed else ()
        table = FrameTable(1, offset + 12, 0 if lengths else 524288, lengths)
        row = columns.values(said, Level.IMAGE) | {
            "id": 4_000_000 + number,
            "sop_class_uid": 1,
            "transfer_syntax_uid": 2,
            "origin_fk": 3,
            "sop_instance_uid": uid,
            "key": f"ab/\1/\2/\3.{token + number:08x}.dcm",
            "size_bytes": offset + 12 + (lengths[0] + 8 if lengths else 524288),
            "digest": os.urandom(32),
            "head_digest": sha256(head).digest(),
            "dataset_offset": len(head),
            "pixel_offset": offset,
            "frame_table": table.pack(),
            "stored_at": stored_at,
            "revision": 4_000_000 + number,
            "position": number,
            "attributes": packing.pack(said),
        }
        found.append(row)
    return found, _head(found[-1]["sop_instance_uid"], found[-1]["stored_at"])


def _listed(rows: list[dict[str, Any]]) -> float:
    """About what the index takes to find them by UID."""
    return 14.0 * len(packs.stems([row["sop_instance_uid"] for row in rows]))


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("style", [_ge, _siemens, _dcmtk])
@pytest.mark.parametrize("count", [150, 500])
def test_an_instance_takes_forty_bytes_at_most_with_what_finds_it(count: int, style: Any, is_compressed: bool) -> None:
    rows, head = _ct(count, style, is_compressed)
    assert (len(pack.encode(rows, head)) + _listed(rows)) / count <= 40


@pytest.mark.parametrize(("count", "most"), [(1, 200), (20, 65), (150, 46), (500, 44)])
def test_random_uids_take_sixteen_bytes_more(count: int, most: int) -> None:
    rows, head = _ct(count, _uuid)
    assert len(pack.encode(rows, head)) / count <= most
    assert len(packs.stems([row["sop_instance_uid"] for row in rows])) == count


def test_digests_of_heads_are_told_by_one_head_but_for_odd_ones() -> None:
    rows, head = _ct(20)
    rows[3]["head_digest"] = sha256(_head("1.2.3", 4.0)).digest()
    rows[4]["head_digest"] = sha256(_head(rows[4]["sop_instance_uid"], 4.0, Origin(Channel.WEB))).digest()
    packed = pack.encode(rows, head)
    assert len(packed) < len(pack.encode(rows)) - 14 * pack.DIGEST_BYTES + len(head)
    found = pack.decode(packed).columns["head_digest"]
    assert list(found) == found[:] == [kept_of(row["head_digest"]) for row in rows]


@pytest.mark.parametrize(
    "head", [b"", b"DICM", bytes(200), _head("1.2", 3.0)[:-40], _head("1.2", 3.0, Origin(Channel.WEB))]
)
def test_a_head_of_another_kind_changes_nothing(head: bytes) -> None:
    rows, _ = _ct(20)
    for place, row in enumerate(rows):
        assert pack.decode(pack.encode(rows, head)).at(place).items() <= _said(row).items()


FORM_1 = (
    "0RsR4009930RaI40RaI40RaI40RaI40RaI40RaI40RaI40RcflK|w)5K|w)5K|w)5K|w)5K|w)5K|w)5K|w)5K|uln0s;a80s;a8"
    "0s;a80s;a80s;a80s;a80s;a80s=xpLPA19LPA19LPA19LPA19LPA19LPA19LPA19LP7)t1Ox;G1Ox;G1Ox;G1Ox;G1Ox;G1Ox;G"
    "1Ox;G1O!AxL_|bHL_|bHL_|bHL_|bHL_|bHL_|bHL_|bHL_`1ptHA&OtHJ;PtHc5*wJ-f(9spef01|`^6R@WZ3?&CGr`$qT67gwc"
    "MPhAbd8E~dQ@et%>S6uGDc)_0{lySGH`9LY+m)n_5C8@d4FM7WEB8UnY#=W<K}Lbxs+t!R4gdp6xYBYFZygDQf~THH5R(9Wg0L>I"
    "W)NT$23{Q("
)


def test_packs_of_the_first_form_are_read_for_ever() -> None:
    found = pack.decode(b85decode(FORM_1))
    columns = found.columns
    assert list(columns["sop_instance_uid"]) == ["1.2.3.1", "1.2.3.2", "1.2.3.4"]
    assert list(columns["key"]) == [f"ab/\1/\2/\3.0000abc{number}.dcm" for number in (1, 2, 4)]
    assert list(columns["digest"]) == [bytes([number]) * 16 for number in (1, 2, 4)]
    assert list(columns["head_digest"]) == [bytes([64 + number]) * 16 for number in (1, 2, 4)]
    assert list(columns["size_bytes"]) == [1001, 1002, 1004]
    assert list(columns["pixel_offset"]) == [900, None, 900]
    assert list(columns["frame_table"]) == [b"N\1\2\3", None, b"N\1\2\3"]
    assert list(columns["stored_at"]) == [1.5e9 + number / 7 for number in (1, 2, 4)]
    assert found.attributes(2) == {"00200013": {"vr": "IS", "Value": [4]}, "00280010": {"vr": "US", "Value": [512]}}
    with pytest.raises(Unavailable, match="reindex"):
        pack.decode(b85decode(FORM_1)[:-3])


def test_a_damaged_pack_is_told_and_never_answered_from() -> None:
    packed = pack.encode(*_ct(20))
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
