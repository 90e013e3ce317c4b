"""archive.sameness: what is the same instance in another encoding, and what is another one."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import DataElement, Dataset, FileDataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fixtures.builders import a_ct, part10, uid
from relais.archive import Archive, ingest
from relais.dicom.origin import Channel, Origin
from relais.errors import Conflict
from relais.index.rows import Outcome

MODALITY = Origin(Channel.DIMSE, "127.0.0.1", "CT01", "RELAIS")
UIDS = {
    "SOPInstanceUID": uid("i"),
    "SeriesInstanceUID": uid("e"),
    "StudyInstanceUID": uid("s"),
    "FrameOfReferenceUID": uid("f"),
}
VALUES: list[tuple[str, Any, Any]] = [
    ("LO", "hello", "hullo"),
    ("LT", "one\\two ", "one\\too"),
    ("PN", "Doe^Jane", "Doe^Jan"),
    ("UI", "1.2.3", "1.2.30"),
    ("IS", "17", "71"),
    ("US", [5, 1280], [1280, 5]),
    ("SL", -7, 7),
    ("FD", 0.1, -0.1),
    ("AT", 0x00100020, 0x00200010),
    ("OB", b"odd", b"odd\1"),
    ("OW", b"\0\1\2\3", b"\1\0\3\2"),
    ("OB", bytes(5000), bytes(4999) + b"\1"),
    ("OW", b"\0\1" * 5000, b"\1\0" * 5000),
    ("UT", "long " * 1000, "long " * 999),
    ("UN", b"ab", b"ac"),
]


Add = Callable[[Dataset, list[tuple[str, Any]]], None]


def stored(archive: Archive, ds: FileDataset) -> Outcome:
    return ingest.store_part10(archive, io.BytesIO(part10(ds)), MODALITY).outcome


def with_private(ds: Dataset, values: list[tuple[str, Any]]) -> None:
    block = ds.private_block(0x0011, "ACME 1.0", create=True)
    for number, (vr, value) in enumerate(values):
        block.add_new(number, vr, value)


def in_items(ds: Dataset, values: list[tuple[str, Any]]) -> None:
    item = Dataset()
    with_private(item, values)
    ds.RequestAttributesSequence = [Dataset(), item]


def in_private_items(ds: Dataset, values: list[tuple[str, Any]]) -> None:
    inner, item = Dataset(), Dataset()
    with_private(inner, values)
    inner.PatientID = "x"
    with_private(item, [("SQ", Sequence([inner, Dataset()]))])
    with_private(ds, [("SQ", Sequence([item]))])


def a_private(transfer_syntax: str, add: Add, values: list[tuple[str, Any]]) -> FileDataset:
    ds = a_ct(transfer_syntax=transfer_syntax, **UIDS)
    is_turned = transfer_syntax == ExplicitVRBigEndian  # pydicom writes the words of OW as they are
    add(ds, [(vr, turned(value) if vr == "OW" and is_turned else value) for vr, value in values])
    return ds


def turned(words: bytes) -> bytes:
    return b"".join(words[at : at + 2][::-1] for at in range(0, len(words), 2))


@pytest.mark.parametrize("first", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("add", [with_private, in_items, in_private_items])
def test_private_attributes_that_lost_their_vr_on_the_way_are_told_by_their_bytes(
    archive: Archive, first: str, add: Add
) -> None:
    """In Implicit VR nobody says what they are (PS3.5 A.1): as DCMTK and Relais itself send what they keep."""
    values = [(vr, value) for vr, value, _ in VALUES]
    stored(archive, a_private(first, add, values))
    assert stored(archive, a_private(ImplicitVRLittleEndian, add, values)) is Outcome.DUPLICATE
    for number, (vr, _, other) in enumerate(VALUES):
        changed = [*values[:number], (vr, other), *values[number + 1 :]]
        with pytest.raises(Conflict):
            stored(archive, a_private(ImplicitVRLittleEndian, add, changed))
    with pytest.raises(Conflict):
        stored(archive, a_private(ImplicitVRLittleEndian, add, values[:-1]))


def test_it_makes_no_difference_which_of_them_came_first(archive: Archive) -> None:
    stored(archive, a_private(ImplicitVRLittleEndian, in_private_items, [("US", 5)]))
    assert stored(archive, a_private(ExplicitVRLittleEndian, in_private_items, [("US", 5)])) is Outcome.DUPLICATE
    assert stored(archive, a_private(ExplicitVRBigEndian, in_private_items, [("US", 5)])) is Outcome.DUPLICATE
    with pytest.raises(Conflict):
        stored(archive, a_private(ExplicitVRBigEndian, in_private_items, [("US", 1280)]))


def test_sequences_of_undefined_length_say_the_same(archive: Archive) -> None:
    stored(archive, a_private(ExplicitVRLittleEndian, in_private_items, [("LO", "hello")]))
    for transfer_syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        ds = a_private(transfer_syntax, in_private_items, [("LO", "hello")])
        for element in ds.iterall():
            element.is_undefined_length = element.VR == "SQ"
        assert stored(archive, ds) is Outcome.DUPLICATE


@pytest.mark.parametrize(("text", "is_same"), [("plain", True), ("Ä", False), ("~", False)])
def test_the_same_bytes_in_another_character_set_are_another_text(archive: Archive, text: str, is_same: bool) -> None:
    value = text.encode("latin-1")
    for transfer_syntax, charset in ((ExplicitVRLittleEndian, "ISO_IR 100"), (ImplicitVRLittleEndian, "ISO_IR 144")):
        ds = a_ct(transfer_syntax=transfer_syntax, **UIDS, SpecificCharacterSet=charset, PatientName="DOE^JANE")
        with_private(ds, [("LO", "x" * len(value))])
        data = part10(ds).replace(b"x" * len(value) + b" " * (len(value) % 2), value + b" " * (len(value) % 2))
        if transfer_syntax == ExplicitVRLittleEndian or is_same:
            ingest.store_part10(archive, io.BytesIO(data), MODALITY)
        else:
            with pytest.raises(Conflict):
                ingest.store_part10(archive, io.BytesIO(data), MODALITY)


def test_bulk_data_in_items_is_compared(archive: Archive) -> None:
    """As of waveforms: the URI that stands for it is the same whatever it is."""
    for value, transfer_syntax, is_same in (
        (bytes(4000), ExplicitVRLittleEndian, True),
        (bytes(4000), ExplicitVRBigEndian, True),
        (bytes(4000), ImplicitVRLittleEndian, True),
        (bytes(3999) + b"\1", ImplicitVRLittleEndian, False),
        (bytes(3999) + b"\1", ExplicitVRLittleEndian, False),
    ):
        item = Dataset()
        item.add(DataElement(0x54001010, "OW", value))
        ds = a_ct(transfer_syntax=transfer_syntax, **UIDS)
        ds.WaveformSequence = [item]
        if is_same:
            stored(archive, ds)
        else:
            with pytest.raises(Conflict):
                stored(archive, ds)


def test_a_vr_that_is_written_differently_makes_another_instance(archive: Archive) -> None:
    stored(archive, a_private(ExplicitVRLittleEndian, with_private, [("LO", "17")]))
    with pytest.raises(Conflict):
        stored(archive, a_private(ExplicitVRLittleEndian, with_private, [("IS", "17")]))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_real_instances_come_again_in_implicit_vr(archive: Archive, tmp_path: Path, name: str) -> None:
    ds = dcmread(get_testdata_file(name))
    assert isinstance(ds, FileDataset)
    stored(archive, ds)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.save_as(tmp_path / "implicit.dcm", implicit_vr=True, little_endian=True)
    with (tmp_path / "implicit.dcm").open("rb") as stream:
        assert ingest.store_part10(archive, stream, MODALITY).outcome is Outcome.DUPLICATE
