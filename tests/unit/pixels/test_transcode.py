"""Whole files become native, and say so (PS3.5 8.2, A.4)."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import encapsulate, encapsulate_extended

from fixtures.builders import a_ct, a_multiframe, a_pdf, part10
from fixtures.images import JPEG, an_image, compressed, encode, texture
from relais.dicom import uids
from relais.dicom.origin import Channel, Origin
from relais.dicom.part10 import FileMeta, encode_head, origin_of, parse_whole_head, private_information
from relais.errors import InvalidDataSet, NodeError, NotAcceptable, TooLarge
from relais.pixels import pixel_writers
from relais.pixels.settings import PixelSettings
from relais.pixels.transcode import transcode

EXPLICIT, IMPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN

Transcoded = Callable[..., FileDataset]


@pytest.fixture
def transcoded(tmp_path: Path) -> Transcoded:
    """Transcode a Data Set, or the bytes of a file."""

    def run(source: Dataset | bytes, target: str = EXPLICIT, **settings: Any) -> FileDataset:
        path, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
        path.write_bytes(source if isinstance(source, bytes) else part10(source))
        transcode(path, target, out, PixelSettings(**settings), lambda: None)
        return dcmread(out)

    return run


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
def test_a_compressed_image_becomes_native_and_nothing_else_changes(transcoded: Transcoded, target: str) -> None:
    pixels = texture(12)
    native = an_image(pixels, BitsStored=12)
    found = transcoded(
        compressed(an_image(pixels, BitsStored=12), JPEG + "90", encode(pixels, JPEG + "90", 12)), target
    )
    assert found.file_meta.TransferSyntaxUID == target
    assert found.PixelData == pixels.tobytes()
    assert {one.keyword for one in found} == {one.keyword for one in native}
    assert (found.Rows, found.BitsStored, found.PhotometricInterpretation) == (pixels.shape[0], 12, "MONOCHROME2")


def test_file_meta_information_is_written_anew_with_its_origin(tmp_path: Path) -> None:
    """PS3.10 7.1"""
    ds = part10(a_ct(transfer_syntax="1.2.840.10008.1.2.5"))
    origin = Origin(Channel.DIMSE, address="10.0.0.1", calling_ae_title="CT1", called_ae_title="RELAIS")
    meta = FileMeta(
        transfer_syntax_uid=uids.RLE_LOSSLESS,
        sop_class_uid="1.2.3",
        sop_instance_uid="1.2.3.4",
        sending_ae_title="CT1",
        receiving_ae_title="RELAIS",
        private=private_information(origin),
    )
    path, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    path.write_bytes(encode_head(meta) + ds[parse_whole_head(ds)[1] :])
    transcode(path, IMPLICIT, out, PixelSettings(), lambda: None)
    found, _ = parse_whole_head(out.read_bytes())
    assert (found.transfer_syntax_uid, found.sop_instance_uid) == (IMPLICIT, "1.2.3.4")
    assert origin_of(found) == origin


def test_all_frames_come_in_their_order_and_each_is_reported(tmp_path: Path) -> None:
    path, out, reported = tmp_path / "in.dcm", tmp_path / "out.dcm", []
    path.write_bytes(part10(a_multiframe(frames=5, transfer_syntax=uids.RLE_LOSSLESS)))
    transcode(path, EXPLICIT, out, PixelSettings(), lambda: reported.append(1))
    assert dcmread(out).pixel_array[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert len(reported) == 5


@pytest.mark.parametrize("tables", ["basic", "extended", "none"])
def test_frames_of_several_fragments_are_put_together(transcoded: Transcoded, tables: str) -> None:
    """PS3.5 A.4"""
    frames = np.stack([texture(8), texture(8)[::-1]])
    bitstreams = [encode(frame, JPEG + "80", 8) for frame in frames]
    ds = compressed(an_image(frames, frames=True), JPEG + "80", *bitstreams)
    if tables == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(bitstreams)
    else:
        ds.PixelData = encapsulate(bitstreams, fragments_per_frame=3, has_bot=tables == "basic")
    ds["PixelData"].is_undefined_length = True
    found = transcoded(ds)
    assert found.PixelData == frames.tobytes()
    assert "ExtendedOffsetTable" not in found
    assert "ExtendedOffsetTableLengths" not in found


def test_frames_that_are_components_of_one_codestream_are_put_one_after_the_other(transcoded: Transcoded) -> None:
    """PS3.5 8.2.5: here two codestreams, of two frames and of one."""
    frames = np.stack([texture(8), texture(8)[::-1], texture(8)[:, ::-1]])
    two = imagecodecs.jpeg2k_encode(np.moveaxis(frames[:2], 0, 2), level=0, codecformat="j2k", mct=False)
    one = imagecodecs.jpeg2k_encode(frames[2], level=0, codecformat="j2k")
    ds = compressed(an_image(frames, frames=True), JPEG + "92", bytes(two), bytes(one))
    assert transcoded(ds).PixelData == frames.tobytes()


def test_lossy_jpeg_becomes_rgb_and_keeps_the_marks_of_its_loss(transcoded: Transcoded) -> None:
    """PS3.3 C.7.6.1.1.5"""
    pixels = texture(8, samples=3)
    bitstream = bytes(imagecodecs.jpeg8_encode(pixels, level=90, outcolorspace="YCBCR"))
    marks = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "12.5"}
    ds = compressed(an_image(pixels, PhotometricInterpretation="YBR_FULL_422", **marks), JPEG + "50", bitstream)
    found = transcoded(ds)
    assert (found.PhotometricInterpretation, found.PlanarConfiguration) == ("RGB", 0)
    assert (found.LossyImageCompression, found.LossyImageCompressionRatio) == ("01", 12.5)


def test_what_only_the_transfer_syntax_told_of_a_loss_is_written_down(transcoded: Transcoded) -> None:
    """PS3.3 C.7.6.1.1.5"""
    pixels = texture(8)
    lossy = compressed(an_image(pixels), JPEG + "50", bytes(imagecodecs.jpeg8_encode(pixels)))
    lossless = compressed(an_image(pixels), JPEG + "91", encode(pixels, JPEG + "91", 8))
    assert transcoded(lossy).LossyImageCompression == "01"
    assert "LossyImageCompression" not in transcoded(lossless)


def test_a_missing_planar_configuration_is_added_in_its_place(transcoded: Transcoded) -> None:
    pixels = texture(8, samples=3)
    ds = compressed(an_image(pixels, PlanarConfiguration=None), JPEG + "90", encode(pixels, JPEG + "90", 8))
    found = transcoded(ds)
    assert found.PlanarConfiguration == 0
    assert [one.tag for one in found] == sorted(one.tag for one in found)


def test_twelve_bits_allocated_become_sixteen(transcoded: Transcoded) -> None:
    pixels = texture(12)
    ds = compressed(an_image(pixels, BitsAllocated=12, BitsStored=12), JPEG + "70", encode(pixels, JPEG + "70", 12))
    found = transcoded(ds)
    assert (found.BitsAllocated, found.BitsStored, found.PixelData) == (16, 12, pixels.tobytes())


def test_single_bit_frames_are_packed_without_gaps(transcoded: Transcoded) -> None:
    """PS3.5 8.1.1"""
    frames = np.random.default_rng(3).integers(0, 2, (5, 3, 7), dtype=np.uint8)
    bits = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    packed = [np.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in frames]
    ds = compressed(an_image(frames, frames=True, **bits), uids.ENCAPSULATED_UNCOMPRESSED, *packed)
    expected = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    assert transcoded(ds).PixelData == expected + b"\0" * (len(expected) % 2)


def test_an_odd_number_of_bytes_is_padded(transcoded: Transcoded) -> None:
    pixels = texture(8, rows=3, columns=3)
    ds = compressed(an_image(pixels), JPEG + "70", encode(pixels, JPEG + "70", 8))
    assert transcoded(ds).PixelData == pixels.tobytes() + b"\0"


def test_elements_behind_the_pixels_stay(transcoded: Transcoded) -> None:
    pixels = texture(8)
    ds = compressed(an_image(pixels), JPEG + "70", encode(pixels, JPEG + "70", 8))
    ds.DataSetTrailingPadding = b"\0\0\0\0"
    assert transcoded(ds).DataSetTrailingPadding == b"\0\0\0\0"


def an_icon() -> Dataset:
    icon = Dataset()
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.BitsStored, icon.HighBit = 2, 2, 8, 8, 7
    icon.PixelRepresentation, icon.PixelData = 0, b"\x01\x02\x03\x04"
    icon["PixelData"].VR = "OB"
    return icon


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("is_undefined", [True, False])
def test_a_compressed_icon_is_left_out_and_a_native_one_stays(
    transcoded: Transcoded, target: str, is_undefined: bool
) -> None:
    pixels = texture(8)
    for is_compressed in (True, False):
        ds, icon = compressed(an_image(pixels), JPEG + "70", encode(pixels, JPEG + "70", 8)), an_icon()
        if is_compressed:
            icon.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
            icon["PixelData"].is_undefined_length = True
        ds.IconImageSequence = [icon]
        ds["IconImageSequence"].is_undefined_length = is_undefined
        found = transcoded(ds, target)
        assert ("IconImageSequence" in found) is not is_compressed
        assert found.PixelData == pixels.tobytes()


@pytest.mark.parametrize("source", [EXPLICIT, IMPLICIT, uids.EXPLICIT_VR_BIG_ENDIAN])
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
def test_native_images_change_their_encoding_only(transcoded: Transcoded, source: str, target: str) -> None:
    ds = a_ct(transfer_syntax=source)
    found = transcoded(ds, target)
    assert np.array_equal(found.pixel_array, ds.pixel_array)
    ds.remove_private_tags()
    del ds.PixelData, found.PixelData
    assert found == ds


def test_a_deflated_data_set_is_inflated(transcoded: Transcoded) -> None:
    """PS3.5 A.5"""
    ds = a_ct(transfer_syntax=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    assert np.array_equal(transcoded(ds, IMPLICIT).pixel_array, ds.pixel_array)


def test_a_deflated_bomb_is_refused(transcoded: Transcoded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relais.dicom.inflate.MAX_INFLATED_BYTES", 1_000_000)
    whole = part10(a_ct(transfer_syntax=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN))
    deflater = zlib.compressobj(wbits=-15)
    bomb = deflater.compress(bytes(2_000_000)) + deflater.flush()
    with pytest.raises(InvalidDataSet, match="inflates to more"):
        transcoded(whole[: parse_whole_head(whole)[1]] + bomb)


@pytest.mark.parametrize("is_wide", [True, False])
def test_eight_bit_samples_in_big_endian_words_are_turned_round(transcoded: Transcoded, is_wide: bool) -> None:
    """PS3.5 8.1.1"""
    pixels = texture(8)
    ds = an_image(pixels)
    ds["PixelData"].VR = "OW" if is_wide else "OB"
    if is_wide:
        ds.PixelData = pixels.view("u2").byteswap().tobytes()
    ds.file_meta.TransferSyntaxUID = uids.EXPLICIT_VR_BIG_ENDIAN
    assert transcoded(ds).PixelData == pixels.tobytes()


def test_float_pixels_are_kept(transcoded: Transcoded) -> None:
    pixels = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    ds = an_image(pixels)
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.FloatPixelData = pixels.tobytes()
    assert transcoded(ds, IMPLICIT).FloatPixelData == pixels.tobytes()


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, uids.RLE_LOSSLESS])
def test_an_instance_without_pixels_is_transcoded_too(transcoded: Transcoded, transfer_syntax: str) -> None:
    """Seen: structured reports in the Transfer Syntax of the images beside them."""
    ds = a_pdf()
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    assert transcoded(ds, IMPLICIT).EncapsulatedDocument == ds.EncapsulatedDocument


def test_fewer_frames_than_announced_are_refused(transcoded: Transcoded) -> None:
    pixels = texture(8)
    ds = compressed(an_image(pixels, NumberOfFrames=3), JPEG + "70", *[encode(pixels, JPEG + "70", 8)] * 2)
    with pytest.raises(InvalidDataSet, match="3 frames"):
        transcoded(ds)


@pytest.mark.parametrize("source", [EXPLICIT, JPEG + "70", JPEG + "92"])
@pytest.mark.parametrize("target", [uids.RLE_LOSSLESS, JPEG + "80"])
def test_a_number_of_frames_that_cannot_be_is_not_believed(tmp_path: Path, source: str, target: str) -> None:
    """An offset table for them all would be gigabytes."""
    ds = an_image(texture(8), NumberOfFrames=100_000_000)
    if source != EXPLICIT:
        ds = compressed(ds, source, encode(texture(8), JPEG + ("90" if source == JPEG + "92" else "70"), 8))
    path, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
    path.write_bytes(part10(ds))
    with pytest.raises(InvalidDataSet, match="100000000"):
        transcode(path, target, out, PixelSettings(), lambda: None)
    assert out.stat().st_size < 1000


def test_fewer_components_than_announced_are_refused(transcoded: Transcoded) -> None:
    frames = np.stack([texture(8)] * 2)
    pair = imagecodecs.jpeg2k_encode(np.moveaxis(frames, 0, 2), level=0, codecformat="j2k", mct=False)
    ds = compressed(an_image(frames, frames=True, NumberOfFrames=3), JPEG + "92", bytes(pair))
    with pytest.raises(InvalidDataSet, match="2 frames were found where 3"):
        transcoded(ds)


@pytest.mark.parametrize("is_compressed", [True, False])
def test_pixels_against_their_transfer_syntax_are_refused(transcoded: Transcoded, is_compressed: bool) -> None:
    ds = an_image(texture(8))
    whole = part10(compressed(ds, JPEG + "70", b"\xff\xd8") if is_compressed else ds)
    head = encode_head(FileMeta(EXPLICIT if is_compressed else JPEG + "70", "1.2.3", "1.2.3.4"))
    with pytest.raises(InvalidDataSet, match="against its Transfer Syntax"):
        transcoded(head + whole[parse_whole_head(whole)[1] :])


@pytest.mark.parametrize("transfer_syntax", [JPEG + "100", JPEG + "107", JPEG + "58", "1.2.3"])
def test_what_is_not_decoded_is_not_transcoded(transcoded: Transcoded, transfer_syntax: str) -> None:
    pixels = texture(8)
    with pytest.raises(NotAcceptable):
        transcoded(compressed(an_image(pixels), transfer_syntax, b"\0\0"))


def test_a_frame_beyond_the_limit_is_refused_before_it_is_decoded(transcoded: Transcoded) -> None:
    ds = compressed(an_image(texture(8), Rows=60000, Columns=60000), JPEG + "70", encode(texture(8), JPEG + "70", 8))
    with pytest.raises(TooLarge):
        transcoded(ds)


def test_a_header_beyond_the_limit_is_refused(transcoded: Transcoded) -> None:
    pixels = texture(8)
    ds = compressed(an_image(pixels), JPEG + "70", encode(pixels, JPEG + "70", 8))
    ds.add_new(0x00091001, "OB", bytes(1_100_000))
    with pytest.raises(TooLarge, match="before Pixel Data"):
        transcoded(ds, max_header_mb=1)


def test_fragments_beyond_the_limit_are_not_read(transcoded: Transcoded) -> None:
    ds = compressed(an_image(texture(8)), JPEG + "70", b"\xff\xd8" + bytes(1_100_000))
    with pytest.raises(TooLarge):
        transcoded(ds, max_frame_mb=1)


def test_more_native_bytes_than_a_length_can_say_are_refused(
    transcoded: Transcoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_writers, "MAX_BYTES", 1000)
    pixels = texture(8)
    with pytest.raises(TooLarge):
        transcoded(compressed(an_image(pixels), JPEG + "70", encode(pixels, JPEG + "70", 8)))


@pytest.mark.parametrize("data", [b"", b"DICM" * 100, bytes(132)])
def test_no_part10_file_is_refused(transcoded: Transcoded, data: bytes) -> None:
    with pytest.raises(NodeError):
        transcoded(data)
