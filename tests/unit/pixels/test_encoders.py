"""Images compressed on request, judged by decoders that Relais does not use (PS3.5 8.2)."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import generate_frames

from fixtures.builders import a_multiframe, a_sr, part10
from fixtures.images import JPEG, Pixels, an_image, compressed, decode, encode, texture
from relais.dicom import uids
from relais.errors import NotAcceptable, TooLarge
from relais.pixels import pixel_writers
from relais.pixels.bitstream import read_jpeg
from relais.pixels.settings import PixelSettings
from relais.pixels.syntaxes import ENCODABLE, LOSSY_WHEN_ENCODED, Shape, can_encode
from relais.pixels.transcode import transcode

LOSSLESS = sorted(ENCODABLE - LOSSY_WHEN_ENCODED)
BASELINE, EXTENDED = JPEG + "50", JPEG + "51"
IMAGES = [(8, 1, False), (8, 1, True), (12, 1, False), (12, 1, True), (16, 1, False), (16, 1, True), (8, 3, False)]

Transcoded = Callable[..., FileDataset]


@pytest.fixture
def transcoded(tmp_path: Path) -> Transcoded:
    def run(ds: Dataset, target: str) -> FileDataset:
        path, out = tmp_path / "in.dcm", tmp_path / "out.dcm"
        path.write_bytes(part10(ds))
        transcode(path, target, out, PixelSettings(), lambda: None)
        return dcmread(out)

    return run


def bitstreams(ds: Dataset) -> list[bytes]:
    return list(generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames") or 1)))


@pytest.mark.parametrize(("bits", "samples", "is_signed"), IMAGES)
@pytest.mark.parametrize("target", LOSSLESS)
def test_pixels_come_back_bit_for_bit(
    transcoded: Transcoded, target: str, bits: int, samples: int, is_signed: bool
) -> None:
    pixels = texture(bits, samples=samples, is_signed=is_signed)
    found = transcoded(an_image(pixels, BitsStored=bits), target)
    assert found.file_meta.TransferSyntaxUID == target
    assert "LossyImageCompression" not in found
    again = transcoded(found, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert again.PixelData.rstrip(b"\0") == pixels.tobytes().rstrip(b"\0")
    assert (again.BitsStored, again.PixelRepresentation) == (bits, int(is_signed))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_other_decoders_see_the_same_pixels(transcoded: Transcoded, bits: int) -> None:
    pixels = texture(bits)
    ds = an_image(pixels, BitsStored=bits)
    for target in LOSSLESS:
        (bitstream,) = bitstreams(transcoded(ds, target))
        assert np.array_equal(decode(bitstream, target, pixels), pixels), target


@pytest.mark.parametrize("target", LOSSLESS)
def test_every_frame_has_its_fragment_and_its_place_in_the_offset_table(transcoded: Transcoded, target: str) -> None:
    """PS3.5 A.4"""
    found = transcoded(a_multiframe(frames=5), target)
    frames = bitstreams(found)
    offsets = struct.unpack_from("<5I", found.PixelData, 8)
    assert list(offsets) == [sum(8 + len(frame) for frame in frames[:number]) for number in range(5)]
    native = transcoded(found, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert native.pixel_array[:, 0, 0].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("target", LOSSLESS)
def test_one_compressed_form_becomes_another(transcoded: Transcoded, target: str) -> None:
    pixels = texture(12)
    ds = compressed(an_image(pixels, BitsStored=12), JPEG + "80", encode(pixels, JPEG + "80", 12))
    again = transcoded(transcoded(ds, target), uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert again.PixelData == pixels.tobytes()


def test_resolutions_come_first_in_rpcl_with_lengths_and_a_small_image_at_the_end(transcoded: Transcoded) -> None:
    """PS3.5 10.18"""
    (codestream,) = bitstreams(transcoded(an_image(texture(12, rows=300, columns=513)), JPEG + "202"))
    style = codestream.index(b"\xff\x52")
    progression, levels = codestream[style + 5], codestream[style + 9]
    assert progression == 2
    assert (513 + (1 << levels) - 1) >> levels <= 64
    assert b"\xff\x55" in codestream[: codestream.index(b"\xff\x90")]


@pytest.mark.parametrize(
    ("target", "photometric"),
    [(JPEG + "90", "YBR_RCT"), (JPEG + "201", "YBR_RCT"), (JPEG + "80", "RGB"), (JPEG + "70", "RGB")],
)
def test_colour_is_called_what_it_became(transcoded: Transcoded, target: str, photometric: str) -> None:
    """PS3.5 8.2"""
    pixels = texture(8, samples=3)
    found = transcoded(an_image(np.moveaxis(pixels, 2, 0).copy(), **_planar(pixels)), target)
    assert (found.PhotometricInterpretation, found.PlanarConfiguration) == (photometric, 0)
    assert (transcoded(found, uids.EXPLICIT_VR_LITTLE_ENDIAN).pixel_array == pixels).all()


@pytest.mark.parametrize("target", [JPEG + "57", JPEG + "70"])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_PARTIAL_420"])
def test_lossless_jpeg_says_rgb_of_rgb_only(transcoded: Transcoded, target: str, bits: int, photometric: str) -> None:
    """PS3.5 8.2.1: identifiers of components and an Adobe segment speak of colour, too, and pydicom goes by them."""
    pixels = texture(bits, samples=3)
    found = transcoded(an_image(pixels, BitsStored=bits, PhotometricInterpretation=photometric), target)
    (bitstream,) = bitstreams(found)
    assert found.PhotometricInterpretation == photometric
    assert read_jpeg(bitstream).has_colour_transform is (False if photometric == "RGB" else None)
    again = transcoded(found, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert again.PixelData.rstrip(b"\0") == pixels.tobytes().rstrip(b"\0")


@pytest.mark.parametrize("target", [JPEG + "57", JPEG + "70"])
@pytest.mark.parametrize("bits", [1, 2, 7, 8])
@pytest.mark.parametrize("is_signed", [False, True])
def test_few_bits_in_large_samples_are_large_samples_in_the_bitstream(
    transcoded: Transcoded, target: str, bits: int, is_signed: bool
) -> None:
    """PS3.5 8.2.1: pydicom's decoder makes one byte a sample of 8 bits and less."""
    pixels = texture(bits, is_signed=is_signed).astype("i2" if is_signed else "u2")
    found = transcoded(an_image(pixels, BitsStored=bits), target)
    (bitstream,) = bitstreams(found)
    assert read_jpeg(bitstream).precision > 8
    assert decode(bitstream, target, pixels).tobytes() == pixels.tobytes()
    assert transcoded(found, uids.EXPLICIT_VR_LITTLE_ENDIAN).PixelData == pixels.tobytes()


