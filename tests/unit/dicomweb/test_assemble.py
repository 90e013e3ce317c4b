"""Instances out of metadata and bulk data (PS3.18 10.5.1.4), judged by pydicom."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from fixtures.builders import a_code, a_ct, a_multiframe, a_pdf, a_sr
from fixtures.storing import described
from relais.dicom.part10 import FileMeta, encode_head
from relais.dicomweb import assemble
from relais.dicomweb.assemble import Assembled, BulkPart, assembled
from relais.errors import InvalidDataSet, NodeError, TooLarge, UnsupportedMedia, UnsupportedTransferSyntax

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
BASELINE = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11" + b"frame" * 9

Bulk = tuple[str, str, bytes]  # Content-Type, place and content


def part(kind: str, content: bytes) -> BulkPart:
    essence, _, syntax = kind.partition("; transfer-syntax=")

    def read() -> Iterator[bytes]:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    return BulkPart(essence, syntax, len(content), read)


def put_together(json: Mapping[str, Any], bulk: Sequence[Bulk] = ()) -> Assembled:
    def find(uri: str) -> list[BulkPart]:
        return [part(kind, content) for kind, place, content in bulk if place == uri]

    return assembled(
        dict(json), find, lambda syntax, start: {"00204000": {"vr": "LT", "Value": [f"{syntax} {start!r}"]}}
    )


def read(made: Assembled) -> Dataset:
    head = encode_head(FileMeta(made.transfer_syntax_uid, "1.2", "1.3"))
    return dcmread(io.BytesIO(head + b"".join(made.chunks)))


def values_of(ds: Dataset) -> dict[int, tuple[str, Any]]:
    return {elem.tag: (elem.VR, elem.value) for elem in ds}


def pixels(kind: str, *contents: bytes, frames: int | None = None, **more: Any) -> Assembled:
    """An instance with these parts of Pixel Data."""
    json: dict[str, Any] = {"7FE00010": {"vr": "OW", "BulkDataURI": "p"}, **more}
    if frames:
        json["00280008"] = {"vr": "IS", "Value": [frames]}
    return put_together(json, [(kind, "p", content) for content in contents])


@pytest.mark.parametrize("make", [a_ct, a_sr, a_pdf, a_multiframe])
def test_an_instance_is_the_same_by_either_way(make: Any) -> None:
    """Trap 16."""
    ds = make()
    apart = described(ds)
    made = put_together(apart.metadata, apart.bulk)
    assert made.transfer_syntax_uid == EXPLICIT
    assert not made.is_coerced
    assert values_of(read(made)) == values_of(ds)


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "reportsi.dcm", "examples_palette.dcm"])
def test_a_real_instance_is_the_same_by_either_way(name: str) -> None:
    """Trap 16."""
    ds = dcmread(get_testdata_file(name), force=True)  # type: ignore[arg-type]
    for elem in [elem for elem in ds if elem.tag.element == 0 or elem.tag == 0xFFFCFFFC]:
        del ds[elem.tag]
    apart = described(ds)
    assert values_of(read(put_together(apart.metadata, apart.bulk))) == values_of(ds)


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("image/jls", JPEG_LS),
        ("image/x-jls", JPEG_LS),
        ("image/jls; transfer-syntax=1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.81"),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.91"),
        ("image/dicom-rle", "1.2.840.10008.1.2.5"),
        ("image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.202"),
        ("image/jpeg", JPEG_BASELINE),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.90"),
    ],
)
def test_compressed_frames_become_one_fragment_each(kind: str, syntax: str) -> None:
    """PS3.18 tables 8.7.3-2 to 8.7.3-4, PS3.5 A.4."""
    frames = [BASELINE, BASELINE + b"longer", BASELINE + b"odd"]
    made = pixels(kind, *frames, frames=3)
    assert made.transfer_syntax_uid == syntax
    ds = read(made)
    assert ds["PixelData"].VR == "OB"
    assert ds["PixelData"].is_undefined_length
    padded = [frame + bytes(len(frame) % 2) for frame in frames]
    assert list(generate_frames(ds.PixelData, number_of_frames=3)) == padded


@pytest.mark.parametrize(
    ("marker", "syntax"), [(0xC0, JPEG_BASELINE), (0xC1, "1.2.840.10008.1.2.4.51"), (0xC3, JPEG_LOSSLESS)]
)
def test_a_jpeg_says_itself_what_it_is(marker: int, syntax: str) -> None:
    assert pixels("image/jpeg", BASELINE.replace(b"\xc0", bytes([marker]))).transfer_syntax_uid == syntax


@pytest.mark.parametrize(
    "jpeg", [b"", b"\xff\xd8", BASELINE.replace(b"\xc0", b"\xc2"), b"no JPEG at all", b"\xff\xd8" * 9]
)
def test_a_jpeg_that_has_no_transfer_syntax_is_refused(jpeg: bytes) -> None:
    with pytest.raises(UnsupportedTransferSyntax):
        pixels("image/jpeg", jpeg)


@pytest.mark.parametrize("tag", ["00020010", "00083002"])
def test_metadata_may_say_the_transfer_syntax_of_its_frames(tag: str) -> None:
    said = {tag: {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.81"]}}
    assert pixels("image/jls", BASELINE, **said).transfer_syntax_uid == "1.2.840.10008.1.2.4.81"
    assert pixels("image/jp2", BASELINE, **said).transfer_syntax_uid == "1.2.840.10008.1.2.4.90"
    plain = pixels("application/octet-stream", BASELINE, **said).transfer_syntax_uid
    assert plain == ("1.2.840.10008.1.2.4.81" if tag == "00020010" else EXPLICIT)


def test_frames_describe_themselves_where_the_metadata_does_not() -> None:
    """PS3.18 10.5.1.4"""
    assert read(pixels("image/jls", BASELINE)).ImageComments == f"{JPEG_LS} {BASELINE!r}"
    assert "ImageComments" not in read(pixels("image/jls", BASELINE, **{"00280010": {"vr": "US", "Value": [1]}}))
    assert "ImageComments" not in read(pixels("application/octet-stream", BASELINE))


def test_a_video_is_one_part_of_many_frames() -> None:
    made = pixels("video/mp4", b"a stream", frames=200)
    assert made.transfer_syntax_uid == "1.2.840.10008.1.2.4.102"
    assert read(made).PixelData.count(b"a stream") == 1
    with pytest.raises(InvalidDataSet, match="1 parts came in 2"):
        pixels("video/mp4", b"a stream", b"another", frames=200)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_frame_must_have_come(count: int) -> None:
    with pytest.raises(InvalidDataSet, match=f"3 parts came in {count}"):
        pixels("image/jls", *[BASELINE] * count, frames=3)


@pytest.mark.parametrize(
    ("kinds", "error"),
    [
        (["image/png"], UnsupportedMedia),
        (["text/plain"], UnsupportedMedia),
        (["image/jls; transfer-syntax=1.2.840.10008.1.2.4.90"], UnsupportedTransferSyntax),
        (["image/jls; transfer-syntax=*"], UnsupportedTransferSyntax),
        (["image/jls", "image/jp2"], InvalidDataSet),
        (["image/jls", "application/octet-stream"], InvalidDataSet),
    ],
)
def test_frames_of_another_kind_are_refused(kinds: list[str], error: type[NodeError]) -> None:
    json = {"7FE00010": {"vr": "OB", "BulkDataURI": "p"}, "00280008": {"vr": "IS", "Value": [len(kinds)]}}
    with pytest.raises(error):
        put_together(json, [(kind, "p", BASELINE) for kind in kinds])


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", EXPLICIT])
def test_uncompressed_bulk_data_is_little_endian_whatever_is_said(syntax: str) -> None:
    """PS3.18 8.7.3.5.2"""
    made = pixels(f"application/octet-stream; transfer-syntax={syntax}", b"\1\2\3\4", b"\5\6")
    assert made.transfer_syntax_uid == EXPLICIT
    assert read(made).PixelData == b"\1\2\3\4\5\6"


def test_values_of_odd_length_are_padded_and_stand_in_the_order_of_tags() -> None:
    bulk = [("application/pdf", "a", b"%PDF-"), ("application/octet-stream", "b", b"x" * 3)]
    json = {
        "00420011": {"vr": "OB", "BulkDataURI": "a"},
        "00287FE0": {"vr": "UR", "Value": ["http://x"]},
        "00091001": {"vr": "UN", "BulkDataURI": "b"},
        "00090010": {"vr": "LO", "Value": ["ACME"]},
        "00420012": {"vr": "LO", "Value": ["application/pdf"]},
    }
    ds = read(put_together(json, bulk))
    assert [elem.tag for elem in ds] == sorted(int(key, 16) for key in json)
    assert ds[0x00420011].value == b"%PDF-\0"
    assert ds[0x00091001].value == b"xxx\0"


def test_bulk_data_inside_items_and_of_texts_is_taken_too() -> None:
    json = {
        "00081030": {"vr": "LO", "BulkDataURI": "t"},
        "54000100": {"vr": "SQ", "Value": [{"54001010": {"vr": "OW", "BulkDataURI": "w"}}]},
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    }
    ds = read(put_together(json, [("text/plain", "t", "é".encode()), ("application/octet-stream", "w", b"1234")]))
    assert ds.StudyDescription == "é"
    assert ds.WaveformSequence[0].WaveformData == b"1234"


def test_what_comes_into_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardening.md 3."""
    monkeypatch.setattr(assemble, "MAX_FETCHED_BYTES", 10)
    json = {"54000100": {"vr": "SQ", "Value": [{"54001010": {"vr": "OW", "BulkDataURI": "w"}}] * 3}}
    with pytest.raises(TooLarge, match="at most 10 bytes"):
        put_together(json, [("application/octet-stream", "w", b"1234")])


