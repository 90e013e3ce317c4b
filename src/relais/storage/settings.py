"""What an operator can say about the store. Knows which schemes exist, not how they work."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

SCHEMES = ("file",)
MAX_JOURNAL_MB = 16_384


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the objects are.

    *url* is `file:///PATH`, or `file:PATH` relative to the working directory; empty means `objects` under data_dir.
    *journal_mb* is the size of the journal in which each storing process makes small objects durable before their own
    files are synced; 0 syncs every file by itself.
    """

    url: str = ""
    journal_mb: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.journal_mb <= MAX_JOURNAL_MB:
            raise ValueError(f"[storage] journal_mb must lie between 0 and {MAX_JOURNAL_MB}")
        if self.url:
            self.path_of_url()

    def path_of_url(self) -> Path:
        """The folder that *url* names. Raises ValueError if it names none."""
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or parts.netloc not in {"", "localhost"} or not parts.path or parts.query:
            raise ValueError(f"expected file:///PATH (known schemes: {', '.join(SCHEMES)}), not {self.url!r}")
        return Path(unquote(parts.path))

    def root(self, data_dir: Path) -> Path:
        """Where the objects are, given the node's *data_dir*."""
        return self.path_of_url() if self.url else data_dir / "objects"
