"""Unique identifiers: valid ones, our own, and what the Transfer Syntaxes among them mean. Knows no Data Sets."""

import re
from functools import lru_cache
from uuid import NAMESPACE_OID, uuid4, uuid5

from relais.errors import InvalidRequest

MAX_LENGTH = 64  # a longer UID is refused (PS3.5 9.1)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

# 2.25 roots need no registration (PS3.5 B.2). The version name tells which program wrote a file (PS3.7 D.3.3.2).
IMPLEMENTATION_CLASS_UID = "2.25.166394573890364937295436019485512391677"
IMPLEMENTATION_VERSION_NAME = "RELAIS_0_1"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"

_JPEG = "1.2.840.10008.1.2.4."

# Pixel Data as it is in memory, one value after the other (PS3.5 A.1, A.2, A.3, A.5).
NATIVE = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    }
)

# One bitstream for all frames (PS3.5 8.2.5 to 8.2.11): MPEG2, MPEG-4 AVC/H.264, HEVC/H.265; plain, and fragmentable.
VIDEO = frozenset(
    {f"{_JPEG}{number}" for number in range(100, 109)} | {f"{_JPEG}{number}.1" for number in range(100, 107)}
)

# JPEG (PS3.5 8.2.1): the process is lossy unless it is one of these.
_JPEG_LOSSLESS = {f"{_JPEG}{number}" for number in (57, 58, 65, 66, 70)}
_JPEG_LOSSY = {f"{_JPEG}{number}" for number in (*range(50, 57), *range(59, 65))}
_JPEG_LS = {f"{_JPEG}80", f"{_JPEG}81"}
_JPEG_2000 = {f"{_JPEG}{number}" for number in (90, 91, 92, 93, 201, 202, 203)}
_JPEG_XL = {f"{_JPEG}{number}" for number in (110, 111, 112)}

# Frames that begin with a marker of their own, by which they are told apart when nothing else says where they begin.
JPEG_FAMILY = frozenset(_JPEG_LOSSLESS | _JPEG_LOSSY | _JPEG_LS)  # FFD8 (ISO/IEC 10918-1, 14495-1)
JPEG_2000_FAMILY = frozenset(_JPEG_2000)  # FF4F FF51 (ISO/IEC 15444-1)

# Pixel Data as fragments (PS3.5 A.4).
ENCAPSULATED = frozenset(
    {ENCAPSULATED_UNCOMPRESSED, RLE_LOSSLESS, DEFLATED_IMAGE_FRAME} | JPEG_FAMILY | JPEG_2000_FAMILY | _JPEG_XL | VIDEO
)

# What may have lost something: such an image has no lossless form to fall back on (PS3.18 8.7.3.3).
LOSSY = frozenset(_JPEG_LOSSY | {f"{_JPEG}{number}" for number in (81, 91, 93, 111, 112, 203)} | VIDEO)

# What we can make out of the others.
TRANSCODE_TARGETS = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def is_valid(uid: str) -> bool:
    """Whether *uid* is digits and dots as PS3.5 9.1 has them: safe in a path, a URL and a log line.

    Deviation: a component may have leading zeros; real senders make such UIDs and repeat them faithfully.
    """
    return len(uid) <= MAX_LENGTH and _is_uid(uid)


@lru_cache(maxsize=4096)  # each is asked about several times on its way
def _is_uid(text: str) -> bool:
    return _UID.fullmatch(text) is not None


def require(uid: str | None, keyword: str, tag: int | None = None) -> str:
    """*uid* without its padding (PS3.5 6.2). Raises InvalidRequest, naming *keyword*, if it is missing or not a UID."""
    stripped = (uid or "").strip(" \0")
    if not stripped:
        raise InvalidRequest(f"{keyword} is missing.", tag=tag)
    if not is_valid(stripped):
        raise InvalidRequest(f"{keyword} is not a UID: digits and dots, at most {MAX_LENGTH} characters.", tag=tag)
    return stripped


def generate() -> str:
    """A new UID under the 2.25 root (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"


def derived(uid: str, purpose: str) -> str:
    """The UID of what is made out of *uid* for *purpose*: always the same one (PS3.5 B.2)."""
    return f"2.25.{uuid5(NAMESPACE_OID, f'{uid} {purpose}').int}"


def is_encapsulated(transfer_syntax_uid: str) -> bool:
    """Whether Pixel Data comes in fragments (PS3.5 A.4)."""
    return transfer_syntax_uid in ENCAPSULATED


def is_deflated(transfer_syntax_uid: str) -> bool:
    """Whether the whole Data Set is deflated (PS3.5 A.5)."""
    return transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN


def is_big_endian(transfer_syntax_uid: str) -> bool:
    """Whether numbers have their most significant byte first (PS3.5 A.3)."""
    return transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN


def is_implicit(transfer_syntax_uid: str) -> bool:
    """Whether Data Elements come without their VR (PS3.5 A.1)."""
    return transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
