"""The head of a Part 10 file: preamble and File Meta Information (PS3.10 7.1), read and written. Knows no Data Sets.

We write where an instance came from into the head: the three AE titles where the standard has a place for them, and
the rest as JSON in the Private Information, under our Creator UID. Only a head that we wrote ourselves may be believed
in this: ingest never takes over the Private Information of a file that comes in.
"""

import json
from collections.abc import Callable
from functools import cache, lru_cache
from struct import Struct
from typing import Any, NamedTuple

import orjson

from relais.dicom.origin import Channel, Origin
from relais.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from relais.errors import InvalidDataSet

PREAMBLE_BYTES = 132  # 128 of any content, then "DICM"
MAX_HEAD_BYTES = 64 * 1024  # a longer File Meta Information is refused

_PREAMBLE = bytes(128) + b"DICM"
_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2s2xI")
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_UINT = Struct("<I")

_PIECE_BYTES = 4096
_GROUP_LENGTH_HEADER = b"\x02\x00\x00\x00UL\x04\x00"

_GROUP_LENGTH, _VERSION = 0x0000, 0x0001
_MEDIA_STORAGE_SOP_CLASS, _MEDIA_STORAGE_SOP_INSTANCE, _TRANSFER_SYNTAX = 0x0002, 0x0003, 0x0010
_IMPLEMENTATION_CLASS, _IMPLEMENTATION_VERSION = 0x0012, 0x0013
_SOURCE, _SENDING, _RECEIVING = 0x0016, 0x0017, 0x0018
_PRIVATE_CREATOR, _PRIVATE = 0x0100, 0x0102


class FileMeta(NamedTuple):
    """The File Meta Information, as far as we use it. *private* is what our own Private Information holds, else empty.

    Read from a stranger's file, any UID may be missing ("") or malformed.
    """

    transfer_syntax_uid: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    source_ae_title: str = ""
    sending_ae_title: str = ""
    receiving_ae_title: str = ""
    private: bytes = b""


def encode_head(meta: FileMeta) -> bytes:
    """Preamble and File Meta Information, ready to be followed by the Data Set (PS3.10 7.1)."""
    ae_titles = (meta.source_ae_title, meta.sending_ae_title, meta.receiving_ae_title)
    group = b"".join(
        (
            _before_instance(meta.sop_class_uid),
            _uid(_MEDIA_STORAGE_SOP_INSTANCE, meta.sop_instance_uid),
            _behind_instance(meta.transfer_syntax_uid, *ae_titles),
        )
    )
    if meta.private:
        group += _our_creator() + _element(_PRIVATE, b"OB", meta.private)
    return _PREAMBLE + _element(_GROUP_LENGTH, b"UL", _UINT.pack(len(group))) + group


@cache
def _our_creator() -> bytes:
    return _uid(_PRIVATE_CREATOR, IMPLEMENTATION_CLASS_UID)


@lru_cache(maxsize=1024)
def _before_instance(sop_class_uid: str) -> bytes:
    return _element(_VERSION, b"OB", b"\x00\x01") + _uid(_MEDIA_STORAGE_SOP_CLASS, sop_class_uid)


@lru_cache(maxsize=1024)
def _behind_instance(transfer_syntax_uid: str, source: str, sending: str, receiving: str) -> bytes:
    """What the instances of one association have in common."""
    elements = (
        _uid(_TRANSFER_SYNTAX, transfer_syntax_uid),
        _uid(_IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID),
        _text(_IMPLEMENTATION_VERSION, b"SH", IMPLEMENTATION_VERSION_NAME),
        _ae_title(_SOURCE, source),
        _ae_title(_SENDING, sending),
        _ae_title(_RECEIVING, receiving),
    )
    return b"".join(elements)


def parse_head(data: bytes | bytearray | memoryview) -> tuple[FileMeta, int] | None:
    """The File Meta Information at the start of *data* and the offset of the Data Set; None if *data* ends too early.

    Group 0002 ends where another group begins; its Group Length is not believed. Raises InvalidDataSet if this is no
    Part 10 file, or its File Meta Information is malformed or longer than MAX_HEAD_BYTES.
    """
    start = bytes(data[: MAX_HEAD_BYTES + _LONG.size])
    if len(start) >= PREAMBLE_BYTES and start[128:PREAMBLE_BYTES] != b"DICM":
        raise InvalidDataSet("This is not a DICOM Part 10 file: no DICM after the preamble.")
    elements: dict[int, bytes] = {}
    position = PREAMBLE_BYTES
    while position + _SHORT.size <= len(start):
        group, element, vr, length = _SHORT.unpack_from(start, position)
        if group != 2:
            return _file_meta(elements), position
        value_at = position + _SHORT.size
        if vr in _LONG_VRS:
            if position + _LONG.size > len(start):
                break
            length, value_at = _LONG.unpack_from(start, position)[3], position + _LONG.size
        elif not vr.isalpha():
            raise InvalidDataSet(f"(0002,{element:04X}) of the File Meta Information has no VR.")
        position = value_at + length
        _check_bounds(position)
        elements[element] = start[value_at:position]
    return None


