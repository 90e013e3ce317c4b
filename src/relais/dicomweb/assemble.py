"""An instance put together from metadata and bulk data that came beside it (PS3.18 10.5.1.4). Knows values, not HTTP.

1. Bulk values pass through in pieces; pydicom encodes the rest. The Data Set is in Explicit VR Little Endian unless its
   Pixel Data came compressed: then its Transfer Syntax is theirs.
2. Which one that is says the part itself (`transfer-syntax`), else the metadata, else the bitstream of a JPEG, else the
   default of the media type (PS3.18 tables 8.7.3-2 to 8.7.3-4).
3. Compressed frames of a single-frame media type come one in a part, in their order; a video is one part.
4. Image Pixel Description that the metadata leaves out is taken from the compressed bitstream.
5. What the metadata says of an encoding that this one is not goes: group 0002, group lengths, extended offset tables.
6. Where its texts force another Specific Character Set on the Data Set than it says, the instance tells what it said
   (PS3.18 10.5.2, PS3.3 C.12.1.1.9).

Deviation: frames of media types that are no Transfer Syntax, such as image/png and image/gif, are refused, not recoded
(PS3.18 table 10.5.2-1).
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from relais.dicom import uids
from relais.dicom.elements import EXTENDED_LENGTHS, EXTENDED_OFFSETS, ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED
from relais.dicom.json_model import JsonDataset, tag_key, to_dataset
from relais.dicom.json_values import BULK_VRS
from relais.dicomweb.media_types import OCTET_STREAM, frame_media_type
from relais.errors import InvalidDataSet, TooLarge, UnsupportedMedia, UnsupportedTransferSyntax

MAX_FETCHED_BYTES = 16 * 1024**2  # of bulk data inside Items and of texts, in one instance; with more it is refused
MAX_FETCHED_VALUES = 300_000  # divided by backslashes, of that bulk data: each number takes some 450 bytes
MAX_VALUE_BYTES = 0xFFFFFFFE

ROWS = "00280010"
SPECIFIC_CHARACTER_SET, NUMBER_OF_FRAMES = 0x00080005, 0x00280008
TRANSFER_SYNTAX_UID, AVAILABLE_TRANSFER_SYNTAX_UID = 0x00020010, 0x00083002

# PS3.18 tables 8.7.3-2 to 8.7.3-4: what a frame or a video is encoded in if nobody says.
_DEFAULTS = {
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jxl": "1.2.840.10008.1.2.4.110",
    "video/mpeg2": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
    "video/h265": "1.2.840.10008.1.2.4.107",
}
_ALIASES = {"image/x-dicom-rle": "image/dicom-rle", "image/x-jls": "image/jls", "video/mpeg": "video/mpeg2"}
# A JPEG says so itself (ISO/IEC 10918-1 table B.1); of the lossless ones the usual is taken.
_OF_START_OF_FRAME = {
    0xC0: "1.2.840.10008.1.2.4.50",
    0xC1: "1.2.840.10008.1.2.4.51",
    0xC3: "1.2.840.10008.1.2.4.70",
}
_KEY = re.compile(r"[0-9A-Fa-f]{8}")
_UNWRITABLE = (TypeError, ValueError, OverflowError, AttributeError, KeyError, NotImplementedError, struct.error)


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One part of bulk data: a value, a frame or a video. *transfer_syntax_uid* is "" where it did not say."""

    media_type: str
    transfer_syntax_uid: str
    size_bytes: int
    read: Callable[[], Iterator[bytes]]


Find = Callable[[str], Sequence[BulkPart]]  # the parts that a BulkDataURI names, () if there is none
Describe = Callable[[str, bytes], JsonDataset]  # what a frame's Transfer Syntax and first bytes say of it


@dataclass(frozen=True, slots=True)
class Assembled:
    """An encoded Data Set. *is_coerced* says that its Specific Character Set could not stay."""

    transfer_syntax_uid: str
    chunks: Iterator[bytes]
    is_coerced: bool


@dataclass(frozen=True, slots=True)
class _Bulk:
    """One value that passes through."""

    tag: int
    vr: str
    parts: Sequence[BulkPart]


