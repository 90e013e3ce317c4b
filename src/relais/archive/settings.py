"""What an operator may decide about the archive. Knows values, not where they were written down."""

from dataclasses import dataclass
from enum import StrEnum


class OnConflict(StrEnum):
    """What happens to another Data Set under a SOP Instance UID that is already kept."""

    KEEP = "keep"  # it is refused, so that its sender knows that it is not kept
    REPLACE = "replace"  # it is served from now on; the bytes of the former one stay in the storage


class OnRejected(StrEnum):
    """What happens to an instance that was rejected for good (archive.delete), when it comes again."""

    REFUSE = "refuse"
    ACCEPT = "accept"  # it is stored as if it were new


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """*max_instance_bytes*: a larger instance is refused while it arrives, and nothing of it is kept.

    *verify_on_read*: whole instances are checked against their digest while they are sent. *cache_bytes* bounds the
    rendered images kept under *cache_dir*; "" keeps none.

    *deidentify_key_file* holds the secret by which UIDs are replaced in de-identified instances; it is made where
    there is none.

    *verify_on_commit*: storage is committed to only after every byte was read; else size and presence are looked at.
    *commitment_retry_s* is how long we try to tell a requester who is away.
    """

    on_conflict: OnConflict = OnConflict.KEEP
    on_rejected: OnRejected = OnRejected.REFUSE
    max_instance_bytes: int = 8 * 1024**3
    verify_on_read: bool = True
    cache_dir: str = ""
    cache_bytes: int = 512 * 1024**2
    deidentify_key_file: str = ""
    verify_on_commit: bool = False
    commitment_retry_s: float = 7 * 86400.0

    def __post_init__(self) -> None:
        if self.max_instance_bytes < 1024:
            raise ValueError("max_instance_bytes must be at least 1024")
        if self.cache_bytes < 0:
            raise ValueError("cache_bytes must not be negative")
        if self.commitment_retry_s < 0:
            raise ValueError("commitment_retry_s must not be negative")
