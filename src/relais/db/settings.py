"""What an operator may say about the index. Knows no file format: config reads it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relais.dicom.attributes import declared

SQLITE_PREFIX = "sqlite:///"
POSTGRESQL_PREFIX = "postgresql://"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Settings of `[index]`.

    *url* is `sqlite:///relative/path` or `sqlite:////absolute/path`, of a file on a local disk, never on NFS, or it is
    `postgresql://role:password@host:port/database`, with parameters of libpq. *busy_timeout_s* bounds the wait for a
    lock that somebody outside the node holds, and for a server that restarts or hangs; beyond it, Unavailable.
    *group_limit* is the most writes that one commit carries. *soon_limit* is the most late writes (audit of reads)
    that wait in memory; beyond it the reader waits for its own commit. A read that works longer than *read_timeout_s*
    is given up as Unavailable: a search made to be slow must not hold its thread for ever. *log_mb* is what the
    write-ahead log has from the first write on, so that commits need not let it grow. *connections* is how many of one
    process read from PostgreSQL at once; one more waits as for a lock. The caches and the log are SQLite's only.

    *search_keys* are kept attributes of patients, studies or series that searches match besides those of the table.

    A series in which nothing happens for *quiet_s* is packed: its instances take a tenth of their room; 0: none is.
    """

    url: str = "sqlite:///data/index.sqlite"
    busy_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    cache_mb: int = 64
    reader_cache_mb: int = 16
    group_limit: int = 256
    soon_limit: int = 10_000
    log_mb: int = 32
    quiet_s: float = 900.0
    search_keys: tuple[str, ...] = ()
    connections: int = 16

    def __post_init__(self) -> None:
        for name in self.search_keys:
            declared(name)
        if self.url in (SQLITE_PREFIX, POSTGRESQL_PREFIX) or not self.url.startswith(
            (SQLITE_PREFIX, POSTGRESQL_PREFIX)
        ):
            raise ValueError("[index] url must be sqlite:///PATH or postgresql://...")
        if self.is_postgresql:
            _require_sense(self.url)
        for name, least in (
            ("busy_timeout_s", 0.0),
            ("read_timeout_s", 0.1),
            ("cache_mb", 1),
            ("reader_cache_mb", 1),
            ("soon_limit", 1),
            ("log_mb", 0),
            ("quiet_s", 0.0),
            ("connections", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"[index] {name} must be at least {least}")
        if not 1 <= self.group_limit <= 10_000:
            raise ValueError("[index] group_limit must lie between 1 and 10000")

    @property
    def is_postgresql(self) -> bool:
        """Whether *url* names a PostgreSQL server."""
        return self.url.startswith(POSTGRESQL_PREFIX)

    @property
    def path(self) -> Path:
        """The file that the *url* of a SQLite index names."""
        return Path(self.url.removeprefix(SQLITE_PREFIX))


def _require_sense(url: str) -> None:
    """Raise ValueError for a URL of PostgreSQL that nobody would understand; without its driver nobody looks."""
    with suppress(ImportError):
        from relais.db.postgres.urls import require_sense  # noqa: PLC0415 - its driver is an extra

        require_sense(url)


def for_path(path: Path) -> IndexSettings:
    """The default settings for an index at *path*."""
    return IndexSettings(url=f"{SQLITE_PREFIX}{path}")
