"""A study or series as one zip archive, made while it is sent. Knows verbs and zip files, not requests.

Files are the stored Part 10 files, not compressed again: memory stays small however large the study is.
"""

import time
import zipfile
from collections.abc import Iterator, Sequence

from relais.archive import Archive, retrieve
from relais.index.rows import InstanceRow

SMALLEST_BYTES = 64 * 1024  # of a piece that is sent


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


def chunks(archive: Archive, rows: Sequence[InstanceRow]) -> Iterator[bytes]:
    """The archive of *rows*, which a verb has released, piece by piece."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as out:
        for number, row in enumerate(rows, 1):
            info = zipfile.ZipInfo(_name(number, row), time.localtime(row.stored_at)[:6])
            with out.open(info, "w", force_zip64=True) as file:
                for chunk in retrieve.part10(archive, row).chunks:
                    file.write(chunk)
                    if pipe.waiting >= SMALLEST_BYTES:
                        yield pipe.take()
    yield pipe.take()


def _name(number: int, row: InstanceRow) -> str:
    """A folder for each series, files in the order of the study."""
    return f"{row.ref.series_instance_uid}/{number:05d}.dcm"
