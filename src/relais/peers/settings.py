"""Where a peer is and what it may do. Knows values, not where they were written down."""

from dataclasses import dataclass
from ipaddress import ip_network

KINDS = ("dimse",)
ACTIONS = ("store", "search", "retrieve", "move", "delete")  # as access.policy.Action
AE_TITLE_MAX = 16  # PS3.5 6.2, VR AE


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One other node. *may* lists what it may do here; it says nothing about what we send to it. With *networks* it may
    that only from an address in one of them.

    *timeout_s* bounds every wait for the peer: to connect, to associate, and for each response.
    """

    name: str
    ae_title: str = ""
    host: str = ""
    port: int = 104
    kind: str = "dimse"
    may: tuple[str, ...] = ("store", "search", "retrieve", "move")
    networks: tuple[str, ...] = ()
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name must not be empty")
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of: {', '.join(KINDS)}")
        require_ae_title(self.ae_title)
        if not self.host:
            raise ValueError("host must be a name or an address")
        if not 0 < self.port < 65536:
            raise ValueError("port must be from 1 to 65535")
        if unknown := set(self.may) - set(ACTIONS):
            raise ValueError(f"may must hold only {', '.join(ACTIONS)}; not {', '.join(sorted(unknown))}")
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be more than 0")
        for network in self.networks:
            _require_network(network)


def _require_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as exc:
        raise ValueError(f'networks must hold addresses and networks such as "10.1.0.0/16"; not {text}') from exc


def require_ae_title(ae_title: str) -> None:
    """Raise ValueError unless *ae_title* can stand in an association request (PS3.5 6.2, VR AE)."""
    printable = ae_title.isascii() and ae_title.isprintable() and "\\" not in ae_title
    if not (ae_title.strip() and len(ae_title) <= AE_TITLE_MAX and printable):
        raise ValueError(f"ae_title must have 1 to {AE_TITLE_MAX} printable ASCII characters and no backslash")
