"""Frames of every Transfer Syntax come out as they went in."""

from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from fixtures.images import JPEG, Pixels, an_image, compressed, encode, part10_split, texture
from relais.dicom import uids
from relais.errors import InvalidDataSet, NodeError, NotAcceptable, TooLarge
from relais.pixels import syntaxes
from relais.pixels.codecs import decoder_of
from relais.pixels.decode import (
    decode_frame,
    decode_frames,
    decode_to_bytes,
    photometric_after_decoding,
    stored_values,
    to_bytes,
)
from relais.pixels.image import ImagePixel, check_size, read_part10_header

NATIVE = uids.EXPLICIT_VR_LITTLE_ENDIAN
REVERSIBLE = [JPEG + end for end in ("57", "70", "80", "81", "90", "91", "201", "202", "203")]


def pixel_of(ds: Dataset) -> ImagePixel:
    header, _ = part10_split(ds)
    return read_part10_header(header, str(ds.file_meta.TransferSyntaxUID)).pixel


def decoded(bitstream: bytes, transfer_syntax: str, pixels: Pixels, **attributes: Any) -> bytes:
    ds = an_image(pixels, **attributes)
    return decode_to_bytes(bitstream, transfer_syntax, pixel_of(ds))


@pytest.mark.parametrize("transfer_syntax", REVERSIBLE)
@pytest.mark.parametrize(("bits", "samples"), [(8, 1), (10, 1), (12, 1), (16, 1), (8, 3)])
def test_unsigned_pixels_come_out_as_they_went_in(transfer_syntax: str, bits: int, samples: int) -> None:
    pixels = texture(bits, samples=samples)
    bitstream = encode(pixels, transfer_syntax, bits)
    assert decoded(bitstream, transfer_syntax, pixels, BitsStored=bits) == pixels.tobytes()


@pytest.mark.parametrize("transfer_syntax", REVERSIBLE)
@pytest.mark.parametrize("bits", [12, 16])
def test_signed_pixels_come_out_as_they_went_in(transfer_syntax: str, bits: int) -> None:
    pixels = texture(bits, is_signed=True)
    bitstream = encode(pixels, transfer_syntax, bits)
    assert decoded(bitstream, transfer_syntax, pixels, BitsStored=bits) == pixels.tobytes()


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("samples", [1, 3])
def test_rle_of_any_size_of_sample_comes_out_as_it_went_in(bits: int, samples: int) -> None:
    """PS3.5 G"""
    pixels = texture(bits, samples=samples)
    assert decoded(encode(pixels, uids.RLE_LOSSLESS, bits), uids.RLE_LOSSLESS, pixels) == pixels.tobytes()


def test_rle_of_an_image_colour_by_plane_stays_colour_by_plane() -> None:
    pixels = texture(8, samples=3)
    planes = np.moveaxis(pixels, 2, 0)
    found = decoded(encode(pixels, uids.RLE_LOSSLESS, 8), uids.RLE_LOSSLESS, pixels, PlanarConfiguration=1)
    assert found == planes.tobytes()


@pytest.mark.parametrize("transfer_syntax", [JPEG + "110", JPEG + "112"])
@pytest.mark.parametrize(("bits", "samples"), [(8, 1), (16, 1), (8, 3)])
def test_jpeg_xl_comes_out_as_it_went_in(transfer_syntax: str, bits: int, samples: int) -> None:
    pixels = texture(bits, samples=samples)
    assert decoded(encode(pixels, transfer_syntax, bits), transfer_syntax, pixels) == pixels.tobytes()


@pytest.mark.parametrize("predictor", range(1, 8))
def test_jpeg_lossless_decodes_every_selection_value(predictor: int) -> None:
    pixels = texture(16)
    bitstream = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=16)
    assert decoded(bitstream, JPEG + "57", pixels) == pixels.tobytes()


@pytest.mark.parametrize("interleave", [0, 1, 2])
def test_jpeg_ls_decodes_every_interleave_mode(interleave: int) -> None:
    pixels = texture(8, samples=3)
    source = (np.moveaxis(pixels, 2, 0) if interleave == 0 else pixels).tobytes()
    bitstream = bytes(jpeg_ls.encode_buffer(source, *pixels.shape[:2], 3, 8, 0, interleave))
    assert decoded(bitstream, JPEG + "80", pixels) == pixels.tobytes()


