"""The PROXY header of a balancer: whom it passes on, and not one byte more."""

import socket
from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relais.dimse.wire.proxied import LOCAL, PROXIED, SIGNATURE, NotAnnounced, announced

IPV4 = socket.inet_aton("10.1.2.3") + socket.inet_aton("10.0.0.1") + pack(">HH", 50000, 11112)
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + pack(">HH", 50001, 11112)


def binary(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + pack(">BBH", command, family, len(body)) + body


def said(sent: bytes, then: bytes = b"A-ASSOCIATE-RQ") -> tuple[str, int] | None:
    """What was announced by *sent*, with *then* left untouched behind it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent + then)
        theirs.shutdown(socket.SHUT_WR)
        found = announced(ours)
        assert ours.recv(1000) == then
        return found


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 10.1.2.3 10.0.0.1 50000 11112\r\n", ("10.1.2.3", 50000)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 50001 11112\r\n", ("2001:db8::7", 50001)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (binary(PROXIED, 0x11, IPV4), ("10.1.2.3", 50000)),
        (binary(PROXIED, 0x11, IPV4 + b"\x04\0\x01x"), ("10.1.2.3", 50000)),
        (binary(PROXIED, 0x21, IPV6), ("2001:db8::7", 50001)),
        (binary(LOCAL, 0x00, b""), None),
    ],
)
def test_the_header_says_who_calls_and_what_follows_is_left(header: bytes, address: tuple[str, int] | None) -> None:
    assert said(header) == address


@pytest.mark.parametrize(
    "header",
    [
        b"\x01\0\0\0\0\xcdA-ASSOCIATE-RQ",
        b"PROXY TCP4 10.1.2.3 10.0.0.1 50000\r\n",
        b"PROXY TCP4 not.an.address 10.0.0.1 50000 11112\r\n",
        b"PROXY " + b"x" * 200,
        binary(PROXIED, 0x11, IPV4[:7]),
        binary(PROXIED, 0x31, b"/a/path"),
        binary(0x1F, 0x11, IPV4),
        binary(PROXIED, 0x11, IPV4)[:-3],
    ],
)
def test_who_says_anything_else_is_not_served(header: bytes) -> None:
    with pytest.raises(NotAnnounced):
        said(header, b"")


@given(st.binary(max_size=200))
@example(b"PROXY UNKNOWN\r\n")
def test_nonsense_is_refused_or_understood_and_nothing_else(nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(nonsense)
        theirs.shutdown(socket.SHUT_WR)
        try:
            announced(ours)
        except NotAnnounced:
            return
    assert nonsense.startswith((b"PROXY ", SIGNATURE))
