"""Decoders by Transfer Syntax: one compressed frame to its samples. Knows bitstreams, not Data Sets or files.

A decoder returns integers of any size, (rows, columns) or (rows, columns, samples), with the number of bits that are
meaningful in each. It has compared the bitstream's own size with the Image Pixel Module before it decodes; it raises
InvalidDataSet for whatever its codec does not like. See docs/decisions/0004-codecs.md for the choice of codecs.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from relais.dicom import uids
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels import syntaxes
from relais.pixels.bitstream import Bitstream, find_codestream, read_jpeg, read_jpeg_2000
from relais.pixels.image import ImagePixel

Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coded:
    """The samples of one compressed frame. *precision* is None where they fill the container of Bits Allocated.

    *is_rgb* says that the codec has undone a colour transform.
    """

    samples: Samples
    precision: int | None = None
    is_rgb: bool = False


Decoder = Callable[[bytes, ImagePixel], Coded]

_EOI = b"\xff\xd9"
_RLE_HEADER = Struct("<16I")
_RLE_SLACK = 256  # a last run may go beyond its segment


def decoder_of(transfer_syntax_uid: str) -> Decoder:
    """Raises NotAcceptable for a Transfer Syntax that is not decoded."""
    decoder = _DECODERS.get(transfer_syntax_uid)
    if decoder is None:
        raise NotAcceptable(f"Frames in Transfer Syntax {transfer_syntax_uid} are not decoded here.")
    return decoder


def _jpeg(data: bytes, pixel: ImagePixel) -> Coded:
    """Lossy processes with 8 or 12 bits. YCbCr becomes RGB, as PS3.5 8.2.1 has it only in the bitstream."""
    stream = read_jpeg(data)
    _compare(stream, pixel)
    if pixel.samples_per_pixel == 1:
        return Coded(_call(imagecodecs.jpeg8_decode, data), stream.precision)
    is_ycbcr = _is_ycbcr(stream, pixel)
    colours = {"colorspace": "YCBCR" if is_ycbcr else "RGB", "outcolorspace": "RGB"}
    return Coded(_call(imagecodecs.jpeg8_decode, data, **colours), stream.precision, is_rgb=True)


def _is_ycbcr(stream: Bitstream, pixel: ImagePixel) -> bool:
    """An Adobe segment or the component identifiers R, G and B decide; else the Photometric Interpretation does.

    Seen: SC_rgb_jpeg_app14_dcmd.dcm and SC_jpeg_no_color_transform.dcm of pydicom (RGB, with and without a marker).
    """
    if stream.has_colour_transform is not None:
        return stream.has_colour_transform
    return pixel.photometric_interpretation.startswith("YBR")


def _jpeg_lossless(data: bytes, pixel: ImagePixel) -> Coded:
    """Processes 14 and 14 SV1, up to 16 bits. Components are what they are: no colour transform (PS3.5 8.2.1)."""
    stream = read_jpeg(data)
    _compare(stream, pixel)
    colours = {"colorspace": "RGB", "outcolorspace": "RGB"} if pixel.samples_per_pixel == 3 else {}
    return Coded(_call(imagecodecs.jpeg8_decode, data, **colours), stream.precision)


def _jpeg_ls(data: bytes, pixel: ImagePixel) -> Coded:
    stream = read_jpeg(data)
    _compare(stream, pixel)
    if _EOI not in data[-4:]:
        data += _EOI  # without one, CharLS looks for it for seconds in a frame that is cut off
    return Coded(_call(imagecodecs.jpegls_decode, data), stream.precision)


def _jpeg_2000(data: bytes, pixel: ImagePixel) -> Coded:
    """Both kinds of block coder, the old and the high-throughput one."""
    codestream = find_codestream(data)
    stream = read_jpeg_2000(codestream)
    _compare(stream, pixel)
    return Coded(_call(imagecodecs.jpeg2k_decode, codestream, numthreads=1), stream.precision, is_rgb=_has_mct(pixel))


def _has_mct(pixel: ImagePixel) -> bool:
    """Whether a multiple component transformation was announced; codecs undo it by themselves (PS3.5 8.2.4)."""
    return pixel.photometric_interpretation in {"YBR_RCT", "YBR_ICT"}


def _jpeg_xl(data: bytes, pixel: ImagePixel) -> Coded:
    """PS3.5 8.2.16. The array is given to the codec, so that a bitstream of another size is refused."""
    container = np.uint8 if pixel.bits_stored <= 8 else np.uint16
    shape = (pixel.rows, pixel.columns) + ((3,) if pixel.samples_per_pixel == 3 else ())
    out = np.empty(shape, container)
    samples = _call(imagecodecs.jpegxl_decode, data, numthreads=1, out=out)
    return Coded(samples, None, is_rgb=pixel.samples_per_pixel == 3)


def _rle(data: bytes, pixel: ImagePixel) -> Coded:
    """PS3.5 G: a segment for every byte of every sample, the most significant first."""
    if pixel.bits_allocated % 8:
        raise InvalidDataSet(f"RLE Lossless with {pixel.bits_allocated} Bits Allocated is not defined (PS3.5 8.2.2).")
    if len(data) < _RLE_HEADER.size:
        raise InvalidDataSet("A frame is too short for its RLE header.")
    count, *offsets = _RLE_HEADER.unpack_from(data)
    sample_bytes = pixel.bits_allocated // 8
    if count != pixel.samples_per_pixel * sample_bytes:
        raise InvalidDataSet(f"A frame has {count} RLE segments, its Data Set speaks of another number.")
    ends = [*offsets[1:count], len(data)]
    size = pixel.rows * pixel.columns
    planes = np.empty((pixel.samples_per_pixel, size, sample_bytes), np.uint8)
    for index, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        sample, byte = divmod(index, sample_bytes)
        planes[sample, :, sample_bytes - 1 - byte] = _rle_segment(data[start:end], size)
    samples = planes.view(f"<u{sample_bytes}").reshape(pixel.samples_per_pixel, pixel.rows, pixel.columns)
    return Coded(samples[0] if pixel.samples_per_pixel == 1 else np.moveaxis(samples, 0, 2))


def _rle_segment(segment: bytes, size: int) -> NDArray[np.uint8]:
    unpacked = _call(imagecodecs.packbits_decode, segment, out=size + _RLE_SLACK)
    if len(unpacked) < size:
        raise InvalidDataSet("An RLE segment is too short.")
    return np.frombuffer(unpacked, np.uint8, size)


def inflate_frame(data: bytes, pixel: ImagePixel) -> bytes:
    """PS3.5 8.2.17 (Deflated Image Frame Compression), inflated no further than the frame is large."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, pixel.frame_bytes + 1)
    except zlib.error as exc:
        raise InvalidDataSet("A deflated frame cannot be inflated.") from exc


