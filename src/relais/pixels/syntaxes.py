"""Which Transfer Syntaxes are decoded and encoded, by family. Knows UIDs, not codecs: import it wherever that is asked.

Not decoded: video, JPEG with arithmetic coding (retired), hierarchical JPEG (retired), JPIP (no pixels in the file).
"""

from dataclasses import dataclass

from relais.dicom import uids

_JPEG = "1.2.840.10008.1.2.4."

JPEG_BASELINE, JPEG_EXTENDED = _JPEG + "50", _JPEG + "51"
JPEG_LS_LOSSLESS = _JPEG + "80"

JPEG_LOSSY = frozenset({JPEG_BASELINE, JPEG_EXTENDED, _JPEG + "53", _JPEG + "55"})  # baseline, extended, progressive
JPEG_LOSSLESS = frozenset({_JPEG + "57", _JPEG + "70"})
JPEG_LS_NEAR_LOSSLESS = _JPEG + "81"
JPEG_LS = frozenset({JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS})
JPEG_2000 = frozenset({_JPEG + "90", _JPEG + "91"})
JPEG_2000_PART_2 = frozenset({_JPEG + "92", _JPEG + "93"})
HTJ2K = frozenset({_JPEG + "201", _JPEG + "202", _JPEG + "203"})
JPEG_XL = frozenset({_JPEG + "110", _JPEG + "111", _JPEG + "112"})
UNCOMPRESSED_FRAMES = frozenset({uids.ENCAPSULATED_UNCOMPRESSED, uids.DEFLATED_IMAGE_FRAME})

DECODABLE = frozenset(
    uids.NATIVE
    | {uids.RLE_LOSSLESS}
    | JPEG_LOSSY
    | JPEG_LOSSLESS
    | JPEG_LS
    | JPEG_2000
    | JPEG_2000_PART_2
    | HTJ2K
    | JPEG_XL
    | UNCOMPRESSED_FRAMES
)

# What loses something here: the other syntaxes are encoded without loss (pixels.encoders).
LOSSY_WHEN_ENCODED = frozenset({JPEG_BASELINE, JPEG_EXTENDED})

_LOSABLE = frozenset({"MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})

ENCODABLE = frozenset({uids.RLE_LOSSLESS, JPEG_LS_LOSSLESS} | JPEG_LOSSLESS | JPEG_2000 | HTJ2K | LOSSY_WHEN_ENCODED)


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides whether a frame can be encoded (PS3.3 C.7.6.3)."""

    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    photometric_interpretation: str
    is_signed: bool = False
    is_float: bool = False


def can_encode(transfer_syntax_uid: str, shape: Shape) -> bool:
    """Whether frames of that *shape* can be had in a compressed Transfer Syntax (PS3.5 8.2)."""
    widths = (8, 16, 32) if transfer_syntax_uid == uids.RLE_LOSSLESS else (8, 12, 16)
    if transfer_syntax_uid not in ENCODABLE or shape.is_float or shape.bits_allocated not in widths:
        return False
    if transfer_syntax_uid not in LOSSY_WHEN_ENCODED:
        return True
    most = 8 if transfer_syntax_uid == JPEG_BASELINE or shape.samples_per_pixel > 1 else 12
    return shape.photometric_interpretation in _LOSABLE and shape.bits_stored <= most and not shape.is_signed


def can_transcode(transfer_syntax_uid: str) -> bool:
    """Whether an instance stored in this Transfer Syntax can be had in Explicit and Implicit VR Little Endian."""
    return transfer_syntax_uid in DECODABLE


def holds_native_frames(transfer_syntax_uid: str) -> bool:
    """Whether frames are uncompressed samples, be they in fragments or not."""
    return transfer_syntax_uid in uids.NATIVE | UNCOMPRESSED_FRAMES