def test_high_throughput_jpeg_2000_decodes_as_another_engine_does() -> None:
    pixels = texture(12, samples=3)
    bitstream = imagecodecs.htj2k_encode(pixels, reversible=False, level=0.001)
    other = imagecodecs.htj2k_decode(bitstream)  # OpenJPH; ours is OpenJPEG
    found = np.frombuffer(decoded(bitstream, JPEG + "203", pixels, BitsStored=12), np.uint16).reshape(pixels.shape)
    assert np.abs(found.astype(int) - other).max() <= 1


def test_twelve_bit_jpeg_keeps_its_precision() -> None:
    pixels = texture(12)
    bitstream = imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12)
    found = np.frombuffer(decoded(bitstream, JPEG + "51", pixels, BitsStored=12), np.uint16).reshape(pixels.shape)
    assert np.abs(found.astype(int) - pixels).max() < 16


def test_progressive_jpeg_is_decoded() -> None:
    from io import BytesIO

    from PIL import Image

    pixels, out = texture(8), BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=100, progressive=True)
    found = np.frombuffer(decoded(out.getvalue(), JPEG + "55", pixels), np.uint8).reshape(pixels.shape)
    assert np.abs(found.astype(int) - pixels).max() < 16


@pytest.mark.parametrize(
    ("in_bitstream", "photometric", "first"),
    [
        ("YCBCR", "YBR_FULL_422", (200, 30, 60)),  # as PS3.5 8.2.1 has it
        ("YCBCR", "YBR_FULL", (200, 30, 60)),
        ("RGB", "RGB", (200, 30, 60)),  # with the Adobe marker
        ("RGB", "YBR_FULL_422", (200, 30, 60)),  # the Adobe marker knows better
    ],
)
def test_colour_jpeg_becomes_rgb(in_bitstream: str, photometric: str, first: tuple[int, int, int]) -> None:
    pixels = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    bitstream = imagecodecs.jpeg8_encode(pixels, level=98, colorspace="RGB", outcolorspace=in_bitstream)
    pixel = pixel_of(an_image(pixels, PhotometricInterpretation=photometric))
    found = decode_frame(bitstream, JPEG + "50", pixel)
    assert found.photometric_interpretation == photometric_after_decoding(pixel, JPEG + "50") == "RGB"
    assert np.abs(found.samples[8, 8].astype(int) - first).max() <= 3


def test_jpeg_without_a_word_about_its_colours_is_what_the_data_set_says() -> None:
    """Neither JFIF nor Adobe: three components that are RGB, as SC_rgb_jpeg.dcm of pydicom has them."""
    pixels = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    marked = imagecodecs.jpeg8_encode(pixels, level=98, colorspace="YCBCR", outcolorspace="YCBCR")
    plain = marked[:2] + marked[4 + int.from_bytes(marked[4:6], "big") :]
    assert b"JFIF" in marked
    assert b"JFIF" not in plain
    found = decode_frame(plain, JPEG + "50", pixel_of(an_image(pixels)))
    assert np.abs(found.samples[8, 8].astype(int) - (200, 30, 60)).max() <= 3


def test_lossless_jpeg_in_ybr_stays_in_ybr() -> None:
    pixels = texture(8, samples=3)
    pixel = pixel_of(an_image(pixels, PhotometricInterpretation="YBR_FULL"))
    found = decode_frame(encode(pixels, JPEG + "70", 8), JPEG + "70", pixel)
    assert found.photometric_interpretation == photometric_after_decoding(pixel, JPEG + "70") == "YBR_FULL"
    assert np.array_equal(found.samples, pixels)


def test_jpeg_2000_with_a_colour_transform_becomes_rgb() -> None:
    pixels = texture(8, samples=3)
    pixel = pixel_of(an_image(pixels, PhotometricInterpretation="YBR_RCT"))
    found = decode_frame(encode(pixels, JPEG + "90", 8), JPEG + "90", pixel)
    assert found.photometric_interpretation == photometric_after_decoding(pixel, JPEG + "90") == "RGB"
    assert np.array_equal(found.samples, pixels)