def assembled(json: JsonDataset, find: Find, describe: Describe) -> Assembled:
    """The instance that *json* describes, with the bulk data that *find* knows.

    Where *json* leaves out what compressed frames say of themselves, *describe* is asked.

    Raises InvalidDataSet if the metadata cannot be encoded or its bulk data is not there, UnsupportedTransferSyntax,
    UnsupportedMedia, TooLarge. Reading the chunks raises only what reading the parts raises.
    """
    fetcher = _Fetcher(find)
    bulk = [_Bulk(tag, vr, fetcher.parts(uri)) for tag, vr, uri in _streamed(json)]
    pixels = next((one.parts for one in bulk if one.tag == PIXEL_DATA), ())
    syntax = _transfer_syntax(json, pixels)
    dropped = {one.tag for one in bulk}
    if uids.is_encapsulated(syntax):
        _check_frames(json, syntax, pixels)
        if ROWS not in json:
            json = {**describe(syntax, next(pixels[0].read(), b"")), **json}
        dropped |= {EXTENDED_OFFSETS, EXTENDED_LENGTHS}  # of an encoding that this one is not
    small = {key: element for key, element in json.items() if _is_kept(_tag(key)) and _tag(key) not in dropped}
    ds = to_dataset(small, fetcher.fetch)
    is_coerced = _is_coerced(json, ds)
    if is_coerced:
        _remember(_values(json, SPECIFIC_CHARACTER_SET), ds)
    values_of = [_encapsulated(one) if _is_pixels(one, syntax) else _native(one) for one in bulk]
    chunks = _joined(_runs(ds, [one.tag for one in bulk]), values_of)
    return Assembled(syntax, chunks, is_coerced)


