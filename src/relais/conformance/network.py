"""The chapters of configuration, network, character sets and security. Knows settings and tables, no sockets."""

from dataclasses import fields
from typing import Any

from relais.access.policy import Mode
from relais.config import Config
from relais.conformance.document import Section, Table
from relais.dicom import charset
from relais.dimse import services
from relais.peers.tls import CIPHERS, ClientCertificate
from relais.peers.wire.patience import MIN_RATE

# Settings that end so say where something lies on one machine, or are secrets: no part of a statement.
LEFT_OUT = ("_dir", "_file", "_certificate", "_key", "_ca")

OPEN = "everybody on this machine, which alone reaches the node."
ENFORCED = (
    "the configured peers, and over the web who shows a token, as Bearer (RFC 6750) or as a password (RFC 7617); each "
    "what it may."
)
REJECTIONS = (
    (services.CONTEXT_NAME_NOT_SUPPORTED, "The application context name is not that of DICOM."),
    (services.CALLED_AE_TITLE_NOT_RECOGNIZED, "The called AE title is another's, where that is checked."),
    (services.CALLING_AE_TITLE_NOT_RECOGNIZED, "The calling AE title may do nothing here, or not from there."),
    (services.LOCAL_LIMIT_EXCEEDED, "Too many associations at once."),
)


def sections(config: Config) -> tuple[Section, ...]:
    """Four chapters."""
    return _configuration(config), _network(config), _character_sets(), _security(config)


def _configuration(config: Config) -> Section:
    rows = [row for name in ("dimse", "web", "archive") for row in _settings(name, getattr(config, name))]
    peers = tuple(
        (
            peer.name,
            peer.ae_title,
            f"{peer.host}:{peer.port}",
            ", ".join(peer.may) or "nothing",
            "yes" if peer.tls else "no",
        )
        for peer in config.peers
        if peer.is_dimse
    )
    return Section(
        "Configuration",
        (
            "What bounds and shapes the services; `conf/relais.toml` says what each means.",
            Table(("Section", "Key", "Value"), tuple(rows)),
            "Peers, which C-MOVE can send to:" if peers else "No peers are configured: C-MOVE can send to nobody.",
            *((Table(("Name", "AE title", "Address", "May", "TLS"), peers),) if peers else ()),
        ),
    )


def _settings(section: str, settings: Any) -> list[tuple[str, str, str]]:
    names = [field.name for field in fields(settings) if not field.name.endswith(LEFT_OUT)]
    return [(section, name, _shown(getattr(settings, name))) for name in names]


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _network(config: Config) -> Section:
    dimse = config.dimse
    rejections = tuple((*map(str, rejection[:3]), why) for rejection, why in REJECTIONS)
    return Section(
        "Network",
        (
            f"TCP/IP, port {dimse.port}. Up to {dimse.max_associations} associations at once, {dimse.max_per_peer} of "
            f"them from one address; PDUs of up to {dimse.max_pdu} bytes are asked for, and the other side's limit is "
            "kept. One operation at a time on an association: asynchronous operations are not negotiated. A connection "
            f"without an association is closed after {dimse.acse_timeout_s:g} s, a silent association after "
            f"{dimse.network_timeout_s:g} s, as is one that takes nothing of what is sent for as long, or less than "
            f"{MIN_RATE} bytes a second; a sub-operation waits {dimse.dimse_timeout_s:g} s.",
            "Associations are rejected with (PS3.8 9.3.4):",
            Table(("Result", "Source", "Reason", "Why"), rejections),
        ),
    )


def _character_sets() -> Section:
    read = ", ".join(f"`{term}`" for term in charset.readable())
    return Section(
        "Character sets",
        (
            f"Instances keep the character sets that they came with. Read, for searches and metadata: {read}, with "
            "code extensions (ISO 2022) and without. Searches decode their keys by the request's own Specific "
            "Character Set.",
            "C-FIND answers in UTF-8 (`ISO_IR 192`) where the answer is not plain ASCII. Web services answer in UTF-8: "
            "in metadata, Specific Character Set is that of the stored instance (PS3.18 F.2.2, notes 3 to 5), as are "
            "values of VR UN; in answers to searches it is left out. Metadata that is stored keeps the set that it "
            "names where that holds all of its text without code extensions; else it becomes UTF-8, which is told "
            "(PS3.18 10.5.2).",
        ),
    )


def _web_tls(config: Config) -> str:
    if not config.web.tls_certificate:
        return "off"
    return "on; certificates of callers are required" if config.web.tls_ca else "on"


def _security(config: Config) -> Section:
    asked = {
        ClientCertificate.NONE: "not asked for",
        ClientCertificate.OPTIONAL: "verified where they are shown",
        ClientCertificate.REQUIRED: "required",
    }[config.dimse.tls_client]
    tls = f"on; certificates of callers are {asked}" if config.dimse.tls_certificate else "off"
    everybody = config.access.mode is Mode.OPEN_LOOPBACK
    return Section(
        "Security",
        (
            f"TLS on the DIMSE port (PS3.15 B.12): {tls}. TLS 1.2 and 1.3; of TLS 1.2 the suites `{CIPHERS}`. Peers "
            "are called over TLS where their settings say so.",
            f"TLS at the web door (PS3.18 8.1): {_web_tls(config)}. TLS 1.2 and 1.3; of TLS 1.2 the suites with "
            "ECDHE and AES-GCM or ChaCha20-Poly1305 (RFC 9325).",
            f"Access: {OPEN if everybody else ENFORCED}",
            "User Identity Negotiation (PS3.7 D.3.3.7): the user's name is recorded with what was done, and no "
            "reason to allow anything.",
            "An audit trail in the index says who stored, searched, retrieved and deleted what.",
        ),
    )