def decode_components(data: bytes, pixel: ImagePixel) -> list[Coded]:
    """The frames that a JPEG 2000 Part 2 codestream holds as its components (PS3.5 8.2.5)."""
    codestream = find_codestream(data)
    stream = read_jpeg_2000(codestream)
    if (stream.rows, stream.columns) != (pixel.rows, pixel.columns) or stream.components % pixel.samples_per_pixel:
        _compare(stream, pixel)
    if stream.components > pixel.number_of_frames * pixel.samples_per_pixel:
        raise InvalidDataSet(f"A codestream has {stream.components} components, more than the instance has frames.")
    samples = _call(imagecodecs.jpeg2k_decode, codestream, numthreads=1)
    if samples.ndim == 2:
        return [Coded(samples, stream.precision)]
    step = pixel.samples_per_pixel
    frames = [samples[:, :, index : index + step] for index in range(0, stream.components, step)]
    return [Coded(frame[:, :, 0] if step == 1 else frame, stream.precision, is_rgb=_has_mct(pixel)) for frame in frames]


def _compare(stream: Bitstream, pixel: ImagePixel) -> None:
    if (stream.rows, stream.columns) != (pixel.rows, pixel.columns):
        raise InvalidDataSet(
            f"A frame is {stream.columns} x {stream.rows}, but its Data Set says {pixel.columns} x {pixel.rows}."
        )
    if stream.components != pixel.samples_per_pixel:
        raise InvalidDataSet(
            f"A frame has {stream.components} components, but its Data Set {pixel.samples_per_pixel} samples per pixel."
        )


def _call(decode: Callable[..., Any], data: bytes, **options: Any) -> Any:
    try:
        return decode(data, **options)
    except MemoryError:
        raise
    except Exception as exc:  # each codec has its own kinds of error
        raise InvalidDataSet("A compressed frame is damaged.") from exc


_FAMILIES: tuple[tuple[frozenset[str], Decoder], ...] = (
    (syntaxes.JPEG_LOSSY, _jpeg),
    (syntaxes.JPEG_LOSSLESS, _jpeg_lossless),
    (syntaxes.JPEG_LS, _jpeg_ls),
    (syntaxes.JPEG_2000 | syntaxes.JPEG_2000_PART_2 | syntaxes.HTJ2K, _jpeg_2000),
    (syntaxes.JPEG_XL, _jpeg_xl),
    (frozenset({uids.RLE_LOSSLESS}), _rle),
)
_DECODERS = {uid: decoder for family, decoder in _FAMILIES for uid in family}