class _Fetcher:
    """Finds bulk data, and counts what of it comes into memory."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._left_bytes, self._left_values = MAX_FETCHED_BYTES, MAX_FETCHED_VALUES

    def parts(self, uri: str) -> Sequence[BulkPart]:
        found = self._find(uri)
        if not found:
            raise InvalidDataSet("The metadata names bulk data that did not come with it.")
        return found

    def fetch(self, uri: str) -> bytes:
        """A value that is not passed through."""
        parts = self.parts(uri)
        self._left_bytes -= sum(part.size_bytes for part in parts)
        if self._left_bytes < 0:
            raise TooLarge(f"Bulk data of texts and inside Items may have at most {MAX_FETCHED_BYTES} bytes.")
        value = b"".join(chunk for part in parts for chunk in part.read())
        self._left_values -= value.count(b"\\")
        if self._left_values < 0:
            raise TooLarge(f"Bulk data of texts may have at most {MAX_FETCHED_VALUES} values.")
        return value


def _tag(key: str) -> int:
    """The tag of a JSON name, -1 where it is none."""
    return int(key, 16) if _KEY.fullmatch(key) else -1


def _is_kept(tag: int) -> bool:
    """Whether an attribute goes into the Data Set, or is refused there."""
    return tag < 0 or (tag >> 16 > 2 and tag & 0xFFFF != 0)


def _streamed(json: JsonDataset) -> Iterator[tuple[int, str, str]]:
    """Tag, VR and URI of the values that pass through: the binary ones of the top level, in the order of tags."""
    for key in sorted(json):
        element, tag = json[key], _tag(key)
        if tag > 0 and _is_kept(tag) and isinstance(element, dict) and element.keys() == {"vr", "BulkDataURI"}:
            vr, uri = element["vr"], element["BulkDataURI"]
            if isinstance(vr, str) and vr in BULK_VRS and isinstance(uri, str):
                yield tag, vr, uri


def _transfer_syntax(json: JsonDataset, pixels: Sequence[BulkPart]) -> str:
    found = {_syntax_of(part, json) for part in pixels} or {uids.EXPLICIT_VR_LITTLE_ENDIAN}
    if len(found) > 1:
        raise InvalidDataSet("The frames of one instance came in several Transfer Syntaxes.")
    syntax = found.pop()
    return syntax if uids.is_encapsulated(syntax) else uids.EXPLICIT_VR_LITTLE_ENDIAN


def _syntax_of(part: BulkPart, json: JsonDataset) -> str:
    media_type = _ALIASES.get(part.media_type, part.media_type)
    said = [part.transfer_syntax_uid] if part.transfer_syntax_uid else _texts(json, TRANSFER_SYNTAX_UID)
    if media_type == OCTET_STREAM:
        return said[0] if said else uids.EXPLICIT_VR_LITTLE_ENDIAN
    if media_type not in _DEFAULTS:
        raise UnsupportedMedia(f"Pixel Data does not come as {part.media_type}.")
    if part.transfer_syntax_uid and frame_media_type(part.transfer_syntax_uid) != media_type:
        raise UnsupportedTransferSyntax(f"{part.media_type} is not the media type of this Transfer Syntax.")
    said += _texts(json, AVAILABLE_TRANSFER_SYNTAX_UID)
    return next((syntax for syntax in said if frame_media_type(syntax) == media_type), "") or _found(media_type, part)


def _texts(json: JsonDataset, tag: int) -> list[str]:
    """The values of an attribute that nobody has checked yet, but for the empty ones."""
    return [text for text in _values(json, tag) if text]


def _values(json: JsonDataset, tag: int) -> list[str]:
    """The values of an attribute that nobody has checked yet, "" for those that are empty."""
    element = json.get(tag_key(tag))
    found = element.get("Value") if isinstance(element, dict) else None
    return ["" if value is None else str(value) for value in found] if isinstance(found, list) else []


def _found(media_type: str, part: BulkPart) -> str:
    """What nobody said."""
    if media_type != "image/jpeg":
        return _DEFAULTS[media_type]
    marker = _start_of_frame(next(part.read(), b""))
    if marker not in _OF_START_OF_FRAME:
        raise UnsupportedTransferSyntax("This kind of JPEG is not a Transfer Syntax.")
    return _OF_START_OF_FRAME[marker]


def _start_of_frame(jpeg: bytes) -> int:
    """The marker of the frame header (ISO/IEC 10918-1 B.2.2), 0 without one."""
    at = 2
    while jpeg[:2] == b"\xff\xd8" and at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return 0


def _check_frames(json: JsonDataset, syntax: str, pixels: Sequence[BulkPart]) -> None:
    said = [text for text in _texts(json, NUMBER_OF_FRAMES) if text.isdecimal()]
    expected = 1 if syntax in uids.VIDEO or not said else int(said[0])
    if len(pixels) != expected:
        raise InvalidDataSet(f"Pixel Data of {expected} parts came in {len(pixels)}.")


def _is_coerced(json: JsonDataset, ds: Dataset) -> bool:
    """Whether its texts forced another Specific Character Set upon the Data Set than the metadata says."""
    said = _texts(json, SPECIFIC_CHARACTER_SET)
    return bool(said) and said != [term for term in _character_set(ds) if term]


def _remember(said: Sequence[str], ds: Dataset) -> None:
    """Put what was *said* of a Specific Character Set, if it is one, into the Original Attributes Sequence of *ds*.

    An empty first value is one, too: the default repertoire (PS3.3 C.12.1.1.2).
    """
    modified, item = Dataset(), Dataset()
    modified.SpecificCharacterSet = [term for term in said if term in python_encoding]
    item.ModifiedAttributesSequence = [modified]
    item.AttributeModificationDateTime = datetime.now(UTC).strftime("%Y%m%d%H%M%S%z")
    item.ModifyingSystem, item.SourceOfPreviousValues = uids.IMPLEMENTATION_VERSION_NAME, ""
    item.ReasonForTheAttributeModification = "COERCE"
    ds.OriginalAttributesSequence = [*(ds.get("OriginalAttributesSequence") or ()), item]


def _character_set(ds: Dataset) -> list[str]:
    found = ds.get("SpecificCharacterSet") or ""
    return [found] if isinstance(found, str) else [str(value) for value in found]


def _runs(ds: Dataset, tags: Iterable[int]) -> list[bytes]:
    """*ds*, encoded: what stands before each of *tags*, and what stands behind the last."""
    runs, left, character_set = [_writer()], deque(tags), _character_set(ds)
    try:
        for elem in ds:
            while left and elem.tag > left[0]:
                left.popleft()
                runs.append(_writer())
            write_data_element(runs[-1], elem, character_set)
    except _UNWRITABLE as exc:
        raise InvalidDataSet("The metadata has a value that cannot be encoded.") from exc
    runs += [_writer() for _ in left]
    return [run.getvalue() for run in runs]


def _writer() -> DicomBytesIO:
    writer = DicomBytesIO()
    writer.is_little_endian, writer.is_implicit_VR = True, False
    return writer


def _is_pixels(bulk: _Bulk, syntax: str) -> bool:
    return bulk.tag == PIXEL_DATA and uids.is_encapsulated(syntax)


def _native(bulk: _Bulk) -> Iterator[bytes]:
    """One element, its parts one behind the other."""
    size_bytes = sum(part.size_bytes for part in bulk.parts)
    padding = bytes(size_bytes % 2)
    _check_size(size_bytes)
    head = struct.pack("<HH2s2xI", bulk.tag >> 16, bulk.tag & 0xFFFF, bulk.vr.encode(), size_bytes + len(padding))
    return chain([head], _contents(bulk.parts), [padding])


def _encapsulated(bulk: _Bulk) -> Iterator[bytes]:
    """Pixel Data of one fragment for each part, with an empty Basic Offset Table (PS3.5 A.4)."""
    for part in bulk.parts:
        _check_size(part.size_bytes)
    tag = (bulk.tag >> 16, bulk.tag & 0xFFFF)
    head = struct.pack("<HH2s2xI", *tag, b"OB", UNDEFINED) + _item(ITEM, 0)
    return chain([head], chain.from_iterable(map(_fragment, bulk.parts)), [_item(SEQUENCE_END, 0)])


def _fragment(part: BulkPart) -> Iterator[bytes]:
    padding = bytes(part.size_bytes % 2)
    return chain([_item(ITEM, part.size_bytes + len(padding))], part.read(), [padding])


def _item(tag: int, size_bytes: int) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, size_bytes)


def _contents(parts: Iterable[BulkPart]) -> Iterator[bytes]:
    return chain.from_iterable(part.read() for part in parts)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_VALUE_BYTES:
        raise TooLarge(f"A value or fragment may have at most {MAX_VALUE_BYTES} bytes (PS3.5 7.1).")


def _joined(runs: Iterable[bytes], passed: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    for run, value in zip(runs, chain(passed, [iter(())]), strict=True):
        yield run
        yield from value
