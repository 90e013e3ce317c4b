"""One frame, in whatever encoding, as samples and as native little endian bytes. Knows frames, not files.

Samples keep the container of Bits Allocated: what is in it beyond Bits Stored (overlay bits, PS3.5 8.1.1) is still
there, and a signed value is sign-extended from the bits that its bitstream had.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relais.dicom import uids
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels import syntaxes
from relais.pixels.codecs import Coded, Samples, decode_components, decoder_of, inflate_frame
from relais.pixels.image import ImagePixel
from relais.pixels.recode import swapped

COLOUR_AFTER_CODEC = {"YBR_FULL_422": "YBR_FULL", "YBR_PARTIAL_422": "YBR_PARTIAL"}  # chroma is as large as luma


@dataclass(frozen=True, slots=True)
class Decoded:
    """*samples* is (rows, columns) or (rows, columns, 3), of unsigned or signed integers or floats."""

    samples: Samples
    photometric_interpretation: str


def decode_frame(data: bytes, transfer_syntax_uid: str, pixel: ImagePixel) -> Decoded:
    """One frame as it is stored. Raises InvalidDataSet, NotAcceptable if its Transfer Syntax is not decoded."""
    if syntaxes.holds_native_frames(transfer_syntax_uid):
        data = native_frame(data, transfer_syntax_uid, pixel)
        return Decoded(_native_samples(data, pixel.fitting(len(data))), _photometric(pixel, is_rgb=False))
    if holds_several_frames(pixel, transfer_syntax_uid):
        frames = decode_frames(data, transfer_syntax_uid, pixel)
        if len(frames) != 1:
            raise InvalidDataSet("A codestream holds several frames.")
        return frames[0]
    return _finished(decoder_of(transfer_syntax_uid)(data, pixel), pixel)


def decode_frames(data: bytes, transfer_syntax_uid: str, pixel: ImagePixel) -> list[Decoded]:
    """All frames of one bitstream: more than one only with JPEG 2000 Part 2 multi-component (PS3.5 8.2.5)."""
    if holds_several_frames(pixel, transfer_syntax_uid):
        return [_finished(coded, pixel) for coded in decode_components(data, pixel)]
    return [decode_frame(data, transfer_syntax_uid, pixel)]


def holds_several_frames(pixel: ImagePixel, transfer_syntax_uid: str) -> bool:
    """Whether one bitstream may hold more than one frame (PS3.5 8.2.5)."""
    return pixel.number_of_frames > 1 and transfer_syntax_uid in syntaxes.JPEG_2000_PART_2


def decode_to_bytes(data: bytes, transfer_syntax_uid: str, pixel: ImagePixel) -> bytes:
    """One frame as it stands in an Explicit VR Little Endian Data Set, without padding."""
    if syntaxes.holds_native_frames(transfer_syntax_uid):
        return native_frame(data, transfer_syntax_uid, pixel)
    return to_bytes(decode_frame(data, transfer_syntax_uid, pixel), pixel)


def native_frame(data: bytes, transfer_syntax_uid: str, pixel: ImagePixel) -> bytes:
    """An uncompressed frame as little endian bytes, exactly as long as the Image Pixel Module says."""
    if transfer_syntax_uid == uids.DEFLATED_IMAGE_FRAME:
        data = inflate_frame(data, pixel)
    pixel = pixel.fitting(len(data))
    if len(data) < pixel.frame_bytes:
        raise InvalidDataSet(f"A frame has {len(data)} bytes where {pixel.frame_bytes} are needed.")
    data = data[: pixel.frame_bytes]
    if uids.is_big_endian(transfer_syntax_uid):
        return swapped(data, container_bytes(pixel))
    return data


def photometric_after_decoding(pixel: ImagePixel, transfer_syntax_uid: str) -> str:
    """The Photometric Interpretation of an instance that decode_to_bytes has made native."""
    if syntaxes.holds_native_frames(transfer_syntax_uid):
        return pixel.photometric_interpretation
    is_rgb = pixel.samples_per_pixel == 3 and (
        transfer_syntax_uid in syntaxes.JPEG_LOSSY | syntaxes.JPEG_XL
        or pixel.photometric_interpretation in {"YBR_RCT", "YBR_ICT"}
    )
    return _photometric(pixel, is_rgb=is_rgb)


def to_bytes(decoded: Decoded, pixel: ImagePixel) -> bytes:
    """*decoded* in the order of the Planar Configuration, which does not change."""
    samples = decoded.samples
    if pixel.bits_allocated == 1:
        return np.packbits(samples.reshape(-1).astype(bool), bitorder="little").tobytes()
    if pixel.is_planar:
        samples = np.moveaxis(samples, 2, 0)
    return np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<")).tobytes()


def stored_values(samples: Samples, pixel: ImagePixel) -> Samples:
    """The bits from High Bit down (PS3.5 8.1.1), sign-extended: overlays and other company are masked."""
    container_bits = samples.dtype.itemsize * 8
    if samples.dtype.kind == "f" or pixel.bits_stored == container_bits or pixel.bits_allocated == 1:
        return samples
    left, right = container_bits - 1 - pixel.high_bit, container_bits - pixel.bits_stored
    kind = "i" if pixel.is_signed else "u"
    return (samples << left).view(f"{kind}{samples.dtype.itemsize}") >> right


def container_bytes(pixel: ImagePixel) -> int:
    """Bytes of one decoded sample."""
    return next(size for size in (1, 2, 4, 8) if pixel.bits_allocated <= size * 8)


def _native_samples(data: bytes, pixel: ImagePixel) -> Samples:
    if pixel.bits_allocated not in (1, 8, 16, 32, 64):
        raise NotAcceptable(f"Samples of {pixel.bits_allocated} Bits Allocated are not decoded here.")
    if pixel.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=pixel.rows * pixel.columns, bitorder="little")
        return bits.reshape(pixel.rows, pixel.columns)
    kind = "f" if pixel.is_float else "i" if pixel.is_signed else "u"
    flat = np.frombuffer(data, dtype=f"<{kind}{container_bytes(pixel)}")
    if pixel.is_half_chroma:
        return _full_chroma(flat, pixel)
    if pixel.samples_per_pixel == 1:
        return flat.reshape(pixel.rows, pixel.columns)
    if pixel.is_planar:
        return np.moveaxis(flat.reshape(-1, pixel.rows, pixel.columns), 0, 2)
    return flat.reshape(pixel.rows, pixel.columns, -1)


def _full_chroma(flat: Samples, pixel: ImagePixel) -> Samples:
    """Y1 Y2 Cb Cr for every two pixels of a row (PS3.3 C.7.6.3.1.2) -> a triple for each."""
    if pixel.columns % 2:
        raise InvalidDataSet("A YBR_FULL_422 image needs an even number of Columns.")
    pairs = flat.reshape(pixel.rows, pixel.columns // 2, 4)
    full: NDArray[Any] = np.empty((pixel.rows, pixel.columns, 3), flat.dtype)
    full[:, 0::2, 0], full[:, 1::2, 0] = pairs[:, :, 0], pairs[:, :, 1]
    full[:, :, 1:] = np.repeat(pairs[:, :, 2:], 2, axis=1)
    return full


def _finished(coded: Coded, pixel: ImagePixel) -> Decoded:
    """Into the container of Bits Allocated, signed if Pixel Representation says so."""
    samples = coded.samples
    container = container_bytes(pixel)
    if coded.precision is not None:
        if coded.precision > container * 8:
            raise InvalidDataSet(f"A frame has {coded.precision} bits, more than its {pixel.bits_allocated} allocated.")
        samples = _extended(samples, coded.precision, container, is_signed=pixel.is_signed)
    else:
        samples = samples.astype(f"u{container}", copy=False).view(f"{'i' if pixel.is_signed else 'u'}{container}")
    return Decoded(samples, _photometric(pixel, is_rgb=coded.is_rgb))


def _extended(samples: Samples, precision: int, container: int, *, is_signed: bool) -> Samples:
    """*precision* bits as they are in the bitstream, as signed or unsigned numbers of *container* bytes.

    Seen: J2K_pixelrep_mismatch.dcm of pydicom: unsigned in the codestream, signed by Pixel Representation.
    """
    kind = "i" if is_signed else "u"
    if samples.dtype == np.dtype(f"{kind}{container}"):
        return samples
    free = container * 8 - precision
    raw = samples.astype(f"u{container}")
    if samples.dtype.kind == kind:
        return raw.view(f"{kind}{container}")
    return (raw << free).view(f"{kind}{container}") >> free


def _photometric(pixel: ImagePixel, *, is_rgb: bool) -> str:
    if is_rgb:
        return "RGB"
    return COLOUR_AFTER_CODEC.get(pixel.photometric_interpretation, pixel.photometric_interpretation)
