"""The verbs: ingest, search, retrieve, render, delete. Each asks the policy and writes the audit, and nobody else does.

Knows no protocol. Doors (dimse, web), pages (ui) and commands (cli) hold an Archive and hand it to a verb.
"""

from dataclasses import dataclass, field

from relais.access.policy import Policy
from relais.archive.settings import ArchiveSettings
from relais.db.database import Database
from relais.pixels.workers import PixelWorkers
from relais.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Archive:
    """What the verbs work on. Safe to use from many threads; not across a fork."""

    db: Database
    store: ObjectStore
    pixels: PixelWorkers
    policy: Policy = field(default_factory=Policy)
    settings: ArchiveSettings = field(default_factory=ArchiveSettings)