@pytest.mark.parametrize("target", [BASELINE, EXTENDED])
def test_colour_by_plane_is_compressed_like_colour_by_pixel(transcoded: Transcoded, target: str) -> None:
    """PS3.3 C.7.6.3.1.3"""
    pixels = np.dstack([np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) + step for step in (0, 40, 80)])
    by_plane = transcoded(an_image(np.moveaxis(pixels, 2, 0).copy(), **_planar(pixels)), target)
    assert bitstreams(by_plane) == bitstreams(transcoded(an_image(pixels), target))


def _planar(pixels: Pixels) -> dict[str, Any]:
    rows, columns, _ = pixels.shape
    return {
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 1,
    }


@pytest.mark.parametrize("target", LOSSLESS)
def test_bits_beyond_bits_stored_are_kept(transcoded: Transcoded, target: str) -> None:
    """PS3.5 8.1.1: there may be overlays in them."""
    pixels = texture(16)
    found = transcoded(transcoded(an_image(pixels, BitsStored=12), target), uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert found.PixelData == pixels.tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (130, 1)])
@pytest.mark.parametrize("target", LOSSLESS)
def test_the_smallest_images_are_encoded(transcoded: Transcoded, target: str, shape: tuple[int, int]) -> None:
    pixels = texture(12, rows=shape[0], columns=shape[1]) if shape != (1, 1) else np.array([[4095]], np.uint16)
    found = transcoded(transcoded(an_image(pixels, BitsStored=12), target), uids.EXPLICIT_VR_LITTLE_ENDIAN)
    assert found.pixel_array.reshape(shape).tolist() == pixels.tolist()


