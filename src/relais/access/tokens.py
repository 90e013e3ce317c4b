"""Tokens: secrets that prove a name, and certificates instead of them. Knows digests, not HTTP or TLS.

A secret itself is kept nowhere. It is as long as a key and made by us, never chosen by a person, so that its plain
digest gives nothing away.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_network

from relais.peers.tls import required_proofs

MIN_CHARACTERS = 32  # of a secret; what somebody made up or left empty opens nothing
PREFIX = "relais_"  # by which a secret is known where it does not belong
ACTIONS = ("store", "search", "retrieve", "delete")  # as access.policy.Action, of which the web has these

READS = ("search", "retrieve")


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Who shows the secret whose SHA-256 is *sha256* (hexadecimal) is *name*, and may do what *may* lists.

    With *networks* only from an address in one of them, with *certificates* only who shows one of them too
    (relais.peers.tls); without *sha256* a certificate is enough.
    """

    name: str
    sha256: str = ""
    may: tuple[str, ...] = READS
    networks: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^\s:,\"]{1,64}", self.name) or not self.name.isprintable():
            raise ValueError("name must have 1 to 64 characters, and no space, colon, comma or quotation mark")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256) and (self.sha256 or not self.certificates):
            raise ValueError('sha256 must have 64 hexadecimal digits; "relais tokens" makes them')
        if unknown := set(self.may) - set(ACTIONS):
            raise ValueError(f"may must hold only {', '.join(ACTIONS)}; not {', '.join(sorted(unknown))}")
        for network in self.networks:
            ip_network(network)
        for certificate in self.certificates:
            try:
                required_proofs(certificate)
            except ValueError as exc:
                raise ValueError(f"certificates {exc}") from exc


class Tokens:
    """The tokens of a node."""

    def __init__(self, settings: Sequence[TokenSettings] = ()) -> None:
        self._names = {one.sha256: one.name for one in settings if one.sha256}
        self._bearers = [
            (required_proofs(certificate), one.name)
            for one in settings
            if not one.sha256
            for certificate in one.certificates
        ]

    def name_of(self, secret: str) -> str:
        """Whom *secret* proves; "" if it proves nobody, as one does that is short enough to be guessed."""
        return self._names.get(digest(secret), "") if len(secret) >= MIN_CHARACTERS else ""

    def name_by(self, proofs: frozenset[str]) -> str:
        """Whom a certificate of which *proofs* are known proves without a secret; "" if nobody."""
        return next((name for wanted, name in self._bearers if wanted <= proofs), "")


def make() -> str:
    """A new secret."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What the configuration holds of *secret*."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
