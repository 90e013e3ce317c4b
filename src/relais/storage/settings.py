"""What an operator can say about the store. Knows which schemes exist, not how they work."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

SCHEMES = ("file", "s3")
MAX_JOURNAL_MB = 16_384
SLOW_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes of S3 whose objects cannot be read before they are restored, which takes minutes to days."""
_BOUNDS = {
    "journal_mb": (0, MAX_JOURNAL_MB),
    "direct_kb": (0, 1024),
    "timeout_s": (0.1, 600),
    "attempts": (1, 10),
    "connections": (1, 1000),
    "spool_mb": (0, 1_000_000_000),
    "cache_mb": (0, 1_000_000_000),
    "restore_days": (0, 3650),
}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ENDPOINT = re.compile(r"https?://[^/?#@\s]+/?")


class Addressing(StrEnum):
    """Where the name of the bucket stands in the URLs of an object store."""

    AUTO = "auto"  # as the client thinks best
    PATH = "path"  # https://host/bucket/key
    VIRTUAL = "virtual"  # https://bucket.host/key


class SpoolUse(StrEnum):
    """When objects go through the spool on the local disk."""

    WHEN_AWAY = "when away"  # only while the object store does not take them
    FIRST = "first"  # all of them: acknowledged at the speed of the local disk, moved afterwards


class RestoreTier(StrEnum):
    """How soon the object store fetches what lies in slow storage: sooner costs more."""

    EXPEDITED = "Expedited"
    STANDARD = "Standard"
    BULK = "Bulk"


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the objects are.

    *url* is `file:///PATH`, or `file:PATH` relative to the working directory; empty means `objects` under data_dir;
    `s3://BUCKET/PREFIX` is in an object store that speaks S3. *journal_mb* is the size of the journal in which each
    storing process makes small objects durable before their own files are synced; 0 syncs every file by itself. The
    files of small objects of *direct_kb* or more are written past the kernel's cache of files; 0: none.

    All else is about S3. Without keys here those of the environment count (AWS_ACCESS_KEY_ID and so on). *timeout_s* is
    for each wait for the object store. *spool_mb* bounds what waits on this machine, in *spool_dir*, for the object
    store to take it; *cache_mb* the copies of its objects that are kept there for who needs files. With *restore_days*
    a series in slow storage that somebody wants to read is asked for, for so many days, as soon as *restore_tier* says.
    """

    url: str = ""
    journal_mb: int = 64
    direct_kb: int = 256
    endpoint_url: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", metadata={"secret": True}, repr=False)
    addressing: Addressing = Addressing.AUTO
    storage_class: str = ""
    timeout_s: float = 10.0
    attempts: int = 2
    connections: int = 32
    spool: SpoolUse = SpoolUse.WHEN_AWAY
    spool_mb: int = 4096
    spool_dir: str = ""
    cache_mb: int = 1024
    restore_days: int = 0
    restore_tier: RestoreTier = RestoreTier.STANDARD

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"[storage] {name} must lie between {least} and {most}")
        if self.url:
            _ = self.bucket if self.is_s3 else self.path_of_url()
        if self.endpoint_url and not _ENDPOINT.fullmatch(self.endpoint_url):
            raise ValueError('[storage] endpoint_url must be like "https://s3.example.org", without user and password')
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("[storage] access_key_id and secret_access_key must be given together, or neither")
        if self.storage_class in SLOW_CLASSES:
            raise ValueError(
                "[storage] storage_class must be one that can be read at once; the bucket may move old ones"
            )

    @property
    def is_s3(self) -> bool:
        """Whether the objects are in an object store that speaks S3."""
        return urlsplit(self.url).scheme == "s3"

    @property
    def bucket(self) -> tuple[str, str]:
        """The bucket that *url* names, and what all keys begin with: a prefix that ends in a slash, or nothing."""
        parts = urlsplit(self.url)
        if not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
            raise ValueError(
                f"[storage] url must be s3://BUCKET/PREFIX, BUCKET of two letters or more, not {self.url!r}"
            )
        prefix = parts.path.strip("/")
        return parts.netloc, f"{prefix}/" if prefix else ""

    def path_of_url(self) -> Path:
        """The folder that *url* names. Raises ValueError if it names none."""
        parts = urlsplit(self.url)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path or parts.query:
            known = ", ".join(SCHEMES)
            raise ValueError(
                f"[storage] url must be file:///PATH or s3://BUCKET/PREFIX (known: {known}), not {self.url!r}"
            )
        return Path(unquote(parts.path))

    def root(self, data_dir: Path) -> Path:
        """Where the files of objects are, given the node's *data_dir*: all of them, or those in the spool."""
        if self.is_s3:
            return Path(self.spool_dir) if self.spool_dir else data_dir / "spool"
        return self.path_of_url() if self.url else data_dir / "objects"