def test_the_values_of_texts_that_come_into_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardening.md 3: a number of two bytes takes hundreds."""
    monkeypatch.setattr(assemble, "MAX_FETCHED_VALUES", 100)
    json = {"00200032": {"vr": "DS", "BulkDataURI": "t"}}
    put_together(json, [("text/plain", "t", b"1\\" * 100 + b"1")])
    with pytest.raises(TooLarge, match="at most 100 values"):
        put_together(json, [("text/plain", "t", b"1\\" * 101 + b"1")])


def test_a_value_longer_than_its_length_can_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "MAX_VALUE_BYTES", 10)
    for kind in ("application/octet-stream", "image/jls"):
        with pytest.raises(TooLarge):
            pixels(kind, b"x" * 11)


def test_a_character_set_that_cannot_hold_the_texts_is_told() -> None:
    json = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 100"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "山"}]},
    }
    made = put_together(json)
    assert made.is_coerced
    ds = read(made)
    assert ds.PatientName == "山"
    (original,) = ds.OriginalAttributesSequence
    assert original.ModifiedAttributesSequence[0].SpecificCharacterSet == "ISO_IR 100"
    assert original.ReasonForTheAttributeModification == "COERCE"
    assert original.SourceOfPreviousValues == ""
    assert original.AttributeModificationDateTime.endswith("+0000")


@pytest.mark.parametrize(
    ("said", "repeated"),
    [
        (["NONSENSE"], ""),
        (["ü", "ISO_IR 100"], "ISO_IR 100"),
        (["", "ISO 2022 IR 58"], ["", "ISO 2022 IR 58"]),
        ([None, "ISO 2022 IR 87"], ["", "ISO 2022 IR 87"]),
        (["ISO_IR 13", None, "ISO 2022 IR 87"], ["ISO_IR 13", "", "ISO 2022 IR 87"]),
        ([None, "NONSENSE"], ""),
    ],
)
def test_what_was_no_character_set_is_not_repeated(said: list[str | None], repeated: str | list[str]) -> None:
    before = {"04000550": {"vr": "SQ", "Value": [{"00100020": {"vr": "LO", "Value": ["1"]}}]}}
    json: Any = {
        "00080005": {"vr": "CS", "Value": said},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "山ü"}]},
        "04000561": {"vr": "SQ", "Value": [before]},
    }
    former, added = read(put_together(json)).OriginalAttributesSequence
    assert former.ModifiedAttributesSequence[0].PatientID == "1"
    assert (added.ModifiedAttributesSequence[0].SpecificCharacterSet or "") == repeated


@pytest.mark.parametrize("said", [["", "ISO 2022 IR 87"], [None, "ISO 2022 IR 87"], [""], [None], []])
def test_a_character_set_with_an_empty_value_that_may_stay_is_no_coercion(said: list[str | None]) -> None:
    json: Any = {"00080005": {"vr": "CS", "Value": said}, "00100020": {"vr": "LO", "Value": ["1"]}}
    made = put_together(json)
    assert not made.is_coerced
    assert "OriginalAttributesSequence" not in read(made)


def test_what_says_another_encoding_goes() -> None:
    tables: Any = {key: {"vr": "OV", "InlineBinary": "AAAAAAAAAAA="} for key in ("7FE00001", "7FE00002")}
    gone: Any = {"00020010": 5, "00080000": {"vr": "UL", "Value": [1]}, **tables}
    found = read(pixels("image/jls", BASELINE, **gone, **{"00280010": {"vr": "US", "Value": [1]}}))
    assert [elem.tag for elem in found] == [0x00280010, 0x7FE00010]
    assert len(read(pixels("application/octet-stream", BASELINE, **gone))) == 3


@pytest.mark.parametrize(
    "json",
    [
        {"7FE00010": {"vr": "OW", "BulkDataURI": "elsewhere"}},
        {"7FE00010": {"vr": "OW", "BulkDataURI": 5}},
        {"7FE00010": {"vr": "OW", "BulkDataURI": "p", "InlineBinary": ""}},
        {"00100020": {"vr": "XX"}},
        {"00100020": 5},
        {"not a tag": {"vr": "LO"}},
        {"00080005": 5},
        {"00080018": {"vr": "UI", "Value": ["山"]}},
        {"00280008": {"vr": "IS", "Value": 5}},
        {"54000100": {"vr": "SQ", "Value": [{"54001010": {"vr": "OW", "BulkDataURI": "http://elsewhere/"}}]}},
    ],
)
def test_metadata_that_cannot_be_followed_is_refused(json: Any) -> None:
    with pytest.raises(InvalidDataSet):
        put_together({"7FE00010": {"vr": "OW", "BulkDataURI": "p"}, **json}, [("image/jls", "p", BASELINE)])


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "00100010"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["00020010", "00080005", "00280008", "00100010", "7FE00010", "x"]), JSON))
@example({"7FE00010": {"vr": [], "BulkDataURI": "0"}})
def test_no_metadata_does_anything_but_be_put_together_or_refused(json: Any) -> None:
    """hardening.md 10."""
    try:
        b"".join(put_together(json, [("image/jls", "", BASELINE)]).chunks)
    except NodeError:
        return


def test_sequences_keep_their_items() -> None:
    ds = a_sr(ProcedureCodeSequence=[a_code("1", "L", "Thorax"), a_code("2", "L", "Kopf")])
    assert read(put_together(described(ds).metadata)).ProcedureCodeSequence == ds.ProcedureCodeSequence
