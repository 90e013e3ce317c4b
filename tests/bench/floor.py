"""What receiving durably costs any program in Python here at least: `python -m bench.floor FOLDER PORT`, until ended.

A thread for each association reads PDUs of which it knows what they are, digests the Data Set, writes it once to blocks
that the file has already, and answers when a sync that several share is done. Nothing is parsed, negotiated, named,
looked up or indexed, nothing could be found again, and the second sync, of an index, is left out.
"""

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

from bench.wire import OUR_MAX_PDU, elements
from fixtures import upper_layer as ul

ROOM_BYTES = 1024 * 1024  # of one instance
FILE_BYTES = 64 * 1024 * 1024
BLOCK = 4096
CHUNK_BYTES = 1024 * 1024
SUCCESS = 0


class Blocks:
    """A file that is written over again and again, and made durable for all who wait at once."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        for at in range(0, FILE_BYTES, CHUNK_BYTES):
            os.pwrite(self._fd, bytes(CHUNK_BYTES), at)
        os.fsync(self._fd)
        self._places, self._syncing = count(), threading.Lock()
        self._begun = self._done = 0

    def keep(self, data: memoryview) -> None:
        """Return when *data* is durable."""
        share = ROOM_BYTES + BLOCK
        os.pwrite(self._fd, data, next(self._places) % (FILE_BYTES // share) * share)
        written = self._begun
        with self._syncing:
            if self._done <= written:
                self._begun += 1
                os.fdatasync(self._fd)
                self._done = self._begun


def serve(connection: socket.socket, blocks: Blocks) -> None:
    """One association, until it is released."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _, request = ul.read_pdu(connection)
    connection.sendall(_acceptance(request))
    room = memoryview(bytearray(ROOM_BYTES))
    for command, size in _instances(connection, room):
        blocks.keep(room[:size])
        connection.sendall(_response(command))


def _instances(connection: socket.socket, room: memoryview) -> Iterator[tuple[bytes, int]]:
    """The command set of each request, when its Data Set is in *room* and digested; and how much of it is."""
    command, size, digest = b"", 0, sha256(usedforsecurity=False)
    header = memoryview(bytearray(6 + ul.PDV_HEADER_BYTES))
    while True:
        _read_into(connection, header[:6])
        kind, length = struct.unpack(">BxI", header[:6])
        if kind != ul.P_DATA_TF:
            connection.sendall(ul.pdu(ul.A_RELEASE_RP, bytes(4)))
            return
        _read_into(connection, header[6:])
        control, length = header[11], length - ul.PDV_HEADER_BYTES
        if control & 1:
            command = ul.read(connection, length)
            continue
        _read_into(connection, room[size : size + length])
        digest.update(room[size : size + length])
        size += length
        if control & 2:
            digest.digest()
            yield command, size
            size, digest = 0, sha256(usedforsecurity=False)


def _read_into(connection: socket.socket, place: memoryview) -> None:
    while place:
        received = connection.recv_into(place, flags=socket.MSG_WAITALL)
        if not received:
            raise ConnectionError("closed by the peer")
        place = place[received:]


def _response(command: bytes) -> bytes:
    """Success, to the request with that *command* set (PS3.7 9.3.1.2)."""
    asked = elements(command)
    said = ul.command(
        e0002=asked[0x0002].decode().rstrip("\0"),
        e0100=0x8001,
        e0120=int.from_bytes(asked[0x0110], "little"),
        e0800=ul.NO_DATA_SET,
        e0900=SUCCESS,
        e1000=asked[0x1000].decode().rstrip("\0"),
    )
    return ul.pdv(3, said)


def _acceptance(request: bytes) -> bytes:
    """All of what *request* proposes, with the first Transfer Syntax that our senders name (PS3.8 9.3.3)."""
    accepted = ul.item(0x21, bytes((ul.CONTEXT_ID, 0, 0, 0)) + ul.item(0x40, ul.EXPLICIT_VR_LITTLE_ENDIAN.encode()))
    user = ul.item(
        0x50, ul.item(0x51, struct.pack(">I", OUR_MAX_PDU)) + ul.item(0x52, b"1.2.826.0.1.3680043.9.7433.9.9")
    )
    return ul.pdu(ul.A_ASSOCIATE_AC, request[:68] + ul.item(0x10, b"1.2.840.10008.3.1.1.1") + accepted + user)


def main(folder: Path, port: int) -> None:
    blocks = Blocks(folder / "blocks")
    with socket.create_server(("127.0.0.1", port), backlog=64) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_served, args=(connection, blocks), daemon=True).start()


def _served(connection: socket.socket, blocks: Blocks) -> None:
    with connection:
        try:
            serve(connection, blocks)
        except (OSError, struct.error):  # who only looks whether the port is open
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