def parse_whole_head(data: bytes | bytearray | memoryview) -> tuple[FileMeta, int]:
    """The same for *data* that is all there is: a file may end after its File Meta Information, not within."""
    # A Data Set's first element behind it shows where group 0002 ends, also where there is no Data Set.
    found = parse_head(bytes(data[: MAX_HEAD_BYTES + _LONG.size]) + b"\xff\xff" + bytes(6))
    if found is None or found[1] > len(data):
        raise InvalidDataSet("The file ends within its File Meta Information.")
    return found


def read_head(read: Callable[[int], bytes], rest: bytearray | None = None) -> tuple[FileMeta, bytes]:
    """The File Meta Information and the raw head, from the start of a stream that is left where the Data Set begins.

    That needs a true Group Length, which some files lack: give *rest* to read those too. The stream is then read
    further, and *rest* receives what belongs to the Data Set. Raises InvalidDataSet as parse_head does.
    """
    if rest is None:
        head = _read_declared(read)
        meta, end = parse_whole_head(head)
        if end != len(head):
            raise InvalidDataSet("The Group Length (0002,0000) of the File Meta Information is wrong.")
        return meta, head
    data = bytearray()
    while (found := parse_head(data)) is None:
        chunk = read(_PIECE_BYTES)
        if not chunk:
            found = parse_whole_head(data)
            break
        data += chunk
    rest += data[found[1] :]
    return found[0], bytes(data[: found[1]])


def private_information(origin: Origin, received_at: float | None = None) -> bytes:
    """What the Private Information keeps of *origin*, and when the instance was received (seconds since 1970, UTC)."""
    fields = {
        "channel": str(origin.channel),
        "address": origin.address,
        "user": origin.user,
        "received_at": received_at,
    }
    said = {key: value for key, value in fields.items() if value}
    try:
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, which only the standard library writes
        return json.dumps(said, sort_keys=True).encode()


def origin_of(meta: FileMeta) -> Origin | None:
    """Where an instance came from, if *meta* was read from a head that we wrote."""
    fields = _private(meta)
    channel = str(fields.get("channel"))
    if channel not in list(Channel):
        return None
    return Origin(
        channel=Channel(channel),
        address=str(fields.get("address", "")),
        calling_ae_title=meta.sending_ae_title,
        called_ae_title=meta.receiving_ae_title,
        user=str(fields.get("user", "")),
    )


def received_at_of(meta: FileMeta) -> float | None:
    """When an instance was received, if *meta* was read from a head that we wrote."""
    value = _private(meta).get("received_at")
    return float(value) if isinstance(value, int | float) else None


def _private(meta: FileMeta) -> dict[str, Any]:
    try:
        fields = json.loads(meta.private)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _read_declared(read: Callable[[int], bytes]) -> bytes:
    """Preamble, Group Length, and as much as it says."""
    start = _read_fully(read, PREAMBLE_BYTES + len(_GROUP_LENGTH_HEADER) + _UINT.size)
    if not start.startswith(_GROUP_LENGTH_HEADER, PREAMBLE_BYTES):
        parse_head(start)
        raise InvalidDataSet("The File Meta Information does not begin with its Group Length (0002,0000).")
    length = _UINT.unpack_from(start, len(start) - _UINT.size)[0]
    _check_bounds(len(start) + length)
    group = _read_fully(read, length)
    if len(group) < length:
        raise InvalidDataSet("The file ends within its File Meta Information.")
    return start + group


def _read_fully(read: Callable[[int], bytes], length: int) -> bytes:
    """*length* bytes, or what there is."""
    data = bytearray()
    while len(data) < length and (chunk := read(length - len(data))):
        data += chunk
    return bytes(data)


def _check_bounds(end: int) -> None:
    if end > MAX_HEAD_BYTES:
        raise InvalidDataSet(f"The File Meta Information is longer than {MAX_HEAD_BYTES} bytes.")


def _file_meta(elements: dict[int, bytes]) -> FileMeta:
    def text(element: int) -> str:
        return elements.get(element, b"").decode("ascii", "replace").strip(" \0")

    is_ours = text(_PRIVATE_CREATOR) == IMPLEMENTATION_CLASS_UID
    return FileMeta(
        transfer_syntax_uid=text(_TRANSFER_SYNTAX),
        sop_class_uid=text(_MEDIA_STORAGE_SOP_CLASS),
        sop_instance_uid=text(_MEDIA_STORAGE_SOP_INSTANCE),
        source_ae_title=text(_SOURCE),
        sending_ae_title=text(_SENDING),
        receiving_ae_title=text(_RECEIVING),
        private=elements.get(_PRIVATE, b"").rstrip(b"\0") if is_ours else b"",
    )


def _element(element: int, vr: bytes, value: bytes, padding: bytes = b"\0") -> bytes:
    value += padding * (len(value) % 2)
    header = _LONG if vr in _LONG_VRS else _SHORT
    return header.pack(2, element, vr, len(value)) + value


def _uid(element: int, uid: str) -> bytes:
    return _element(element, b"UI", uid.encode("ascii"))


def _text(element: int, vr: bytes, text: str) -> bytes:
    return _element(element, vr, text.encode("ascii"), b" ")


def _ae_title(element: int, ae_title: str) -> bytes:
    """Nothing for an empty AE title: the three are optional (PS3.10 table 7.1-1)."""
    value = ae_title.encode("ascii", "replace")[:16]
    return _element(element, b"AE", value, b" ") if value else b""
