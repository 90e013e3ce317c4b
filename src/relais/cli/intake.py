"""Takes files into the local archive, several at a time, and counts what became of them. Knows no terminal."""

import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import IO, BinaryIO, cast
from zipfile import BadZipFile
from zlib import error as ZlibError

from relais.access.principals import OPERATOR
from relais.archive import Archive, holdings, ingest
from relais.archive.ledger import Ledger
from relais.cli.sources import Kind, Source, Unusable, kind_of
from relais.dicom.origin import Origin
from relais.dicom.refs import StudyRef
from relais.errors import NodeError, OutOfResources
from relais.index.rows import Outcome

CHUNK_BYTES = 1024 * 1024
WAITING = 4  # files handed to a thread ahead of time, for each of them
UID = re.compile(r"\b[0-9]+(\.[0-9]+){3,}\b")
STUDIES = 100_000  # remembered to be here, during one import
EXAMPLES = 5  # of each reason
UNREADABLE = (OSError, EOFError, BadZipFile, ZlibError, RuntimeError, NotImplementedError)
"""What reading a file or a member of a zip or tar file raises; RuntimeError where it needs a password."""


@dataclass(slots=True)
class Refused:
    """How many files were refused for one reason, and the names of some."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Summary:
    """What became of the files. *not_dicom* were passed over. *full* says that the storage had no room for more.

    *known* are those of *duplicates* and *not_dicom* that were not read, because an earlier import had.
    """

    stored: int = 0
    replaced: int = 0
    duplicates: int = 0
    not_dicom: int = 0
    known: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    full: bool = False
    refused: dict[str, Refused] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many files that was."""
        return self.stored + self.replaced + self.duplicates + self.not_dicom + self.refused_count

    @property
    def refused_count(self) -> int:
        return sum(refused.count for refused in self.refused.values())

    def refuse(self, name: str, reason: str) -> None:
        """Count one more file under *reason*; UIDs in it do not make it another one."""
        refused = self.refused.setdefault(UID.sub("(UID)", reason), Refused())
        refused.count += 1
        if len(refused.examples) < EXAMPLES:
            refused.examples.append(name)

    def add(self, other: "Summary") -> None:
        """Count what became of *other* files, which were taken in at the same time."""
        for name in ("stored", "replaced", "duplicates", "not_dicom", "known", "size_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seconds, self.full = max(self.seconds, other.seconds), self.full or other.full
        for reason, refused in other.refused.items():
            own = self.refused.setdefault(reason, Refused())
            own.count += refused.count
            own.examples = (own.examples + refused.examples)[:EXAMPLES]


class Intake:
    """One import. *progress* is told after every file.

    Files that *ledger* knows from an earlier import are not read again, if what came of them is still here.
    """

    def __init__(
        self,
        archive: Archive,
        origin: Origin,
        ledger: Ledger | None = None,
        progress: Callable[[Summary], None] = lambda _: None,
    ) -> None:
        self.archive = archive
        self.origin = origin
        self.ledger = ledger
        self.progress = progress
        self.summary = Summary()
        self._lock = threading.Lock()
        self._bug: BaseException | None = None
        self._is_untouched = lru_cache(STUDIES)(partial(holdings.is_untouched, archive, OPERATOR))

    def run(self, sources: Iterable[Source | Unusable], threads: int) -> Summary:
        """Take in *sources* with *threads* at a time. Stops early when nothing more can be made durable."""
        started = time.monotonic()
        room = threading.BoundedSemaphore(threads * WAITING)

        def done(future: Future[None]) -> None:
            room.release()
            self._bug = self._bug or future.exception()

        with ThreadPoolExecutor(threads, "import") as pool:
            for source in sources:
                if self.summary.full or self._bug:
                    break
                if isinstance(source, Unusable):
                    self._refuse(source.name, source.reason)
                    continue
                if self._knows(source):
                    continue
                room.acquire()
                pool.submit(self._take, source).add_done_callback(done)
        if self._bug:
            raise self._bug
        self.summary.seconds = time.monotonic() - started
        return self.summary

    def _knows(self, source: Source) -> bool:
        """Whether *source* needs no reading; it is counted then."""
        study = self.ledger.get(source.mark) if self.ledger else None
        if study is None or (study and not self._is_untouched(StudyRef(study))):
            return False
        self._count(lambda summary: _add_known(summary, study))
        return True

    def _take(self, source: Source) -> None:
        """Take in one file; whatever it holds, the others go on."""
        if self.summary.full:
            return
        try:
            with source.open() as stream:
                kind = kind_of(stream)
                stored = self._store(stream, kind) if kind else None
        except OutOfResources as exc:
            self.summary.full = True
            self._refuse(source.name, exc.message)
        except NodeError as exc:
            self._refuse(source.name, exc.message)
        except UNREADABLE as exc:
            self._refuse(source.name, f"The file cannot be read: {getattr(exc, 'strerror', None) or exc}.")
        else:
            if self.ledger and source.mark:
                self.ledger.note(source.mark, stored.ref.study_instance_uid if stored else "")
            self._count(lambda summary: _add(summary, stored))

    def _store(self, stream: IO[bytes], kind: Kind) -> ingest.Stored:
        if kind.transfer_syntax_uid is not None:
            chunks = iter(lambda: stream.read(CHUNK_BYTES), b"")
            return ingest.store(self.archive, ingest.Claim(kind.transfer_syntax_uid), chunks, self.origin)
        if not kind.prefix:
            return ingest.store_part10(self.archive, cast(BinaryIO, stream), self.origin)
        with ingest.receive_part10(self.archive, self.origin) as receiving:
            receiving.write(kind.prefix)
            while chunk := stream.read(CHUNK_BYTES):
                receiving.write(chunk)
            return receiving.finish()

    def _refuse(self, name: str, reason: str) -> None:
        self._count(lambda summary: summary.refuse(name, reason))

    def _count(self, change: Callable[[Summary], None]) -> None:
        with self._lock:
            change(self.summary)
            self.progress(self.summary)


def _add_known(summary: Summary, study_instance_uid: str) -> None:
    summary.known += 1
    if study_instance_uid:
        summary.duplicates += 1
    else:
        summary.not_dicom += 1


def _add(summary: Summary, stored: ingest.Stored | None) -> None:
    if stored is None:
        summary.not_dicom += 1
        return
    summary.size_bytes += stored.size_bytes
    if stored.outcome is Outcome.STORED:
        summary.stored += 1
    elif stored.outcome is Outcome.REPLACED:
        summary.replaced += 1
    else:
        summary.duplicates += 1
