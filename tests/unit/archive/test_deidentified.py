"""Whole instances as those of nobody (PS3.15 E.2): files in, files out, and the secret between them."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from struct import pack

import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence_item
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_sr, part10
from relais.archive import Archive, deidentified
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.errors import NotAcceptable, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceRow


def kept(archive: Archive, ds: FileDataset) -> InstanceRow:
    return kept_as(archive, part10(ds), ds)


def kept_as(archive: Archive, encoded: bytes, ds: FileDataset) -> InstanceRow:
    """The instance *ds*, which comes *encoded* in some way of its own."""
    store_part10(archive, BytesIO(encoded), Origin(Channel.IMPORT))
    row = lookup.instance(archive.db, InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID))
    assert row is not None
    return row


def of_nobody(archive: Archive, ds: FileDataset) -> Dataset:
    row = kept(archive, ds)
    deidentified.check(archive, row)
    made = deidentified.part10(archive, row)
    data = b"".join(made.body.chunks)
    assert len(data) == made.body.length
    assert b"MOREL" not in data
    found = dcmread(BytesIO(data))
    assert found.SOPInstanceUID == made.sop_instance_uid == found.file_meta.MediaStorageSOPInstanceUID
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    return found


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.keyword,
)
def test_pixels_are_the_same_in_whatever_they_came(archive: Archive, syntax: str) -> None:
    found = of_nobody(archive, a_ct(transfer_syntax=syntax))
    assert found.PixelData == a_ct().PixelData
    assert (found.PatientIdentityRemoved, found.Modality) == ("YES", "CT")


def test_large_values_stay_or_go_by_the_profile(archive: Archive) -> None:
    ds = a_ct(ICCProfile=b"p" * 2000)
    ds.add_new(0x60003000, "OW", b"MOREL!" * 500)
    ds.private_block(0x0099, "NORTH", create=True).add_new(1, "OB", b"MOREL!" * 500)
    ds.add_new(0xFFFCFFFC, "OB", b"MOREL!" * 500)  # behind the pixels
    found = of_nobody(archive, ds)
    assert found.ICCProfile == b"p" * 2000
    assert found.PixelData == ds.PixelData
    assert {element.tag.group for element in found} <= {0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0028, 0x7FE0}


@pytest.mark.parametrize("behind", [b"MOREL!", b"MOREL!" * 500], ids=len)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_what_lies_behind_the_last_frame_goes(archive: Archive, syntax: str, behind: bytes) -> None:
    ds = a_ct(transfer_syntax=syntax)
    pixels = ds.PixelData
    ds.PixelData = pixels + behind
    assert len(of_nobody(archive, ds).PixelData) == len(pixels)


def test_what_lies_behind_the_last_bit_goes_and_an_odd_length_is_made_even(archive: Archive) -> None:
    ds = a_ct(rows=3, columns=3)
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelData = 7, bytes(range(9)) + b"MOREL"
    assert of_nobody(archive, ds).PixelData == bytes([*range(9), 0])


def test_pixels_of_a_size_that_nothing_tells_are_refused(archive: Archive) -> None:
    ds = a_ct()
    del ds.Rows
    with pytest.raises(NotAcceptable, match="where its pixels end"):
        deidentified.check(archive, kept(archive, ds))


def test_pixels_beside_pixels_are_refused(archive: Archive) -> None:
    ds = a_ct()
    ds.add_new(0x7FE00008, "OF", b"MOREL!!!" * 500)
    with pytest.raises(NotAcceptable):
        deidentified.check(archive, kept(archive, ds))


@pytest.mark.parametrize("length", [12, 4000], ids=["small", "large"])
@pytest.mark.parametrize(("tag", "vr"), [(0x7FE00010, b"OB"), (0x00282000, b"OB"), (0x00180015, b"UN")])
def test_an_attribute_that_comes_twice_is_refused(archive: Archive, tag: int, vr: bytes, length: int) -> None:
    """Readers of others may take the first one, which nobody has looked at."""
    ds = a_ct(ICCProfile=b"p" * 2000, BodyPartExamined="CHEST")
    encoded, header = part10(ds), pack("<HH", tag >> 16, tag & 0xFFFF)
    place = encoded.index(header + dictionary_VR(tag)[-2:].encode())
    foreign = header + vr + bytes(2) + pack("<I", length) + (b"MOREL!!!" * length)[:length]
    row = kept_as(archive, encoded[:place] + foreign + encoded[place:], ds)
    with pytest.raises(NotAcceptable, match=r"twice|where its pixels end"):
        deidentified.check(archive, row)


@pytest.mark.parametrize("vr", ["OB", "OW", "UT", "LT"])
@pytest.mark.parametrize("times", [1, 500], ids=["small", "large"])
def test_a_sequence_in_another_vr_goes(archive: Archive, vr: str, times: int) -> None:
    item, out, ds = Dataset(), DicomBytesIO(), a_ct()
    item.PatientName, item.PatientComments = "MOREL^Paul", "MOREL" * times
    out.is_implicit_VR, out.is_little_endian = True, True
    write_sequence_item(out, item, ["iso8859"])
    value = out.getvalue()
    ds.add_new(0x00400440, vr, value if vr in ("OB", "OW") else value.decode("latin1"))  # Protocol Context Sequence
    assert 0x00400440 not in of_nobody(archive, ds)


def test_names_in_any_character_set_are_gone(archive: Archive) -> None:
    ds = a_ct(SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎", OtherPatientNames="山田^花子")
    assert "山田".encode() not in part10(of_nobody(archive, ds))


@pytest.mark.parametrize("ds", [a_sr(), a_pdf(), a_multiframe()], ids=["report", "document", "ultrasound"])
def test_what_cannot_be_done_honestly_is_refused(archive: Archive, ds: FileDataset) -> None:
    with pytest.raises(NotAcceptable, match="de-identified"):
        deidentified.check(archive, kept(archive, ds))


def test_the_same_key_is_used_again_and_nobody_else_can_read_it(archive: Archive, tmp_path: Path) -> None:
    keyed = replace(archive, settings=replace(archive.settings, deidentify_key_file=str(tmp_path / "key")))
    ds = a_ct()
    first = of_nobody(keyed, ds).SOPInstanceUID
    deidentified.key_of.cache_clear()
    assert of_nobody(keyed, ds).SOPInstanceUID == first
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("key*")] == ["key"]


def test_whoever_makes_the_key_first_wins(tmp_path: Path) -> None:
    def make(_: int) -> bytes:
        deidentified._make_key(tmp_path / "key")
        return (tmp_path / "key").read_bytes()

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make, range(32)))) == 1


def test_a_key_that_is_too_short_is_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(Unavailable):
        deidentified.key_of(str(tmp_path / "key"))
