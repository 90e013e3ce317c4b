"""Files on their way to a peer. Knows Part 10, no protocol and no archive."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from relais.dicom.elements import reader_of
from relais.dicom.header import read_header
from relais.dicom.part10 import read_head
from relais.errors import InvalidDataSet, Unavailable
from relais.peers.base import Outgoing
from relais.pixels.workers import PixelWorkers

CHUNK_BYTES = 256 * 1024


def of_file(path: Path, pixels: PixelWorkers) -> Outgoing:
    """The instance in the Part 10 file *path*, called what its Data Set says. Raises InvalidDataSet if it is none."""
    with path.open("rb") as stream:
        meta, head = read_head(stream.read)
        named = meta.sop_class_uid, meta.sop_instance_uid
        with suppress(InvalidDataSet):  # the peer will judge it
            header = read_header(reader_of(stream), path.stat().st_size, len(head), meta.transfer_syntax_uid)
            named = header.sop_class_uid, header.ref.sop_instance_uid

    def read(transfer_syntax_uid: str) -> Iterator[bytes]:
        if transfer_syntax_uid == meta.transfer_syntax_uid:
            with _reading(path), path.open("rb") as stream:
                yield from _dataset_bytes(stream)
            return
        with _reading(path), pixels.transcode(path, transfer_syntax_uid) as transcoded:
            yield from _dataset_bytes(transcoded)

    return Outgoing(*named, meta.transfer_syntax_uid, read)


def _dataset_bytes(part10: BinaryIO) -> Iterator[bytes]:
    read_head(part10.read)
    while chunk := part10.read(CHUNK_BYTES):
        yield chunk


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raises Unavailable if the file cannot be read any more."""
    try:
        yield
    except OSError as exc:
        raise Unavailable(f"{path} cannot be read: {exc.strerror or exc}.") from exc