@pytest.mark.parametrize(("target", "bits", "samples"), [(BASELINE, 8, 1), (BASELINE, 8, 3), (EXTENDED, 12, 1)])
def test_an_image_that_loses_something_is_another_image_and_says_so(
    transcoded: Transcoded, target: str, bits: int, samples: int
) -> None:
    """PS3.3 C.7.6.1.1.5"""
    pixels = np.clip(np.add.outer(np.arange(64), np.arange(80)), 0, 255).astype(np.uint16 if bits > 8 else np.uint8)
    pixels = np.dstack([pixels] * 3) if samples == 3 else pixels
    ds = an_image(pixels, BitsStored=bits, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    found = transcoded(ds, target)
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID != ds.SOPInstanceUID
    assert found.SOPInstanceUID == transcoded(ds, target).SOPInstanceUID
    assert ds.SOPInstanceUID in found.DerivationDescription
    assert list(found.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    assert (found.LossyImageCompression, found.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    ratio = len(ds.PixelData) / len(bitstreams(found)[0])
    assert float(found.LossyImageCompressionRatio) == pytest.approx(ratio, abs=0.02 * ratio)
    assert found.PhotometricInterpretation == ("YBR_FULL_422" if samples == 3 else "MONOCHROME2")
    seen = transcoded(found, uids.EXPLICIT_VR_LITTLE_ENDIAN).pixel_array.astype(int)
    assert np.abs(seen - pixels).max() <= 12


def test_a_second_loss_is_told_beside_the_first(transcoded: Transcoded) -> None:
    """PS3.3 C.7.6.1.1.5.1"""
    first = {"LossyImageCompressionRatio": "8", "LossyImageCompressionMethod": "ISO_15444_1"}
    found = transcoded(an_image(texture(8), **first), BASELINE)
    assert list(found.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert found.LossyImageCompressionRatio[0] == 8
    assert [one.tag for one in found] == sorted(one.tag for one in found)


def test_an_instance_without_pixels_has_no_compressed_form(transcoded: Transcoded) -> None:
    """PS3.5 A.4"""
    with pytest.raises(NotAcceptable):
        transcoded(a_sr(), JPEG + "80")


@pytest.mark.parametrize(
    ("target", "bits", "photometric", "is_signed"),
    [
        (BASELINE, 12, "MONOCHROME2", False),
        (BASELINE, 8, "MONOCHROME2", True),
        (BASELINE, 8, "PALETTE COLOR", False),
        (EXTENDED, 16, "MONOCHROME2", False),
    ],
)
def test_what_a_lossy_process_would_ruin_is_refused(
    transcoded: Transcoded, target: str, bits: int, photometric: str, is_signed: bool
) -> None:
    pixels = texture(bits, is_signed=is_signed)
    with pytest.raises(NotAcceptable):
        transcoded(an_image(pixels, BitsStored=bits, PhotometricInterpretation=photometric), target)


@pytest.mark.parametrize("bits", [1, 64])
def test_single_bits_and_the_widest_samples_are_not_compressed(bits: int) -> None:
    shape = Shape(1, bits, bits, "MONOCHROME2")
    assert not any(can_encode(target, shape) for target in ENCODABLE)


def test_floats_are_not_compressed() -> None:
    assert not any(can_encode(target, Shape(1, 32, 32, "MONOCHROME2", is_float=True)) for target in ENCODABLE)


def test_offsets_that_the_table_cannot_hold_are_refused(
    transcoded: Transcoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_writers, "MAX_BYTES", 100)
    with pytest.raises(TooLarge):
        transcoded(a_multiframe(frames=5), uids.RLE_LOSSLESS)
