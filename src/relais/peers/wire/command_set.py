"""Command sets as PS3.7 6.3 and E define them: bytes to values and back. Knows no message, no Data Set, no library.

A command set is a dict from the number of an element of group 0000 to its value: an int (US), a str (UI, AE, LO), a
tuple of tags (AT), or bytes where the element or its value is none of ours; these survive a round trip as they came.
"""

import struct
from collections.abc import Callable, Mapping

Value = int | str | bytes | tuple[int, ...]
CommandSet = dict[int, Value]

GROUP_LENGTH = 0x0000
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
MOVE_DESTINATION = 0x0600
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
OFFENDING_ELEMENT = 0x0901
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
REMAINING, COMPLETED, FAILED, WARNING = 0x1020, 0x1021, 0x1022, 0x1023
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031

NO_DATA_SET = 0x0101  # Command Data Set Type; any other value announces one (PS3.7 9.3.1.1)

_UID_ELEMENTS = {AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID}
_TEXT_ELEMENTS = {MOVE_DESTINATION, ERROR_COMMENT, MOVE_ORIGINATOR_AE_TITLE}
_NUMBER_ELEMENTS = {
    *(COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_BEING_RESPONDED_TO, PRIORITY, COMMAND_DATA_SET_TYPE, STATUS),
    *(REMAINING, COMPLETED, FAILED, WARNING, MOVE_ORIGINATOR_MESSAGE_ID),
}

_HEADER = struct.Struct("<HHI")
_NUMBER = struct.Struct("<H")
_NUMBER_ELEMENT = struct.Struct("<HHIH")
_LENGTH_ELEMENT = struct.Struct("<HHII")


def decode(data: bytes | bytearray | memoryview) -> CommandSet:
    """The command set in *data*, always Implicit VR Little Endian (PS3.7 6.3.1); Group Length is left out.

    Elements of other groups are no part of it and passed over, as others do. The last of two equal elements counts.
    Raises ValueError if it is cut off. Seen: Orthanc's answers to a C-GET of which a sub-operation failed, with
    (0008,0000) and Failed SOP Instance UID List (0008,0058) behind the rest.
    """
    found: CommandSet = {}
    data, at, end = bytes(data), 0, len(data)
    while at < end:
        if end - at < _HEADER.size:
            raise ValueError("command set cut off in an element")
        group, element, length = _HEADER.unpack_from(data, at)
        begins_at = at + _HEADER.size
        at = begins_at + length
        if at > end:
            raise ValueError("command set malformed")
        if element and not group:
            decoder = _DECODERS.get(element, bytes)
            found[element] = decoder(data[begins_at:at])
    return found


def encode(command: Mapping[int, Value]) -> bytes:
    """*command* in ascending order, with its Group Length (PS3.7 E.1)."""
    elements = b"".join([_element(element, command[element]) for element in sorted(command) if element])
    return _LENGTH_ELEMENT.pack(0, GROUP_LENGTH, 4, len(elements)) + elements


def number(command: Mapping[int, Value], element: int) -> int | None:
    """The value of a US element; None if it is missing, empty or malformed."""
    value = command.get(element)
    return value if isinstance(value, int) else None


def text(command: Mapping[int, Value], element: int) -> str | None:
    """The value of a UI, AE or LO element; None if it is missing."""
    value = command.get(element)
    return value if isinstance(value, str) else None


def _uid(data: bytes) -> str:
    return data.decode("latin-1").rstrip("\0 ")


def _text(data: bytes) -> str:
    return data.decode("latin-1").rstrip("\0 ")


def _unsigned(data: bytes) -> Value:
    """The first of several values, as pynetdicom has it; anything else stays bytes."""
    return int(_NUMBER.unpack_from(data)[0]) if len(data) >= 2 and len(data) % 2 == 0 else data


def _tags(data: bytes) -> Value:
    if not data or len(data) % 4:
        return data
    numbers = struct.unpack(f"<{len(data) // 2}H", data)
    return tuple(group << 16 | element for group, element in zip(numbers[::2], numbers[1::2], strict=True))


_DECODERS: Mapping[int, Callable[[bytes], Value]] = {
    **dict.fromkeys(_UID_ELEMENTS, _uid),
    **dict.fromkeys(_TEXT_ELEMENTS, _text),
    **dict.fromkeys(_NUMBER_ELEMENTS, _unsigned),
    OFFENDING_ELEMENT: _tags,
}


def _element(element: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _NUMBER_ELEMENT.pack(0, element, 2, value)
    if isinstance(value, str):
        data = value.encode("latin-1", "replace")
        data += (b"\0" if element in _UID_ELEMENTS else b" ") * (len(data) % 2)
    elif isinstance(value, tuple):
        data = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    else:
        data = value
    return _HEADER.pack(0, element, len(data)) + data
