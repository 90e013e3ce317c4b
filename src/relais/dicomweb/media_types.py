"""Media types of DICOMweb: what a user agent accepts, and the choice among what can be made. Knows text, not requests.

1. An Accept list in which nothing can be parsed is an InvalidRequest; one that nothing fits is NotAcceptable (PS3.18
   8.7.8). Members that cannot be parsed beside others are ignored (PS3.18 8.7.7).
2. The most specific media range decides the quality of an offer; quality 0 excludes it (RFC 9110 12.5.1).
3. Among equal qualities the offers' own order decides: the server lists first what the standard makes the default, or
   what is cheapest to make.

Deviation: without an Accept header field everything is acceptable; PS3.18 8.7.5 wants a 406.
Deviation: an Accept header field may name DICOM and what it is rendered into; PS3.18 8.7.5 wants a 400.
Deviation: an Accept header field in which nothing can be parsed is a 400; PS3.18 8.7.7 ignores it, which ends in a 406.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pydicom import uid

from relais.errors import InvalidRequest, NotAcceptable

ANY = "*/*"
MULTIPART = "multipart/related"
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
OCTET_STREAM = "application/octet-stream"
JPEG = "image/jpeg"
PNG = "image/png"
PDF = "application/pdf"
ZIP = "application/zip"

AS_STORED = "*"  # the transfer-syntax parameter's wild card

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2

MAX_HEADER_CHARACTERS = 16_384  # an Accept or Content-Type value longer than this is refused

# The media type of one encoded frame, by Transfer Syntax (PS3.18 table 8.7.3-5).
_FRAME_MEDIA_TYPES: dict[str, str] = {
    uid.JPEGBaseline8Bit: JPEG,
    uid.JPEGExtended12Bit: JPEG,
    uid.JPEGLossless: JPEG,
    uid.JPEGLosslessSV1: JPEG,
    uid.RLELossless: "image/dicom-rle",
    uid.JPEGLSLossless: "image/jls",
    uid.JPEGLSNearLossless: "image/jls",
    uid.JPEG2000Lossless: "image/jp2",
    uid.JPEG2000: "image/jp2",
    uid.JPEG2000MCLossless: "image/jpx",
    uid.JPEG2000MC: "image/jpx",
    uid.HTJ2KLossless: "image/jphc",
    uid.HTJ2KLosslessRPCL: "image/jphc",
    uid.HTJ2K: "image/jphc",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    uid.MPEG2MPML: "video/mpeg2",
    uid.MPEG2MPMLF: "video/mpeg2",
    uid.MPEG2MPHL: "video/mpeg2",
    uid.MPEG2MPHLF: "video/mpeg2",
    uid.MPEG4HP41: "video/mp4",
    uid.MPEG4HP41F: "video/mp4",
    uid.MPEG4HP41BD: "video/mp4",
    uid.MPEG4HP41BDF: "video/mp4",
    uid.MPEG4HP422D: "video/mp4",
    uid.MPEG4HP422DF: "video/mp4",
    uid.MPEG4HP423D: "video/mp4",
    uid.MPEG4HP423DF: "video/mp4",
    uid.MPEG4HP42STEREO: "video/mp4",
    uid.MPEG4HP42STEREOF: "video/mp4",
    uid.HEVCMP51: "video/h265",
    uid.HEVCM10P51: "video/h265",
}


def frame_media_type(transfer_syntax_uid: str) -> str:
    """The media type of a frame in this Transfer Syntax, application/octet-stream for native and unknown ones."""
    return _FRAME_MEDIA_TYPES.get(transfer_syntax_uid, OCTET_STREAM)


def frame_media_types() -> tuple[str, ...]:
    """Every media type that an encoded frame may have."""
    return tuple(dict.fromkeys(_FRAME_MEDIA_TYPES.values()))


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type with its parameters, both lower case but for the parameters' values."""

    essence: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One member of an Accept list.

    *media_type* is that of the payload or, for multipart/related, of its parts; it may be `*/*` or `image/*`.
    *is_multipart* is None for `*/*`, which leaves that open. *transfer_syntax_uid* is "" when none was asked for.
    *character_set* is the charset parameter, "" for none. *is_by_query* says that a query parameter asked for it, not
    the header field.
    """

    media_type: str
    is_multipart: bool | None = False
    transfer_syntax_uid: str = ""
    quality: float = 1.0
    character_set: str = ""
    is_by_query: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """One representation that can be made.

    *is_default* says that it is what comes when no Transfer Syntax is asked for, *is_stored* that it is what
    `transfer-syntax=*` means. An offer without *transfer_syntax_uid* has none, and fits whichever is asked for.
    """

    media_type: str
    is_multipart: bool = False
    transfer_syntax_uid: str = ""
    is_default: bool = True
    is_stored: bool = True


@lru_cache(maxsize=512)
def parse_media_type(text: str) -> MediaType:
    """A Content-Type value (RFC 9110 8.3.1). InvalidRequest if it is not one."""
    members = _split(_bounded(text), ",")
    if len(members) != 1:
        raise InvalidRequest("The Content-Type must name exactly one media type.")
    essence, *parameters = _split(members[0], ";")
    return MediaType(_essence(essence), _parameters(parameters))


@lru_cache(maxsize=512)
def parse_accept(text: str) -> tuple[MediaRange, ...]:
    """An Accept value, header field or `accept` query parameter; nothing at all means `*/*` (PS3.18 8.7.5).

    Seen: `type=` without quotes, and the Transfer Syntax inside the quotes of `type=` (OHIF, Orthanc).
    """
    members = [member for member in _split(_bounded(text), ",") if member]
    found: list[MediaRange] = []
    wrong: InvalidRequest | None = None
    for member in members:
        try:
            found.append(_media_range(member))
        except InvalidRequest as error:
            wrong = error
    if wrong and not found:
        raise wrong
    return tuple(found) or (MediaRange(ANY, is_multipart=None),)


def acceptable(header: str, query_parameter: str) -> tuple[MediaRange, ...]:
    """What the user agent accepts: what the query parameter names, else what the header field does (PS3.18 8.7.8.1).

    Raises InvalidRequest where the parameter names both DICOM and what it is rendered into (PS3.18 8.3.3.1). A header
    field beside it that cannot be parsed is left alone.

    Deviation: the parameter may hold wild cards; PS3.18 8.3.3.1 leaves them to the header field.
    """
    if not query_parameter.strip():
        return parse_accept(header)
    asked = parse_accept(query_parameter)
    if any(map(_is_dicom, asked)) and any(map(_is_rendered, asked)):
        raise InvalidRequest("DICOM and what it is rendered into cannot be accepted in one query parameter.")
    beside: tuple[MediaRange, ...] = ()
    with suppress(InvalidRequest):
        beside = parse_accept(header) if header.strip() else ()
    return (*(replace(one, is_by_query=True) for one in asked), *beside)


def _is_dicom(wanted: MediaRange) -> bool:
    return wanted.media_type in (DICOM, DICOM_JSON, DICOM_XML)


def _is_rendered(wanted: MediaRange) -> bool:
    return wanted.media_type.partition("/")[0] in ("image", "text", "video") or wanted.media_type == PDF


def select(ranges: Iterable[MediaRange], offers: Sequence[Offer]) -> Offer:
    """The best of *offers*. NotAcceptable if none fits."""
    return _selected(tuple(ranges), tuple(offers))


@lru_cache(maxsize=256)
def _selected(ranges: tuple[MediaRange, ...], offers: tuple[Offer, ...]) -> Offer:
    best = max(offers, key=lambda offer: quality(ranges, offer), default=None)
    if best is None or quality(ranges, best) <= 0:
        raise NotAcceptable(f"None of the acceptable media types can be made; there are: {_names(offers)}.")
    return best


def quality(ranges: Iterable[MediaRange], offer: Offer) -> float:
    """How much *offer* is wanted, 0 if not at all (RFC 9110 12.5.1); above 1 if it is by a query parameter."""
    fitting = [(wanted.is_by_query, _specificity(wanted), wanted.quality) for wanted in ranges if _fits(wanted, offer)]
    is_by_query, _, rank = max(fitting, default=(False, None, 0.0))
    return rank + is_by_query if rank else 0.0


def format_media_type(essence: str, parameters: Mapping[str, str]) -> str:
    """A media type as text. Values that are not tokens are quoted, as `type` always is (PS3.18 8.7.3)."""
    return "; ".join((essence, *(f"{name}={_quoted(name, value)}" for name, value in parameters.items())))


def _fits(wanted: MediaRange, offer: Offer) -> bool:
    if wanted.is_multipart is not None and wanted.is_multipart != offer.is_multipart:
        return False
    if not covers(wanted.media_type, offer.media_type):
        return False
    if not offer.transfer_syntax_uid:
        return True
    match wanted.transfer_syntax_uid:
        case "":
            return offer.is_default
        case "*":
            return offer.is_stored
        case asked:
            return asked == offer.transfer_syntax_uid


def covers(pattern: str, media_type: str) -> bool:
    """Whether *media_type* is in the range *pattern*: `*/*`, `image/*` or a type itself (RFC 9110 12.5.1)."""
    return pattern in (ANY, media_type) or (pattern.endswith("/*") and media_type.startswith(pattern[:-1]))


def _specificity(wanted: MediaRange) -> tuple[int, bool, bool]:
    exactness = 0 if wanted.media_type == ANY else 1 if wanted.media_type.endswith("/*") else 2
    return exactness, wanted.is_multipart is not None, wanted.transfer_syntax_uid not in ("", AS_STORED)


def _media_range(text: str) -> MediaRange:
    name, *rest = _split(text, ";")
    essence, parameters = _essence(ANY if name == "*" else name), _parameters(rest)
    rank, character_set = _quality(parameters.get("q", "1")), parameters.get("charset", "")
    if essence in (MULTIPART, "multipart/*"):
        part, nested = _part_type(parameters.get("type", ANY))
        syntax = parameters.get("transfer-syntax") or nested.get("transfer-syntax", "")
        return MediaRange(part, True, _transfer_syntax(syntax), rank, character_set)
    syntax = _transfer_syntax(parameters.get("transfer-syntax", ""))
    return MediaRange(essence, None if essence == ANY else False, syntax, rank, character_set)


def _part_type(text: str) -> tuple[str, dict[str, str]]:
    name, *rest = _split(text, ";")
    return _essence(name), _parameters(rest)


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidRequest("A quality (q) in Accept must be a number from 0 to 1.")
    return value


def _transfer_syntax(text: str) -> str:
    if text in ("", AS_STORED) or (text.replace(".", "").isdecimal() and text.isascii() and len(text) <= 64):
        return text
    raise InvalidRequest("A transfer-syntax in Accept must be a UID or *.")


def _essence(text: str) -> str:
    name, slash, subtype = text.strip().lower().partition("/")
    if not (slash and _is_token(name) and _is_token(subtype)) or (name == "*" and subtype != "*"):
        raise InvalidRequest("A media type must have the form type/subtype.")
    return f"{name}/{subtype}"


def _parameters(texts: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lower()
        if not text.strip():
            continue
        if not equals or not _is_token(name):
            raise InvalidRequest("A parameter of a media type must have the form name=value.")
        found.setdefault(name, _unquoted(value.strip()))
    return found


def _split(text: str, separator: str) -> list[str]:
    """*text* cut at every *separator* outside quoted strings."""
    pieces, start, quoted, escaped = [], 0, False, False
    for position, character in enumerate(text):
        if quoted and (escaped or character == "\\"):
            escaped = not escaped
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            pieces.append(text[start:position].strip())
            start = position + 1
    if quoted:
        raise InvalidRequest("A quoted string in a media type does not end.")
    return [*pieces, text[start:].strip()]


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    pieces = iter(value[1:-1])
    return "".join(next(pieces, "") if character == "\\" else character for character in pieces)


def _quoted(name: str, value: str) -> str:
    if name != "type" and value and _is_token(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def _bounded(text: str) -> str:
    if len(text) > MAX_HEADER_CHARACTERS:
        raise InvalidRequest(f"A media type may have at most {MAX_HEADER_CHARACTERS} characters.")
    return text


def _names(offers: Iterable[Offer]) -> str:
    names = (f'{MULTIPART}; type="{o.media_type}"' if o.is_multipart else o.media_type for o in offers)
    return ", ".join(dict.fromkeys(names)) or "none"