def test_jpeg_2000_wrapped_in_a_jp2_file_is_decoded() -> None:
    pixels = texture(8)
    wrapped = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="jp2")
    assert wrapped.startswith(b"\0\0\0\x0cjP  ")
    assert decoded(wrapped, JPEG + "90", pixels) == pixels.tobytes()


def test_a_sign_that_only_the_data_set_knows_is_put_back() -> None:
    """As J2K_pixelrep_mismatch.dcm of pydicom has it."""
    pixels = texture(13, is_signed=True)
    bitstream = encode((pixels & 0x1FFF).astype(np.uint16), JPEG + "90", 13)
    assert decoded(bitstream, JPEG + "90", pixels, BitsStored=13) == pixels.tobytes()


def test_a_sign_that_only_the_codestream_knows_is_taken_away() -> None:
    pixels = texture(12)
    signed = ((pixels.astype(np.int16) << 4) >> 4).astype(np.int16)
    bitstream = encode(signed, JPEG + "90", 12)
    assert decoded(bitstream, JPEG + "90", pixels, BitsStored=12) == pixels.tobytes()


def test_eight_bits_in_the_bitstream_fill_sixteen_allocated() -> None:
    pixels = texture(8)
    ds = an_image(pixels.astype(np.uint16), BitsStored=8)
    assert decode_to_bytes(encode(pixels, JPEG + "70", 8), JPEG + "70", pixel_of(ds)) == pixels.astype("<u2").tobytes()


def test_twelve_bits_allocated_in_an_old_image_become_sixteen() -> None:
    pixels = texture(12)
    found = decoded(encode(pixels, JPEG + "70", 12), JPEG + "70", pixels, BitsAllocated=12, BitsStored=12)
    assert found == pixels.tobytes()


def test_more_bits_than_allocated_are_refused() -> None:
    bitstream = encode(texture(12), JPEG + "70", 12)
    with pytest.raises(InvalidDataSet, match="12 bits"):
        decoded(bitstream, JPEG + "70", texture(8))


def test_frames_as_components_of_one_codestream_are_told_apart() -> None:
    """PS3.5 8.2.5"""
    frames = np.stack([texture(12), texture(12)[::-1], texture(12)[:, ::-1]])
    bitstream = imagecodecs.jpeg2k_encode(np.moveaxis(frames, 0, 2), level=0, codecformat="j2k", mct=False)
    pixel = pixel_of(an_image(frames, frames=True, BitsStored=12))
    found = decode_frames(bitstream, JPEG + "92", pixel)
    assert [to_bytes(one, pixel) for one in found] == [frame.tobytes() for frame in frames]


def test_more_components_than_frames_are_refused() -> None:
    stack = np.stack([texture(8)] * 3, axis=2)
    bitstream = imagecodecs.jpeg2k_encode(stack, level=0, codecformat="j2k", mct=False)
    pixel = pixel_of(an_image(np.stack([texture(8)] * 2), frames=True))
    with pytest.raises(InvalidDataSet, match="3 components"):
        decode_frames(bitstream, JPEG + "92", pixel)


def test_deflated_and_uncompressed_frames_in_fragments_are_native() -> None:
    """PS3.5 A.4, 8.2.17"""
    import zlib

    pixels = texture(12)
    deflater = zlib.compressobj(wbits=-15)
    deflated = deflater.compress(pixels.tobytes()) + deflater.flush()
    assert decoded(deflated, uids.DEFLATED_IMAGE_FRAME, pixels, BitsStored=12) == pixels.tobytes()
    assert decoded(pixels.tobytes(), uids.ENCAPSULATED_UNCOMPRESSED, pixels, BitsStored=12) == pixels.tobytes()


def test_a_deflated_frame_inflates_no_further_than_it_is_large() -> None:
    import zlib

    pixels = texture(8)
    deflater = zlib.compressobj(wbits=-15)
    bomb = deflater.compress(pixels.tobytes() + bytes(50_000_000)) + deflater.flush()
    assert decoded(bomb, uids.DEFLATED_IMAGE_FRAME, pixels) == pixels.tobytes()


def test_native_frames_in_any_byte_order_become_little_endian() -> None:
    pixels = texture(16)
    pixel = pixel_of(an_image(pixels))
    assert decode_to_bytes(pixels.tobytes(), NATIVE, pixel) == pixels.tobytes()
    assert decode_to_bytes(pixels.byteswap().tobytes(), uids.EXPLICIT_VR_BIG_ENDIAN, pixel) == pixels.tobytes()


