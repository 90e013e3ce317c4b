"""P-DATA-TF PDUs: messages cut into fragments, as buffers to send (PS3.8 9.3.5, E). Knows no socket and no message."""

import struct
from collections.abc import Iterable, Iterator, Sequence

P_DATA_TF = 0x04
PDU_HEADER = struct.Struct(">BxI")  # type, reserved, length
PDV_HEADER = struct.Struct(">IBB")  # length, presentation context ID, message control header
_HEADERS = struct.Struct(">BxIIBB")

COMMAND, LAST = 1, 2  # the bits of the message control header that count (PS3.8 E.2)
PDV_OVERHEAD = 6  # of the maximum length of a PDU, what its only PDV needs besides the fragment
MAX_FRAGMENT = 131072  # of a Data Set, also where the peer takes PDUs of any length

Buffer = bytes | bytearray | memoryview


def fragment_size(maximum_length: int) -> int:
    """How long a fragment may be for a peer that takes PDUs of *maximum_length*; 0 is any length (PS3.8 D.1).

    Even, so that every fragment but the last is (PS3.8 E.1).
    """
    return max(2, min((maximum_length or MAX_FRAGMENT) - PDV_OVERHEAD, MAX_FRAGMENT) & ~1)


def pdu(context_id: int, control: int, fragment: Sequence[Buffer]) -> list[Buffer]:
    """One PDU with one PDV, whose *fragment* is given in pieces."""
    length = sum(map(len, fragment))
    return [_HEADERS.pack(P_DATA_TF, length + PDV_OVERHEAD, length + 2, context_id, control), *fragment]


def message(context_id: int, command: Buffer, data: Buffer | None, size: int) -> list[Buffer]:
    """A whole message in fragments of at most *size*: its command set, and its Data Set unless that is empty."""
    buffers: list[Buffer] = []
    for content, kind in ((command, COMMAND), (data, 0)):
        if content and len(content) <= size:
            buffers += pdu(context_id, kind | LAST, (content,))
        elif content:
            for pieces, is_last in fragments((content,), size):
                buffers += pdu(context_id, kind | (LAST if is_last else 0), pieces)
    return buffers


def messages(context_id: int, command: Buffer, data_sets: Iterable[bytes], size: int) -> bytes:
    """Messages with the same command set, one for each of *data_sets*, in one piece."""
    start = b"".join(message(context_id, command, None, size))
    pieces: list[Buffer] = []
    for data in data_sets:
        length = len(data)
        if 0 < length <= size:
            pieces += start, _HEADERS.pack(P_DATA_TF, length + PDV_OVERHEAD, length + 2, context_id, LAST), data
        else:
            pieces += message(context_id, command, data, size)
    return b"".join(pieces)


def fragments(data: Iterable[Buffer], size: int) -> Iterator[tuple[list[Buffer], bool]]:
    """*data* cut into fragments of *size*, each in pieces that are slices of what was given, the last one marked.

    No data at all is one empty fragment.
    """
    held: list[Buffer] = []
    length = 0
    for chunk in data:
        rest = memoryview(chunk).cast("B")
        while length + len(rest) > size:
            yield [*held, rest[: size - length]], False
            rest, held, length = rest[size - length :], [], 0
        if rest:
            held.append(rest)
            length += len(rest)
    yield held, True
