"""What an operator may decide about the DIMSE door. Knows values, not where they were written down."""

from dataclasses import dataclass, field
from ipaddress import ip_network

from relais.dicom.uids import is_valid
from relais.peers import tls
from relais.peers.settings import require_ae_title
from relais.peers.tls import ClientCertificate

ENGINES = ("inline", "stock")


@dataclass(frozen=True, slots=True)
class DimseSettings:
    """*max_pdu* is the longest P-DATA-TF that we ask peers to send. *max_associations* are open at once, over all
    *workers*, which are processes; one more is rejected as temporary congestion; so is one more than *max_per_peer*
    from the same address.

    *check_called_ae_title* rejects associations that call somebody else. *acse_timeout_s* is how long a connection may
    stay without an association, *dimse_timeout_s* how long a peer may take to answer a sub-operation,
    *network_timeout_s* how long an association may be silent. *private_sop_classes* are stored besides those of the
    standard. *engine* is who drives the associations: "inline", one thread each, or "stock", pynetdicom's own threads,
    which are slower by far and only there to compare with.

    With *tls_certificate*, a PEM file, the port speaks TLS and nothing else. *tls_key* is a PEM file too, or its text;
    it may also stand in the certificate's file. *tls_client* says whether callers must show a certificate of *tls_ca*.

    Connections from *proxies*, addresses or networks of balancers, begin with a PROXY header that says who calls.
    """

    ae_title: str = "RELAIS"
    host: str = "127.0.0.1"
    port: int = 11112
    workers: int = 2
    max_pdu: int = 131072
    max_associations: int = 64
    max_per_peer: int = 48
    check_called_ae_title: bool = False
    acse_timeout_s: float = 20.0
    dimse_timeout_s: float = 60.0
    network_timeout_s: float = 60.0
    private_sop_classes: tuple[str, ...] = ()
    engine: str = "inline"
    tls_certificate: str = ""
    tls_key: str = field(default="", metadata={"secret": True}, repr=False)
    tls_ca: str = ""
    tls_client: ClientCertificate = ClientCertificate.NONE
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)
        for name, low, high in (
            ("port", 0, 65535),
            ("workers", 1, 64),
            ("max_pdu", 4096, 1048576),
            ("max_associations", 1, 4096),
            ("max_per_peer", 1, 4096),
            ("acse_timeout_s", 0.1, 3600),
            ("dimse_timeout_s", 0.1, 3600),
            ("network_timeout_s", 0.1, 86400),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be from {low} to {high}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}")
        if bad := [uid for uid in self.private_sop_classes if not is_valid(uid)]:
            raise ValueError(f"private_sop_classes must hold UIDs; not {', '.join(bad)}")
        self._check_callers()

    def _check_callers(self) -> None:
        if list(map(ip_network, self.proxies)) and self.engine != "inline":
            raise ValueError('proxies need engine = "inline"')
        if self.tls_client is not ClientCertificate.NONE and not (self.tls_certificate and self.tls_ca):
            raise ValueError("tls_client needs tls_certificate and tls_ca")
        if self.tls_certificate:
            tls.server_context(self.tls_certificate, self.tls_key, self.tls_ca, self.tls_client)
