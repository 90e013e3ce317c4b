"""The PROXY protocol: a balancer says in front of a connection whom it passes on. Knows bytes, nothing of DICOM.

Both forms of HAProxy's proxy-protocol.txt are understood: the line (version 1) and the binary one (version 2).
"""

import ipaddress
import socket
from struct import unpack

Address = tuple[str, int]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
LINE = b"PROXY "  # begins version 1
FOR_ITSELF = b"PROXY UNKNOWN\r\n"  # who says this calls for itself
LONGEST_LINE = 107
TCP_OVER_IPV4, TCP_OVER_IPV6 = 0x11, 0x21
PROXIED = 0x21  # version 2, command PROXY; command LOCAL is the balancer's own
LOCAL = 0x20


class NotAnnounced(OSError):
    """A balancer that was to say whom it passes on did not."""


def announced(connection: socket.socket) -> Address | None:
    """Whom the balancer passes on, by the header that stands before all else; None if it calls for itself.

    Not one byte behind the header is taken. Raises NotAnnounced where there is no header, OSError where it breaks off.
    """
    start = _exactly(connection, len(SIGNATURE))
    if start == SIGNATURE:
        return _binary(connection)
    if start.startswith(LINE):
        return _line(connection, start)
    raise NotAnnounced("no PROXY header")


def _binary(connection: socket.socket) -> Address | None:
    command, family, length = unpack(">BBH", _exactly(connection, 4))
    body = _exactly(connection, length)
    if command == LOCAL:
        return None
    if command == PROXIED and family == TCP_OVER_IPV4 and length >= 12:
        return socket.inet_ntop(socket.AF_INET, body[:4]), unpack(">H", body[8:10])[0]
    if command == PROXIED and family == TCP_OVER_IPV6 and length >= 36:
        return socket.inet_ntop(socket.AF_INET6, body[:16]), unpack(">H", body[32:34])[0]
    raise NotAnnounced("a PROXY header of no use")


def _line(connection: socket.socket, start: bytes) -> Address | None:
    line = start
    while not line.endswith(b"\r\n"):
        if len(line) == LONGEST_LINE:
            raise NotAnnounced("a PROXY header without an end")
        line += _exactly(connection, 1)
    words = line.decode("latin-1").split()
    if words[1:2] == ["UNKNOWN"]:
        return None
    try:
        _, _, source, _, port, _ = words
        return str(ipaddress.ip_address(source)), int(port)
    except ValueError as exc:
        raise NotAnnounced("a PROXY header of no use") from exc


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        chunk = connection.recv(length - len(found))
        if not chunk:
            raise NotAnnounced("the connection ended within its PROXY header")
        found += chunk
    return found
