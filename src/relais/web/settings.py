"""What an operator may decide about the web door. Knows values, not where they were written down."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from ssl import SSLContext

from relais.peers import tls
from relais.peers.tls import ClientCertificate

_ORIGIN = re.compile(r"https?://[^/?#\s]+")
_ONE_SPELLING = re.compile(r"[A-Za-z0-9]{1,64}")  # of a header field: WSGI cannot tell hyphens from underscores


@dataclass(frozen=True, slots=True)
class WebSettings:
    """*workers* processes with at most *threads* threads each: a stalled client holds one thread. Uploads hold at most
    three quarters of them; one more is told to come again later.

    *cors_origins* are the web pages of other origins that may read from here, like "https://viewer.example.org";
    "*" means any, but never with credentials. With *cors_may_store* they may store, too.

    *max_results* is the most that one search answers: a larger limit, or none, means this many, and the answer says
    that there are more. *max_body_bytes* bounds the body of one request; beyond it, 413. One that brings fewer than
    *min_upload_rate* bytes a second for some half a minute is cut off, 408. So is a client that takes fewer than
    *min_download_rate* bytes a second of its answer, or none, for *stall_timeout_s*.
    Up to *drain_bytes* of a refused body are still read, so that its sender sees the answer.
    *kept_bytes* of ready metadata are kept in the memory of each worker; what was not asked for longest goes first.

    With *tls_certificate*, a PEM file, the port speaks HTTPS and nothing else. *tls_key* is a PEM file too, or its
    text; it may also stand in the certificate's file. With *tls_ca*, only who shows a certificate that it vouches for
    gets in. *proxies* are the addresses of balancers that say who asks. In the header field *certificate_field* they
    also say what certificate was shown to them (in the form of RFC 9440), and take it away from everybody else.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    threads: int = 128
    cors_origins: tuple[str, ...] = ()
    cors_may_store: bool = False
    max_results: int = 10_000
    max_body_bytes: int = 64 * 1024**3
    min_upload_rate: int = 8192
    min_download_rate: int = 8192
    stall_timeout_s: float = 60.0
    drain_bytes: int = 16 * 1024**2
    kept_bytes: int = 64 * 1024**2
    tls_certificate: str = ""
    tls_key: str = field(default="", metadata={"secret": True}, repr=False)
    tls_ca: str = ""
    proxies: tuple[str, ...] = ()
    certificate_field: str = ""

    @property
    def scheme(self) -> str:
        """How URLs of the door begin."""
        return "https" if self.tls_certificate else "http"

    @property
    def tls_context(self) -> SSLContext | None:
        """For servers that take one; None without TLS. Raises ValueError if the files cannot be used."""
        if not self.tls_certificate:
            return None
        client = ClientCertificate.REQUIRED if self.tls_ca else ClientCertificate.NONE
        return tls.server_context(self.tls_certificate, self.tls_key, self.tls_ca, client)

    @property
    def uploads(self) -> int:
        """How many uploads one worker takes at a time."""
        return max(1, self.threads * 3 // 4)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535),
            ("workers", 1, 64),
            ("threads", 1, 1024),
            ("max_results", 1, 1_000_000),
            ("max_body_bytes", 1024, 2**53),
            ("min_upload_rate", 1, 2**40),
            ("min_download_rate", 1, 2**40),
            ("stall_timeout_s", 1, 3600),
            ("drain_bytes", 0, 2**53),
            ("kept_bytes", 0, 2**40),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        if self.tls_ca and not self.tls_certificate:
            raise ValueError("tls_ca needs tls_certificate")
        if self.certificate_field:
            self._check_certificate_field()
        _ = self.tls_context
        for proxy in self.proxies:
            ip_network(proxy)
        for origin in self.cors_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f'cors_origins must be "*" or like "https://viewer.example.org", not "{origin}"')

    def _check_certificate_field(self) -> None:
        if not _ONE_SPELLING.fullmatch(self.certificate_field):
            raise ValueError(
                'certificate_field must be a name of letters and digits, like "ClientCert": '
                "one with a hyphen could be forged with an underscore"
            )
        if not self.proxies:
            raise ValueError("certificate_field needs proxies")
