"""Encoders by Transfer Syntax: the samples of one frame to its bitstream. Knows samples, not Data Sets or files.

1. Whether a frame can be encoded is told by `syntaxes.can_encode`; here it has been asked.
2. Reversible encoders keep the container of Bits Allocated bit for bit, with whatever is in it beyond Bits Stored.
   The precision of a JPEG or JPEG 2000 bitstream is Bits Stored where all values fit; JPEG-LS and HTJ2K bitstreams
   have that of the container, for their encoders know no other, and so has JPEG Lossless where Bits Stored would fit
   a smaller one, which some decoders would then make of it.
3. Syntaxes that leave it to the sender whether something is lost are encoded without loss (PS3.5 10.6, 10.18).
"""

from collections.abc import Callable
from struct import Struct
from typing import Any

import imagecodecs
import numpy as np

from relais.dicom import uids
from relais.errors import NotAcceptable
from relais.pixels import syntaxes
from relais.pixels.codecs import Samples
from relais.pixels.decode import COLOUR_AFTER_CODEC, Decoded, stored_values
from relais.pixels.image import ImagePixel

QUALITY = 90  # of lossy JPEG, from 1 to 100: nobody who asks for a Transfer Syntax can say which
SMALLEST_SIDE = 64  # of the lowest resolution in HTJ2K Lossless RPCL (PS3.5 10.18)

Encoder = Callable[[Decoded, ImagePixel], bytes]

_SOI, _SOF_JPEG_LS = b"\xff\xd8", b"\xff\xd8\xff\xf7"
_RLE_HEADER = Struct("<16I")


def encode_frame(decoded: Decoded, transfer_syntax_uid: str, pixel: ImagePixel) -> bytes:
    """One frame as a bitstream. Raises NotAcceptable for a Transfer Syntax that is not encoded."""
    encoder = _ENCODERS.get(transfer_syntax_uid)
    if encoder is None or not syntaxes.can_encode(transfer_syntax_uid, shape_of(pixel)):
        raise NotAcceptable(f"This image cannot be encoded in Transfer Syntax {transfer_syntax_uid}.")
    return encoder(decoded, pixel)


def photometric_after_encoding(photometric_interpretation: str, transfer_syntax_uid: str) -> str:
    """The Photometric Interpretation of an instance whose samples, so called, have been encoded (PS3.5 8.2)."""
    photometric_interpretation = COLOUR_AFTER_CODEC.get(photometric_interpretation, photometric_interpretation)
    if transfer_syntax_uid in syntaxes.JPEG_LOSSY and photometric_interpretation in {"RGB", "YBR_FULL"}:
        return "YBR_FULL_422"
    if transfer_syntax_uid in syntaxes.JPEG_2000 | syntaxes.HTJ2K and photometric_interpretation == "RGB":
        return "YBR_RCT"
    return photometric_interpretation


def shape_of(pixel: ImagePixel) -> syntaxes.Shape:
    """What decides whether a frame can be encoded."""
    return syntaxes.Shape(
        pixel.samples_per_pixel,
        pixel.bits_allocated,
        pixel.bits_stored,
        pixel.photometric_interpretation,
        is_signed=pixel.is_signed,
        is_float=pixel.is_float,
    )


def _jpeg_ls(decoded: Decoded, _: ImagePixel) -> bytes:
    """Without the SPIFF header that CharLS puts before it."""
    bitstream = bytes(imagecodecs.jpegls_encode(_unsigned(decoded.samples)))
    return _SOI + bitstream[bitstream.index(_SOF_JPEG_LS) + len(_SOI) :]


def _jpeg_2000(decoded: Decoded, pixel: ImagePixel) -> bytes:
    is_rgb = decoded.photometric_interpretation == "RGB"
    bits = _precision(decoded.samples, pixel)
    options: dict[str, Any] = {"codecformat": "j2k", "reversible": True, "mct": is_rgb, "numthreads": 1}
    return bytes(imagecodecs.jpeg2k_encode(decoded.samples, level=0, bitspersample=bits, **options))


