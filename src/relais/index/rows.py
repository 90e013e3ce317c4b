"""What goes into the index and what comes out, as values. Knows no SQL and no files."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from relais.dicom.json_model import JsonDataset
from relais.dicom.layout import Layout
from relais.dicom.origin import Origin
from relais.dicom.refs import InstanceRef

DIGEST_BYTES = 16  # of a digest that an InstanceRow says: see kept_of


def kept_of(digest: bytes) -> bytes:
    """What the index says of a *digest*: its beginning (docs/decisions/0015-digests-in-packs.md)."""
    return digest[:DIGEST_BYTES]


class InstanceFacts(NamedTuple):
    """One durable instance, to be registered. *attributes* holds the rows of dicom.attributes found in its Data Set.

    *received_at* is in seconds since the epoch; 0 means the time of the transaction.
    """

    ref: InstanceRef
    sop_class_uid: str
    transfer_syntax_uid: str
    attributes: JsonDataset
    key: str
    size_bytes: int
    digest: bytes
    head_digest: bytes
    layout: Layout
    origin: Origin
    received_at: float = 0.0


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One registered instance, with what its retrieval needs. *revision* is the one that last touched it.

    Its digests are the first DIGEST_BYTES of those of InstanceFacts.
    """

    id: int
    series_id: int
    ref: InstanceRef
    sop_class_uid: str
    transfer_syntax_uid: str
    number_of_frames: int
    key: str
    size_bytes: int
    digest: bytes
    head_digest: bytes
    layout: Layout
    stored_at: float
    revision: int


class Outcome(StrEnum):
    """What became of an instance that was to be registered."""

    STORED = "stored"  # new
    DUPLICATE = "duplicate"  # the same Data Set is already kept; nothing changed
    KEPT_FIRST = "kept first"  # another Data Set is kept under this UID; nothing changed
    REPLACED = "replaced"  # another Data Set was kept under this UID; now this one is


@dataclass(frozen=True, slots=True)
class Registered:
    """*superseded_key* names bytes that are not served: the newcomer's own (drop them), or history it replaced.

    *is_of_another_patient* says that its Patient ID or Issuer of Patient ID is not that of its study.
    """

    outcome: Outcome
    superseded_key: str | None = None
    revision: int = 0
    is_of_another_patient: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change feed: ordered by *revision*, never changed afterwards."""

    revision: int
    at: float
    kind: str  # "stored", "replaced", "deleted"
    ref: InstanceRef
    key: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the index holds now."""

    patients: int
    studies: int
    series: int
    instances: int
    size_bytes: int
    revision: int
