"""TLS for DIMSE, at both ends (PS3.15 B.12). Knows certificates and cipher suites, no associations.

TLS 1.2 and 1.3 only; of TLS 1.2 the suites with ECDHE and AES-GCM, which PS3.15 B.12 and B.13 have in common, and
which the earlier profiles of PS3.15 B.9 to B.11 have too.
"""

import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from hashlib import sha256
from socket import socket
from typing import Any

CIPHERS = "ECDHE+AESGCM"
ANY_NAME = "*"  # instead of the name that a certificate must have
FINGERPRINT = "sha256:"

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "countryName": "C",
    "domainComponent": "DC",
    "userId": "UID",
}  # as people write them (RFC 4514 3); others as they are

Secure = Callable[[socket], socket]


class ClientCertificate(StrEnum):
    """What a server asks of who calls."""

    NONE = "none"
    OPTIONAL = "optional"  # verified where one is shown
    REQUIRED = "required"


_VERIFY = {
    ClientCertificate.NONE: ssl.CERT_NONE,
    ClientCertificate.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificate.REQUIRED: ssl.CERT_REQUIRED,
}


def server_context(certificate: str, key: str, ca: str, client: ClientCertificate) -> ssl.SSLContext:
    """What we accept with. *certificate* and *ca* are PEM files, *key* is one or the PEM itself.

    Raises ValueError with a sentence that says what cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context)
    _identify(context, certificate, key)
    if client is not ClientCertificate.NONE:
        _trust(context, ca)
    context.verify_mode = _VERIFY[client]
    return context


def calling(certificate: str, key: str, ca: str, name: str) -> Secure:
    """What makes a connection that we opened a secure one. Files are as in server_context.

    The other end must show a certificate that *ca* vouches for, or where that is "" somebody whom this machine trusts,
    and it must have the *name*, ANY_NAME for any. Our own *certificate* is shown to who asks for it; "" means none.
    Raises ValueError with a sentence that says what cannot be used; what it returns raises OSError: see why_not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context)
    if certificate:
        _identify(context, certificate, key)
    if ca:
        _trust(context, ca)
    else:
        context.load_default_certs()
    context.check_hostname = name != ANY_NAME
    return partial(context.wrap_socket, server_hostname=None if name == ANY_NAME else name)


def why_not(exc: OSError | None) -> str:
    """The rest of a sentence that begins with whom we called, if *exc* is about TLS; else ""."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not accepted: {exc.verify_message.rstrip('.')}"
    if not isinstance(exc, ssl.SSLError):
        return ""
    reason = _reason(exc).replace("_", " ")
    if "alert" in reason:
        return f"refused TLS with us: {reason.partition('alert ')[2]}"
    return f"does not speak the TLS that we do: {reason}"


def proofs(connection: socket) -> frozenset[str]:
    """What the verified certificate of the other end says, each fact by itself: "sha256:<its fingerprint>" and every
    attribute of its subject, like "CN=CT1". Nothing without TLS, or if it showed none."""
    if not isinstance(connection, ssl.SSLSocket) or not (encoded := connection.getpeercert(binary_form=True)):
        return frozenset()
    found = {f"{FINGERPRINT}{sha256(encoded).hexdigest()}"}
    subject: Any = (connection.getpeercert() or {}).get("subject", ())
    for names in subject:
        found.update(f"{_SHORT.get(kind, kind).upper()}={value}" for kind, value in names)
    return frozenset(found)


def required_proofs(text: str) -> frozenset[str]:
    """What *proofs* must say for a certificate to be the one meant: "sha256:" and a fingerprint, or attributes of the
    subject such as "CN=CT1, O=Hospital", all of which it must have (RFC 4514: "\\," is a comma in a value).

    Raises ValueError.
    """
    if text.lower().startswith(FINGERPRINT):
        digits = text[len(FINGERPRINT) :].replace(":", "").strip().lower()
        if re.fullmatch(r"[0-9a-f]{64}", digits):
            return frozenset({f"{FINGERPRINT}{digits}"})
    parts = [re.sub(r"\\(.)", r"\1", part).strip().partition("=") for part in re.split(r"(?<!\\),", text)]
    if not all(kind.strip().isalnum() and value.strip() for kind, _, value in parts):
        raise ValueError(f'must hold "sha256:<64 hex digits>" or subjects like "CN=CT1, O=Hospital"; not {text}')
    return frozenset(f"{kind.strip().upper()}={value.strip()}" for kind, _, value in parts)


def _restrict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)


def _identify(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        with _as_file(key) as key_file:
            context.load_cert_chain(certificate, key_file or None)
    except OSError as exc:  # of which ssl.SSLError is one
        raise ValueError(f"tls_certificate {certificate} and its key cannot be used: {_reason(exc)}") from exc


def _trust(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(ca)
    except OSError as exc:
        raise ValueError(f"tls_ca {ca} cannot be used: {_reason(exc)}") from exc


def _reason(exc: OSError) -> str:
    return str(getattr(exc, "reason", None) or exc.strerror or "it is no PEM file").lower()


@contextmanager
def _as_file(key: str) -> Iterator[str]:
    """The path of *key*; a key that is given as text is never written to a disk."""
    if not key.startswith("-----BEGIN"):
        yield key
        return
    descriptor = os.memfd_create("key")
    try:
        os.write(descriptor, key.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
