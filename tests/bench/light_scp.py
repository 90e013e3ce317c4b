"""A destination that takes every instance, counts it and forgets it. Knows no peer."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.light_scu import store_rsp
from bench.wire import OUR_MAX_PDU, Incoming
from fixtures import upper_layer as ul


@dataclass
class Sink:
    """What has come in so far."""

    port: int
    instances: int = 0
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self) -> tuple[int, int]:
        """Instances and bytes since the last call."""
        with self.lock:
            found = (self.instances, self.bytes)
            self.instances = self.bytes = 0
        return found


@contextmanager
def sink() -> Iterator[Sink]:
    """One that listens until the context ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Sink(listener.getsockname()[1])
        threading.Thread(target=_listen, args=(listener, one), daemon=True).start()
        yield one
        listener.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, one: Sink) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, one), daemon=True).start()


def _serve(connection: socket.socket, one: Sink) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection.sendall(accepted(ul.read_pdu(connection)[1]))
            for message in Incoming(connection).messages():
                with one.lock:
                    one.instances += 1
                    one.bytes += message.dataset_bytes
                connection.sendall(ul.pdv(3, store_rsp(message), message.context_id))
            connection.sendall(ul.pdu(ul.A_RELEASE_RP, bytes(4)))
        except OSError:
            return  # a peer that goes away is its own matter; what it did not send is missing in the count


def accepted(request: bytes) -> bytes:
    """The A-ASSOCIATE-AC to the body of an A-ASSOCIATE-RQ: every context, in Explicit VR Little Endian if offered."""
    answers, at = b"", 68
    while at + 4 <= len(request):
        kind, length = struct.unpack_from(">BxH", request, at)
        if kind == 0x20:
            answers += _answer(request[at + 4 : at + 4 + length])
        at += 4 + length
    user = ul.item(0x51, struct.pack(">I", OUR_MAX_PDU)) + ul.item(0x52, b"1.2.826.0.1.3680043.9.7433.9.9")
    application = ul.item(0x10, b"1.2.840.10008.3.1.1.1")
    return ul.pdu(ul.A_ASSOCIATE_AC, request[:68] + application + answers + ul.item(0x50, user))


def _answer(context: bytes) -> bytes:
    """Accept one context (PS3.8 9.3.3.2)."""
    offered, at = [], 4
    while at + 4 <= len(context):
        kind, length = struct.unpack_from(">BxH", context, at)
        if kind == 0x40:
            offered.append(context[at + 4 : at + 4 + length])
        at += 4 + length
    explicit = ul.EXPLICIT_VR_LITTLE_ENDIAN.encode()
    chosen = explicit if explicit in offered else offered[0]
    return ul.item(0x21, bytes((context[0], 0, 0, 0)) + ul.item(0x40, chosen))
