"""The whole configuration as one frozen value. Knows what it means, not where it was written."""

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path

from relais.access.policy import Action, Mode, Policy, Rule
from relais.access.tokens import TokenSettings
from relais.archive.settings import ArchiveSettings
from relais.db.settings import IndexSettings
from relais.dimse.settings import DimseSettings
from relais.peers.settings import PeerSettings
from relais.peers.tls import required_proofs
from relais.pixels.settings import PixelSettings
from relais.storage.settings import StorageSettings
from relais.web.settings import WebSettings

PUBLIC_URL = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")


class LogLevel(StrEnum):
    """How much the node logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """This installation.

    *public_url* is the base of every absolute URL that the node emits; "" means the web door's own address.
    """

    name: str = "relais"
    data_dir: Path = Path("data")
    public_url: str = ""
    log_level: LogLevel = LogLevel.INFO

    def __post_init__(self) -> None:
        if self.public_url and not PUBLIC_URL.fullmatch(self.public_url):
            raise ValueError('public_url must be like "https://pacs.example.org" or "https://example.org/relais"')


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who gets in. `open-loopback` is only for a node that nobody outside this machine can reach.

    Without *delete* nobody can delete from outside, whatever else is allowed.
    """

    mode: Mode = Mode.OPEN_LOOPBACK
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator decides, checked. Paths are absolute and derived defaults filled in."""

    node: NodeSettings = field(default_factory=NodeSettings)
    dimse: DimseSettings = field(default_factory=DimseSettings)
    web: WebSettings = field(default_factory=WebSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    pixels: PixelSettings = field(default_factory=PixelSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    peers: tuple[PeerSettings, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()

    @property
    def public_url(self) -> str:
        """The base of every absolute URL, without a slash at its end."""
        return self.node.public_url.rstrip("/") or self.web_address

    @property
    def web_address(self) -> str:
        """Where the web door itself is, as seen from this machine."""
        return f"{self.web.scheme}://{address(self.web.host, self.web.port)}"

    @property
    def policy(self) -> Policy:
        """The release policy that this configuration asks for."""
        dimse = [peer for peer in self.peers if peer.is_dimse]
        titles = {peer.name: peer.ae_title for peer in dimse}
        peers = {
            peer.ae_title: Rule(
                frozenset(Action(action) for action in peer.may),
                [ip_network(network) for network in peer.networks],
                [required_proofs(certificate) for certificate in peer.certificates],
                frozenset(titles[name] for name in peer.move_to),
            )
            for peer in dimse
        }
        users = {
            token.name: Rule(
                frozenset(Action(action) for action in token.may),
                [ip_network(network) for network in token.networks],
                [required_proofs(certificate) for certificate in token.certificates],
            )
            for token in self.tokens
        }
        return Policy(self.access.mode, peers, users, deletes=self.access.delete)

    @property
    def run_dir(self) -> Path:
        """Where the running node keeps what is worthless after it."""
        return self.node.data_dir / "run"


def address(host: str, port: int) -> str:
    """*host* and *port* as they stand in a URL; a host that means every address becomes the loopback one."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach *host*. A name other than localhost is taken to be reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
