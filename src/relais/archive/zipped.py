"""Instances as one zip archive, made while it is sent (PS3.18 8.6.1.3). Knows names and zip files, not requests.

1. Files are not compressed again, and none is held in memory: it stays small however large the study is.
2. Folders are for people: patient, study and series by name, files by their place in the series. No two are alike.
3. What a stranger called something names nothing but what is harmless on every system: letters, digits and a few signs.
"""

import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from relais.access.principals import Principal
from relais.archive import Archive, retrieve
from relais.archive.retrieve import Body
from relais.dicom.json_model import JsonDataset, text
from relais.dicom.refs import SeriesRef
from relais.index.rows import InstanceRow

SMALLEST_BYTES = 64 * 1024  # of a piece that is sent
MAX_NAME_CHARACTERS = 60  # of a folder; the rest of a longer name is cut off
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that zip can say

# Of a file that is not compressed, besides its name and content: local header, data descriptor, entry of the directory.
_FILE_BYTES, _END_BYTES = 30 + 16 + 46, 22
_MOST_BYTES = 2_000_000_000  # zipfile goes over to 64 bits somewhere above

_PATIENT, _STUDY, _SERIES = (0x00100010, 0x00100020), (0x00080020, 0x00081030), (0x00200011, 0x00080060, 0x0008103E)
_HARMLESS = frozenset(" -_,()+")


class File(NamedTuple):
    """One file of the archive."""

    name: str
    stored_at: float
    body: Body


class _Pipe:
    """What zipfile writes to: bytes are kept until they are taken. It cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.waiting = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self.waiting += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing to do: there is nobody below."""

    def close(self) -> None:
        """Nothing to do either."""

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces, self.waiting = [], 0
        return taken


def names(archive: Archive, principal: Principal, rows: Sequence[InstanceRow]) -> list[str]:
    """The name of each row's file, patient, study and series before it. Raises NotFound if a series has gone."""
    folders: dict[SeriesRef, str] = {}
    counts: dict[str, int] = {}
    found = []
    for row in rows:
        series = row.ref.series
        if series not in folders:
            folders[series] = unlike(folders.values(), _folder(retrieve.attributes(archive, principal, series)))
        counts[folders[series]] = number = counts.get(folders[series], 0) + 1
        found.append(f"{folders[series]}/{number:05d}.dcm")
    return found


def as_stored(archive: Archive, principal: Principal, rows: Sequence[InstanceRow]) -> Iterator[bytes]:
    """The archive of *rows*, which a verb has released, each as it is stored."""
    named = zip(names(archive, principal, rows), rows, retrieve.part10s(archive, rows), strict=True)
    return chunks(File(name, row.stored_at, body) for name, row, body in named)


def chunks(files: Iterable[File]) -> Iterator[bytes]:
    """The archive of *files*, piece by piece."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as out:
        for file in files:
            info = zipfile.ZipInfo(file.name, max(time.localtime(file.stored_at)[:6], EARLIEST))
            info.file_size = file.body.length  # from which zipfile sees whether 32 bits are enough
            with out.open(info, "w") as entry:
                for chunk in file.body.chunks:
                    entry.write(chunk)
                    if pipe.waiting >= SMALLEST_BYTES:
                        yield pipe.take()
    yield pipe.take()


def one_text(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """An archive of one file of text, which is compressed while it goes out."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as out:
        info = zipfile.ZipInfo(name, time.localtime()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        with out.open(info, "w", force_zip64=True) as entry:
            for chunk in chunks:
                entry.write(chunk)
                if pipe.waiting >= SMALLEST_BYTES:
                    yield pipe.take()
    yield pipe.take()


def length(files: Iterable[tuple[str, int]]) -> int | None:
    """The size of the archive of files of these names and sizes; None where 32 bits may not be enough for it."""
    total, count = _END_BYTES, 0
    for name, size_bytes in files:
        total += size_bytes + _FILE_BYTES + 2 * len(name.encode())
        count += 1
    return total if total < _MOST_BYTES and count < zipfile.ZIP_FILECOUNT_LIMIT else None


def _folder(ds: JsonDataset) -> str:
    return "/".join(
        _name(ds, tags, kind) for tags, kind in ((_PATIENT, "patient"), (_STUDY, "study"), (_SERIES, "series"))
    )


def _name(ds: JsonDataset, tags: Sequence[int], otherwise: str) -> str:
    """What *tags* say, in a name that is good on every system."""
    said = " ".join(filter(None, ((text(ds, tag) or "").partition("=")[0].strip() for tag in tags)))
    harmless = "".join(c if c.isalnum() or c in _HARMLESS else " " for c in said)
    return " ".join(harmless.split())[:MAX_NAME_CHARACTERS].strip() or otherwise


def unlike(taken: Iterable[str], name: str) -> str:
    """*name*, with a number if another has it, whatever the case of its letters."""
    others = {other.casefold() for other in taken}
    number, found = 1, name
    while found.casefold() in others:
        number += 1
        found = f"{name} ({number})"
    return found
