"""Where a peer is and what it may do. Knows values, not where they were written down."""

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from relais.peers.tls import Secure, calling, required_proofs

KINDS = ("dimse", "orthanc", "dicomweb")
ACTIONS = ("store", "search", "retrieve", "move", "commit")  # as access.policy.Action, of which DIMSE has these
MAX_ASSOCIATIONS, MAX_PARALLEL = 4096, 16
AE_TITLE_MAX = 16  # PS3.5 6.2, VR AE


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One other node. *may* lists what it may do here; it says nothing about what we send to it. With *networks* it may
    that only from an address in one of them, with *certificates* only if it shows one of them (relais.peers.tls), and
    it moves only to the peers that *move_to* names, to all without any. At most *max_associations* at once are taken
    from it, without a limit of its own if that is 0.

    *timeout_s* bounds every wait for the peer: to connect, to associate, and for each response. *parallel* associations
    at most are opened at once to send it the instances of one request.

    With *tls* we call it over TLS. *tls_ca*, a PEM file, vouches for its certificate, which must have the name
    *tls_name*: "" means its host, "*" any. *tls_certificate* and *tls_key* are shown to a peer that wants to know who
    calls. Where nothing is said of the three files, those of the DIMSE door count (relais.config).

    A peer of kind "orthanc" or "dicomweb" is spoken to by HTTP at *url*, as *user* with *password* (or what
    *password_file* holds); for one of kind "dicomweb" without a user the password is a token. It has neither AE title
    nor host, and may do nothing here: we take from it.
    """

    name: str
    ae_title: str = ""
    host: str = ""
    port: int = 104
    kind: str = "dimse"
    may: tuple[str, ...] = ("store", "search", "retrieve", "move")
    networks: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    move_to: tuple[str, ...] = ()
    max_associations: int = 0
    timeout_s: float = 60.0
    parallel: int = 1
    tls: bool = False
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = field(default="", metadata={"secret": True}, repr=False)
    tls_name: str = ""
    url: str = ""
    user: str = ""
    password: str = field(default="", metadata={"secret": True}, repr=False)
    password_file: str = ""

    @property
    def is_dimse(self) -> bool:
        """Whether it has an AE title, under which it may call us and be called."""
        return self.kind == "dimse"

    def secret(self) -> str:
        """The password. Reads its file, and raises ValueError if that cannot be read."""
        if not self.password_file:
            return self.password
        try:
            return Path(self.password_file).read_text().strip()
        except OSError as exc:
            raise ValueError(f"password_file {self.password_file} cannot be read: {exc.strerror}") from exc

    @property
    def secure(self) -> Secure | None:
        """What makes a connection to it a secure one; None without TLS. Reads files: ask once."""
        if not self.tls:
            return None
        return calling(self.tls_certificate, self.tls_key, self.tls_ca, self.tls_name or self.host)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name must not be empty")
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of: {', '.join(KINDS)}")
        self._check_place()
        if unknown := set(self.may) - set(ACTIONS):
            raise ValueError(f"may must hold only {', '.join(ACTIONS)}; not {', '.join(sorted(unknown))}")
        for network in self.networks:
            _require_network(network)
        self._check_limits()
        self._check_tls()

    def _check_place(self) -> None:
        if self.is_dimse:
            require_ae_title(self.ae_title)
            if not self.host:
                raise ValueError("host must be a name or an address")
            if self.url or self.user or self.password or self.password_file:
                raise ValueError('kind must be "orthanc" or "dicomweb" where url, user or password is given')
            return
        place = urlsplit(self.url)
        if place.scheme not in {"http", "https"} or not place.hostname or place.username is not None:
            raise ValueError('url must be like "https://orthanc.example.org:8042", without user and password')
        if self.ae_title or self.host or self.tls:
            raise ValueError('kind must be "dimse" where ae_title, host or tls is given')
        self.secret()

    def _check_limits(self) -> None:
        for name, low, high in (
            ("port", 1, 65535),
            ("max_associations", 0, MAX_ASSOCIATIONS),
            ("parallel", 1, MAX_PARALLEL),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from {low} to {high}")
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be more than 0")

    def _check_tls(self) -> None:
        for certificate in self.certificates:
            try:
                required_proofs(certificate)
            except ValueError as exc:
                raise ValueError(f"certificates {exc}") from exc
        ca = self.tls_ca if self.is_dimse else ""  # of one by HTTP, who vouches for its certificate is all there is
        if not self.tls and (ca or self.tls_certificate or self.tls_key or self.tls_name):
            raise ValueError("tls must be true where tls_ca, tls_certificate, tls_key or tls_name is given")
        if self.tls_name.startswith("."):
            raise ValueError("tls_name must be a name or an address that stands in the certificate")
        _ = self.secure


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