def test_padding_behind_a_native_frame_is_cut_off() -> None:
    pixels = texture(8, rows=3, columns=3)
    assert decode_to_bytes(pixels.tobytes() + b"\0", NATIVE, pixel_of(an_image(pixels))) == pixels.tobytes()


def test_a_native_frame_that_is_too_short_is_refused() -> None:
    pixels = texture(8)
    with pytest.raises(InvalidDataSet, match="are needed"):
        decode_to_bytes(pixels.tobytes()[:-1], NATIVE, pixel_of(an_image(pixels)))


def test_half_of_the_chroma_is_repeated() -> None:
    """PS3.3 C.7.6.3.1.2: Y1 Y2 Cb Cr"""
    pixels = np.zeros((1, 4, 3), np.uint8)
    pixel = pixel_of(an_image(pixels, PhotometricInterpretation="YBR_FULL_422"))
    found = decode_frame(bytes([10, 11, 70, 80, 12, 13, 71, 81]), NATIVE, pixel)
    assert found.photometric_interpretation == "YBR_FULL"
    assert found.samples.tolist() == [[[10, 70, 80], [11, 70, 80], [12, 71, 81], [13, 71, 81]]]


def test_a_frame_of_full_size_has_all_of_its_chroma_whatever_is_said() -> None:
    pixels = texture(8, samples=3)
    pixel = pixel_of(an_image(pixels, PhotometricInterpretation="YBR_FULL_422"))
    assert np.array_equal(decode_frame(pixels.tobytes(), NATIVE, pixel).samples, pixels)


def test_half_chroma_needs_an_even_number_of_columns() -> None:
    pixel = pixel_of(an_image(np.zeros((2, 3, 3), np.uint8), PhotometricInterpretation="YBR_FULL_422"))
    with pytest.raises(InvalidDataSet, match="even number"):
        decode_frame(bytes(12), NATIVE, pixel)


def test_single_bits_are_unpacked_from_the_least_significant_on() -> None:
    """PS3.5 8.1.1"""
    ds = an_image(np.zeros((2, 5), np.uint8), BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=b"\x45\x02")
    found = decode_frame(b"\x45\x02", NATIVE, pixel_of(ds)).samples
    assert found.tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1]]


def test_packed_twelve_bit_samples_are_not_decoded() -> None:
    pixel = pixel_of(an_image(np.zeros((4, 4), np.uint16), BitsAllocated=12, BitsStored=12))
    with pytest.raises(NotAcceptable):
        decode_frame(bytes(64), NATIVE, pixel)


def test_float_pixels_are_floats() -> None:
    """PS3.3 C.7.6.24"""
    pixels = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    ds = an_image(pixels)
    ds.FloatPixelData = ds.PixelData
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    assert np.array_equal(decode_frame(pixels.tobytes(), NATIVE, pixel_of(ds)).samples, pixels)


def test_floats_of_another_size_than_their_element_has_are_refused() -> None:
    ds = an_image(texture(16))
    ds.FloatPixelData = ds.PixelData
    del ds.PixelData
    with pytest.raises(InvalidDataSet, match="Bits Allocated is 16"):
        pixel_of(ds)


@given(st.binary(min_size=8, max_size=8), st.integers(1, 16), st.integers(0, 15), st.booleans())
def test_stored_values_are_the_bits_from_high_bit_down(data: bytes, bits: int, high: int, is_signed: bool) -> None:
    """PS3.5 8.1.1: what is above and below belongs to somebody else."""
    high = max(high, bits - 1)
    ds = an_image(np.zeros((2, 2), np.uint16), BitsStored=bits, HighBit=high, PixelRepresentation=int(is_signed))
    pixel = pixel_of(ds)
    expected = []
    for word in np.frombuffer(data, "<u2").tolist():
        value = word >> (high - bits + 1) & ((1 << bits) - 1)
        expected.append(value - (1 << bits) if is_signed and value >> (bits - 1) else value)
    assert stored_values(decode_frame(data, NATIVE, pixel).samples, pixel).reshape(-1).tolist() == expected


