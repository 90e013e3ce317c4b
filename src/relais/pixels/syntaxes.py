"""Which Transfer Syntaxes are decoded, by family. Knows UIDs, not codecs: this may be imported where nothing decodes.

Not decoded: video, JPEG with arithmetic coding (retired), hierarchical JPEG (retired), JPIP (no pixels in the file).
"""

from relais.dicom import uids

_JPEG = "1.2.840.10008.1.2.4."

JPEG_LOSSY = frozenset({_JPEG + "50", _JPEG + "51", _JPEG + "53", _JPEG + "55"})  # baseline, extended, progressive
JPEG_LOSSLESS = frozenset({_JPEG + "57", _JPEG + "70"})
JPEG_LS_NEAR_LOSSLESS = _JPEG + "81"
JPEG_LS = frozenset({_JPEG + "80", JPEG_LS_NEAR_LOSSLESS})
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


def can_transcode(transfer_syntax_uid: str) -> bool:
    """Whether an instance stored in this Transfer Syntax can be had in Explicit and Implicit VR Little Endian."""
    return transfer_syntax_uid in DECODABLE


def holds_native_frames(transfer_syntax_uid: str) -> bool:
    """Whether frames are uncompressed samples, be they in fragments or not."""
    return transfer_syntax_uid in uids.NATIVE | UNCOMPRESSED_FRAMES
