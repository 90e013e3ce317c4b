"""An HTTP user agent at next to no cost: requests made beforehand, answers counted and dropped. Knows no peer.

Each client is a process with one connection, which is kept open as long as the server likes.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.crew import together

BUFFER_BYTES = 1024 * 1024
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Asked:
    """What clients saw, from the first request of the first to the last answer of the last."""

    count: int
    bytes: int
    began_at: float
    ended_at: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / (self.ended_at - self.began_at)

    @property
    def bytes_per_s(self) -> float:
        return self.bytes / (self.ended_at - self.began_at)


class Client:
    """One connection to *port*."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._rest = b""  # what came in behind the last answer's end
        self._connect()

    def ask(self, *request: bytes) -> tuple[int, int]:
        """Status and length of the body, without the marks of chunks."""
        self._rest = b""
        for piece in request:
            self._socket.sendall(piece)
        head = self._read_head()
        length = self._body(head)
        if head.get("connection") == "close":
            self.close()
            self._connect()
        return int(head[""].split()[1]), length

    def close(self) -> None:
        self._socket.close()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _read_head(self) -> dict[str, str]:
        """Header fields by name in lower case, the status line under ""."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive()
        self._rest = data[end + 4 :]
        lines = data[:end].decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:])
        return {"": lines[0]} | {name.lower(): value.strip().lower() for name, _, value in fields}

    def _body(self, head: Mapping[str, str]) -> int:
        if head.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in head:
            self._skip(int(head["content-length"]))
            return int(head["content-length"])
        length = len(self._rest)
        while received := self._socket.recv_into(self._view):
            length += received
        return length

    def _chunks(self) -> int:
        length = 0
        while size := int(self._line(), 16):
            self._skip(size + 2)
            length += size
        self._line()
        return length

    def _line(self) -> bytes:
        while (end := self._rest.find(b"\r\n")) < 0:
            self._rest += self._receive()
        line, self._rest = self._rest[:end], self._rest[end + 2 :]
        return line

    def _skip(self, count: int) -> None:
        """Drop *count* bytes, without a copy of those that are not here yet."""
        at_hand = min(count, len(self._rest))
        self._rest, count = self._rest[at_hand:], count - at_hand
        while count:
            received = self._socket.recv_into(self._view, min(count, BUFFER_BYTES), socket.MSG_TRUNC)  # only counted
            if not received:
                raise ConnectionError("closed by the server")
            count -= received

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed by the server")
        return data


def get(url: str, accept: str = "*/*", encodings: str = "identity") -> bytes:
    """The bytes of a GET request. *encodings* are those that the answer may be compressed with."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    fields = f"Host: {parts.netloc}\r\nAccept: {accept}\r\nAccept-Encoding: {encodings}\r\nUser-Agent: bench\r\n\r\n"
    return f"GET {target} HTTP/1.1\r\n{fields}".encode()


def post(url: str, content_type: str, body: bytes) -> bytes:
    """The bytes of a POST request."""
    parts = urlsplit(url)
    fields = f"Host: {parts.netloc}\r\nAccept: application/dicom+json\r\nUser-Agent: bench\r\n"
    length = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST {parts.path} HTTP/1.1\r\n{fields}{length}".encode() + body


def ask(url: str, shares: Sequence[Sequence[bytes]], least_bytes: int, seconds: float = 0.0) -> Asked:
    """Send every share of requests from a client of its own, again and again for *seconds*, or once if that is 0.

    Raises RuntimeError if an answer is not 200 or shorter than *least_bytes*.
    """
    port = urlsplit(url).port
    found: list[Asked] = together(_ask_share, [(port, share, least_bytes, seconds) for share in shares])
    return Asked(
        sum(one.count for one in found),
        sum(one.bytes for one in found),
        min(one.began_at for one in found),
        max(one.ended_at for one in found),
        sum(one.cpu_s for one in found),
    )


def _ask_share(
    ready: Callable[[], None], port: int, requests: Sequence[bytes], least_bytes: int, seconds: float
) -> Asked:
    count = total = 0
    ready()
    client = Client(port)
    cpu, began_at = time.process_time(), time.monotonic()
    while True:
        for request in requests:
            status, length = client.ask(request)
            if status != 200 or length < least_bytes:
                raise ConnectionError(f"status {status} and {length} bytes for {request[:200]!r}")
            count, total = count + 1, total + length
            if seconds and time.monotonic() > began_at + seconds:
                break
        if time.monotonic() > began_at + seconds:
            break
    ended_at = time.monotonic()
    client.close()
    return Asked(count, total, began_at, ended_at, time.process_time() - cpu)
