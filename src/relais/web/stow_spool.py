"""A place on the disk for what must wait until a request is complete. Knows bytes and where they lie, nothing else.

One file without a name for each request: it goes with the process at the latest. The disk being full is OutOfResources.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import NamedTuple, Self

from relais.errors import Unavailable, out_of_resources

CHUNK_BYTES = 256 * 1024


class Stretch(NamedTuple):
    """Bytes in the spool."""

    offset: int
    size_bytes: int


class Spool:
    """Takes bytes at its end and gives them back from anywhere."""

    def __init__(self, folder: str) -> None:
        """In *folder*, which is made if need be; "" for the system's place."""
        self.size_bytes = 0
        with out_of_resources():
            if folder:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - a setting, and "" has a meaning
            self._file = tempfile.TemporaryFile(dir=folder or None, buffering=0)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def write(self, data: bytes | memoryview) -> None:
        """Append *data*."""
        rest = memoryview(data)
        with out_of_resources():
            while rest:
                rest = rest[self._file.write(rest) :]
        self.size_bytes += len(data)

    def since(self, offset: int) -> Stretch:
        """What was appended since the spool was of size *offset*."""
        return Stretch(offset, self.size_bytes - offset)

    def read(self, stretch: Stretch) -> bytes:
        return b"".join(self.chunks(stretch))

    def chunks(self, stretch: Stretch) -> Iterator[bytes]:
        """What *stretch* holds, in pieces."""
        offset, end = stretch.offset, stretch.offset + stretch.size_bytes
        while offset < end:
            try:
                chunk = os.pread(self._file.fileno(), min(CHUNK_BYTES, end - offset), offset)
            except OSError as exc:
                raise Unavailable("The request cannot be read again.") from exc
            offset += len(chunk)
            yield chunk