@pytest.mark.parametrize("transfer_syntax", sorted(syntaxes.DECODABLE - uids.NATIVE))
def test_a_frame_of_another_size_than_its_data_set_says_is_refused(transfer_syntax: str) -> None:
    bits = 8
    known = transfer_syntax in {*REVERSIBLE, uids.RLE_LOSSLESS, JPEG + "110", JPEG + "112"}
    bitstream = encode(texture(bits), transfer_syntax, bits) if known else encode(texture(bits), JPEG + "70", bits)
    with pytest.raises(InvalidDataSet):
        decoded(bitstream, transfer_syntax, texture(bits, rows=200, columns=201))


@pytest.mark.parametrize("transfer_syntax", sorted(syntaxes.DECODABLE - uids.NATIVE - syntaxes.UNCOMPRESSED_FRAMES))
@given(data=st.binary(max_size=90))
def test_garbage_is_an_invalid_data_set(transfer_syntax: str, data: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        decoded(data, transfer_syntax, texture(8))


def test_another_number_of_components_is_refused() -> None:
    with pytest.raises(InvalidDataSet, match="3 components"):
        decoded(encode(texture(8, samples=3), JPEG + "80", 8), JPEG + "80", texture(8))


def test_a_jpeg_ls_frame_that_is_cut_off_is_refused_at_once() -> None:
    bitstream = encode(texture(8), JPEG + "80", 8)
    with pytest.raises(InvalidDataSet, match="damaged"):
        decoded(bitstream[:60], JPEG + "80", texture(8))


@pytest.mark.parametrize("data", [bytes(63), b"\x02" + bytes(200), b"\x01\0\0\0\x40" + bytes(59) + b"\x05ab"])
def test_rle_that_does_not_fit_its_header_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        decoded(data, uids.RLE_LOSSLESS, texture(8))


def test_rle_needs_whole_bytes() -> None:
    ds = an_image(np.zeros((4, 4), np.uint8), BitsAllocated=1, BitsStored=1)
    with pytest.raises(InvalidDataSet, match="RLE"):
        decode_frame(bytes(64), uids.RLE_LOSSLESS, pixel_of(ds))


def test_every_decodable_transfer_syntax_has_a_decoder_and_video_has_none() -> None:
    for uid in syntaxes.DECODABLE - uids.NATIVE - syntaxes.UNCOMPRESSED_FRAMES:
        assert decoder_of(uid)
    for uid in uids.ENCAPSULATED - syntaxes.DECODABLE:
        with pytest.raises(NotAcceptable):
            decoder_of(uid)


def test_a_frame_beyond_the_limits_is_refused_before_it_is_decoded() -> None:
    ds = an_image(np.zeros((2, 2), np.uint16), Rows=65535, Columns=65535)
    with pytest.raises(TooLarge, match="65535"):
        check_size(pixel_of(ds), max_pixels=1 << 26, max_bytes=1 << 40)
    with pytest.raises(TooLarge, match="bytes"):
        check_size(pixel_of(ds), max_pixels=1 << 40, max_bytes=1 << 26)


@pytest.mark.parametrize(
    "attributes",
    [
        {"Rows": None},
        {"Rows": 0},
        {"BitsAllocated": 0},
        {"BitsAllocated": 65},
        {"BitsStored": 17},
        {"HighBit": 16},
        {"HighBit": 3},
        {"SamplesPerPixel": 4},
    ],
)
def test_an_impossible_image_is_refused_with_a_sentence(attributes: dict[str, int | None]) -> None:
    with pytest.raises(NodeError) as refused:
        pixel_of(an_image(np.zeros((2, 2), np.uint16), **attributes))
    assert refused.value.message.endswith((".", ")."))


@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
def test_a_number_of_frames_that_is_none_is_one() -> None:
    """As badVR.dcm of pydicom has it."""
    header, _ = part10_split(an_image(np.zeros((2, 2), np.uint8), NumberOfFrames=7))
    broken = header.replace(b"IS\x02\x007 ", b"IS\x02\x001A")
    assert read_part10_header(broken, NATIVE).pixel.number_of_frames == 1


def test_a_compressed_image_says_so_in_its_attributes_only_until_it_is_decoded() -> None:
    pixels = texture(8, samples=3)
    ds = compressed(an_image(pixels), JPEG + "80", encode(pixels, JPEG + "80", 8))
    assert photometric_after_decoding(pixel_of(ds), JPEG + "80") == "RGB"
