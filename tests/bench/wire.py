"""One end of an association at next to no cost: bytes made beforehand, messages read without a copy.

Knows PDUs and command sets as bytes (PS3.8 9.3, PS3.7 6.3.1), no library and no peer.
"""

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fixtures import upper_layer as ul

OUR_MAX_PDU = 131072
BUFFER_BYTES = 2 * 1024 * 1024
TIMEOUT_S = 300.0
PENDING = (0xFF00, 0xFF01)
C_STORE_RSP, C_GET_RQ, C_FIND_RQ, C_MOVE_RQ = 0x8001, 0x0010, 0x0020, 0x0021

Proposal = tuple[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Message:
    """One DIMSE message as it came in: of the Data Set only the length is known."""

    context_id: int
    command: Mapping[int, bytes]
    dataset_bytes: int

    def number(self, tag: int) -> int:
        """A US of the command set by its element number in group 0000; 0 if it is not there."""
        return int.from_bytes(self.command.get(tag, b"")[:2], "little")

    def text(self, tag: int) -> str:
        return self.command.get(tag, b"").rstrip(b"\0 ").decode("ascii")

    @property
    def status(self) -> int:
        return self.number(0x0900)


class Incoming:
    """The messages that come in over a connection, read into one buffer and not copied."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def messages(self) -> Iterator[Message]:
        """Every message as it comes in, until the other side asks for the release."""
        command, length = bytearray(), 0
        while (pdvs := self._pdvs()) is not None:
            for context_id, control, start, end in pdvs:
                if control & 1:
                    command += self._view[start:end]
                else:
                    length += end - start
                if control & 2 and (not control & 1 or _is_alone(command)):
                    yield Message(context_id, elements(bytes(command)), length)
                    command, length = bytearray(), 0

    def _pdvs(self) -> list[tuple[int, int, int, int]] | None:
        """Context, control header and place in the buffer of each PDV of the next PDU; None if it is A-RELEASE-RQ."""
        self._fill(6)
        kind, length = struct.unpack_from(">BxI", self._buffer, self._start)
        if kind == ul.A_RELEASE_RQ:
            return None
        if kind != ul.P_DATA_TF:
            raise ConnectionError(f"a PDU of type {kind} among the messages")
        self._fill(6 + length)
        at, end = self._start + 6, self._start + 6 + length
        self._start, found = end, []
        while at < end:
            size, context_id, control = struct.unpack_from(">IBB", self._buffer, at)
            found.append((context_id, control, at + 6, at + 4 + size))
            at += 4 + size
        return found

    def _fill(self, count: int) -> None:
        """See to it that *count* bytes are in the buffer from its start."""
        if self._start == self._end:
            self._start = self._end = 0
        if self._start + count > BUFFER_BYTES:
            rest = self._end - self._start
            self._buffer[:rest] = self._buffer[self._start : self._end]
            self._start, self._end = 0, rest
        while self._end - self._start < count:
            received = self.socket.recv_into(self._view[self._end :])
            if not received:
                raise ConnectionError("closed by the peer")
            self._end += received


class Association(Incoming):
    """An association that we asked for. *max_pdu* is the longest P-DATA-TF that the peer takes."""

    def __init__(self, port: int, proposals: Sequence[Proposal], called: str, *, as_scp: str = "") -> None:
        """Raises ConnectionError if it is not accepted. With *as_scp* we offer to be SCP of that SOP Class too."""
        request = ul.associate_rq(proposals, called=called, max_pdu=OUR_MAX_PDU)
        connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        super().__init__(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_with_role(request, as_scp) if as_scp else request)
        kind, answer = ul.read_pdu(connection)
        if kind != ul.A_ASSOCIATE_AC:
            connection.close()
            raise ConnectionError("the association was not accepted")
        self.max_pdu = max_pdu_of(answer)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def release(self) -> None:
        ul.release(self.socket)


def elements(command: bytes) -> dict[int, bytes]:
    """The elements of a command set by their element number (PS3.7 6.3.1)."""
    found, at = {}, 0
    while at < len(command):
        _, element, length = struct.unpack_from("<HHI", command, at)
        found[element] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def identifier(**values: str) -> bytes:
    """An Identifier in Explicit VR Little Endian: `UI0020000D="1.2"` is (0020,000D), VR UI."""
    encoded = b""
    for name, text in sorted(values.items(), key=lambda pair: pair[0][2:]):
        value = text.encode()
        value += (b"\0" if name.startswith("UI") else b" ") * (len(value) % 2)
        group, element = int(name[2:6], 16), int(name[6:10], 16)
        encoded += struct.pack("<HH2sH", group, element, name[:2].encode(), len(value)) + value
    return encoded


def max_pdu_of(accepted: bytes) -> int:
    """The Maximum Length in the body of an A-ASSOCIATE-AC (PS3.8 D.1), ours where the peer names no limit."""
    at = 68
    while at + 4 <= len(accepted):
        kind, length = struct.unpack_from(">BxH", accepted, at)
        if kind == 0x50:
            user = accepted[at + 4 : at + 4 + length]
            place = user.index(b"\x51\x00\x00\x04")
            return min(int.from_bytes(user[place + 4 : place + 8], "big") or OUR_MAX_PDU, OUR_MAX_PDU)
        at += 4 + length
    return OUR_MAX_PDU


def _is_alone(command: bytearray) -> bool:
    """Whether no Data Set follows."""
    return elements(bytes(command))[0x0800][:2] == ul.NO_DATA_SET.to_bytes(2, "little")


def _with_role(request: bytes, sop_class_uid: str) -> bytes:
    """*request*, an A-ASSOCIATE-RQ, with SCP/SCU Role Selection at the end of its user information (PS3.7 D.3.3.4)."""
    uid = sop_class_uid.encode()
    role = ul.item(0x54, struct.pack(">H", len(uid)) + uid + b"\1\1")
    at = request.rindex(b"\x50\x00", 0, request.rindex(b"\x51\x00\x00\x04"))
    user = request[at + 4 :] + role
    return ul.pdu(1, request[6:at] + ul.item(0x50, user))