def _htj2k(decoded: Decoded, _: ImagePixel) -> bytes:
    """OpenJPH orders packets by resolution (RPCL) and writes tile-part lengths, as HTJ2K Lossless RPCL needs it."""
    longest = max(decoded.samples.shape[:2])
    levels = max(0, (longest - 1).bit_length() - (SMALLEST_SIDE - 1).bit_length())
    is_rgb = decoded.photometric_interpretation == "RGB"
    samples = np.ascontiguousarray(decoded.samples)
    return bytes(imagecodecs.htj2k_encode(samples, reversible=True, rgb=is_rgb, resolutions=levels, tlm=True))


def _jpeg_lossless(decoded: Decoded, pixel: ImagePixel) -> bytes:
    """Process 14 with selection value 1. The bitstream says RGB of RGB only: some decoders believe it."""
    bits, container_bits = max(2, _precision(decoded.samples, pixel)), decoded.samples.dtype.itemsize * 8
    bits = container_bits if bits <= 8 < container_bits else bits
    samples = _unsigned(decoded.samples) & ((1 << bits) - 1)
    colour = "RGB" if decoded.photometric_interpretation == "RGB" else "UNKNOWN"
    colours: dict[str, Any] = {"colorspace": colour, "outcolorspace": colour} if pixel.samples_per_pixel == 3 else {}
    samples = samples.astype(np.uint8 if bits <= 8 else np.uint16)
    return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, predictor=1, bitspersample=bits, **colours))


def _jpeg(decoded: Decoded, pixel: ImagePixel) -> bytes:
    """Processes 1 (8 bits) and 4 (12 bits). Colour becomes YCbCr with half the chroma (PS3.5 8.2.1)."""
    bits = 8 if pixel.bits_stored <= 8 else 12
    samples = np.ascontiguousarray(stored_values(decoded.samples, pixel), np.uint8 if bits == 8 else np.uint16)
    options: dict[str, Any] = {}
    if pixel.samples_per_pixel == 3:
        given = "RGB" if decoded.photometric_interpretation == "RGB" else "YCBCR"
        options = {"colorspace": given, "outcolorspace": "YCBCR", "subsampling": "422"}
    return bytes(imagecodecs.jpeg8_encode(samples, level=QUALITY, bitspersample=bits, **options))


def _rle(decoded: Decoded, _: ImagePixel) -> bytes:
    """PS3.5 G: rows do not run into each other, segments have even lengths."""
    samples = decoded.samples
    planes = [samples] if samples.ndim == 2 else [samples[:, :, sample] for sample in range(samples.shape[2])]
    segments = [_padded(bytes(imagecodecs.packbits_encode(octets))) for plane in planes for octets in _octets(plane)]
    if len(segments) > 15:
        raise NotAcceptable("A frame needs more than the 15 segments of RLE Lossless.")
    offsets = [_RLE_HEADER.size]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    return _RLE_HEADER.pack(len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


def _octets(plane: Samples) -> list[Samples]:
    """The bytes of all samples, the most significant ones first."""
    size = plane.dtype.itemsize
    octets = np.ascontiguousarray(plane, dtype=plane.dtype.newbyteorder(">")).view(np.uint8)
    return [octets.reshape(*plane.shape, size)[:, :, place].copy() for place in range(size)]


def _padded(segment: bytes) -> bytes:
    return segment + b"\0" * (len(segment) % 2)


def _unsigned(samples: Samples) -> Samples:
    """Two's complement, for bitstreams that know no sign."""
    return np.ascontiguousarray(samples).view(f"u{samples.dtype.itemsize}")


def _precision(samples: Samples, pixel: ImagePixel) -> int:
    """Bits Stored, or else what the container has, if anything lies beyond them."""
    bits = pixel.bits_stored
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if pixel.is_signed else (0, (1 << bits) - 1)
    if pixel.high_bit == bits - 1 and low <= samples.min() and samples.max() <= high:
        return bits
    return samples.dtype.itemsize * 8


_FAMILIES: tuple[tuple[frozenset[str], Encoder], ...] = (
    (frozenset({syntaxes.JPEG_LS_LOSSLESS}), _jpeg_ls),
    (syntaxes.JPEG_2000, _jpeg_2000),
    (syntaxes.HTJ2K, _htj2k),
    (syntaxes.JPEG_LOSSLESS, _jpeg_lossless),
    (frozenset({syntaxes.JPEG_BASELINE, syntaxes.JPEG_EXTENDED}), _jpeg),
    (frozenset({uids.RLE_LOSSLESS}), _rle),
)
_ENCODERS = {uid: encoder for family, encoder in _FAMILIES for uid in family}
