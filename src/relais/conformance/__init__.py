"""The conformance statement (PS3.2), printed from a configuration and from the very tables that the code runs on.

Its chapters are those of PS3.2 N: overview, implementation, services, configuration, network, character sets, security,
and last what the code itself calls a deviation or a reading of the standard. Knows tables, opens nothing.
"""

from relais import __version__
from relais.config import Config
from relais.conformance import choices, dimse, network, web
from relais.conformance.document import Section, Table
from relais.dicom import uids


def statement(config: Config) -> Section:
    """The statement of a node that runs with *config*."""
    chapters = (
        _overview(),
        _implementation(config),
        Section("DIMSE services", sections=dimse.sections(config)),
        Section("DICOM web services", sections=web.sections(config)),
        *network.sections(config),
        choices.section(),
    )
    return Section(f"DICOM conformance statement of Relais {__version__}", (_ABOUT,), chapters)


_ABOUT = (
    "`relais conformance` prints this from the configuration that it finds and from the tables that the program runs "
    "on. A copy in the repository is that of the default configuration."
)


def _overview() -> Section:
    rows = (*dimse.overview(), *web.overview())
    return Section(
        "Overview",
        (
            "Relais is an imaging node: it receives DICOM instances, keeps them bit for bit as they came, finds "
            "them, and sends them to peers and viewers. What it has acknowledged it has made durable before.",
            Table(("Service", "As SCU or user agent", "As SCP or origin server"), rows),
        ),
    )


def _implementation(config: Config) -> Section:
    identity = Table(
        ("", ""),
        (
            ("AE title", config.dimse.ae_title),
            ("Implementation Class UID", uids.IMPLEMENTATION_CLASS_UID),
            ("Implementation Version Name", uids.IMPLEMENTATION_VERSION_NAME),
            ("UIDs made by it", "under 2.25 (PS3.5 B.2)"),
        ),
    )
    return Section(
        "Implementation",
        (
            "One application entity does all of it. What arrives by C-STORE, by the Store transaction or by import "
            "takes one way: its structure is read through, its bytes and then its rows are made durable, and only "
            "then is it acknowledged. What leaves is the bytes that are kept, unless the other side needs another "
            "Transfer Syntax.",
            identity,
        ),
    )
