"""What a certificate says of whom it was made for, out of its bytes (RFC 5280 4.1). Verifies nothing: others did.

For certificates that come in a message and not with a TLS connection of our own, which relais.peers.tls asks.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

from relais.peers.tls import FINGERPRINT

_VERSION = 0xA0  # the tag of the only element in front of the subject that may be missing
_VALIDITY, _SUBJECT = 3, 4  # behind serial number, algorithm and issuer
_TWO_DIGITS = 0x17  # of the year, in a UTCTime (RFC 5280 4.1.2.5.1)
_BEFORE = 0x80  # of a length: the number of bytes that it has

# Attribute types by their encoded object identifiers, as relais.peers.tls calls them (RFC 4514 3).
_NAMES = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("550405"): "SERIALNUMBER",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("0992268993f22c640119"): "DC",
    bytes.fromhex("0992268993f22c640101"): "UID",
    bytes.fromhex("2a864886f70d010901"): "EMAILADDRESS",
}
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}


def facts(encoded: bytes) -> frozenset[str]:
    """As relais.peers.tls.proofs has them: the fingerprint, and the attributes of the subject that have a name here.

    Raises ValueError for what is no certificate.
    """
    found = {f"{FINGERPRINT}{sha256(encoded).hexdigest()}"}
    for _, names in _elements(_fields(encoded)[_SUBJECT]):
        for _, attribute in _elements(names):
            (_, kind), (tag, value) = _elements(attribute)
            if kind in _NAMES and tag in _ENCODINGS:
                found.add(f"{_NAMES[kind]}={value.decode(_ENCODINGS[tag])}")
    return frozenset(found)


def valid_until(encoded: bytes) -> datetime:
    """The last second in which it is valid (RFC 5280 4.1.2.5). Raises ValueError for what is no certificate."""
    _, (tag, until) = _elements(_fields(encoded)[_VALIDITY])
    text = until.decode("ascii")
    if tag == _TWO_DIGITS:
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _fields(encoded: bytes) -> list[bytes]:
    """What stands in it, from the serial number on."""
    ((_, certificate),) = _elements(encoded)
    _, signed = next(_elements(certificate), (0, b""))
    fields = [value for tag, value in _elements(signed) if tag != _VERSION]
    if len(fields) <= _SUBJECT:
        raise ValueError("This is no certificate.")
    return fields


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of DER, one after the other (X.690 8.1)."""
    at = 0
    while at < len(data):
        tag, length = (*data[at : at + 2], 0)[:2]
        at += 2
        if length >= _BEFORE:
            size = length - _BEFORE
            length = int.from_bytes(data[at : at + size])
            at += size
        if at + length > len(data):
            raise ValueError("This is no certificate.")
        yield tag, data[at : at + length]
        at += length
