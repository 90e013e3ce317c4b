"""The DIMSE door of Relais with nothing behind it but files: `python -m bench.receiver FOLDER PORT`, until it is ended.

What an instance costs from the association to its file, digest and all, without flushes, header, rows and audit: the
same work that storescp does. As many processes as the node has stand behind the port; storescp forks one for each
association.
"""

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Self

from fixtures.node import close_archive, make_archive
from relais.archive import Archive
from relais.archive.ingest import Claim, Stored
from relais.dicom.origin import Origin
from relais.dicom.part10 import FileMeta, encode_head
from relais.dicom.refs import InstanceRef
from relais.dimse import store
from relais.dimse.seats import Seats, table_bytes
from relais.dimse.server import DimseServer
from relais.dimse.settings import DimseSettings
from relais.index.rows import Outcome
from relais.peers.registry import Registry
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore
from relais.storage.upload import Rooms

ANY_SERIES = "1.2.3"
BACKLOG = 64
ENDING = {signal.SIGTERM, signal.SIGINT}


class FileOnly:
    """In the place of archive.ingest.Receiving."""

    def __init__(self, files: LocalStore, claim: Claim) -> None:
        self._claim = claim
        uid = claim.sop_instance_uid or ""
        self._upload = files.begin(encode_head(FileMeta(claim.transfer_syntax_uid, claim.sop_class_uid or "", uid)))
        self._ref = InstanceRef(ANY_SERIES, ANY_SERIES, uid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._upload.__exit__()

    def write(self, chunk: bytes | memoryview) -> None:
        self._upload.write(chunk)

    def finish(self) -> Stored:
        self._upload.complete()
        kept = self._upload.commit(instance_key(self._ref, fresh_token()))
        return Stored(self._ref, self._claim.sop_class_uid or "", Outcome.STORED, kept.size_bytes)


def main(folder: Path, port: int) -> None:
    """Have the workers, until told to end."""
    settings = DimseSettings(port=port)
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listening, tempfile.TemporaryFile() as table:
        table.truncate(table_bytes(settings.max_associations, settings.workers))
        workers = [_started(folder, settings, listening, table.fileno(), one) for one in range(settings.workers)]
        signal.sigwait(ENDING)
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        for worker in workers:
            os.waitpid(worker, 0)


def _started(folder: Path, settings: DimseSettings, listening: socket.socket, table: int, worker: int) -> int:
    """A process that is worker number *worker*; its number as a process."""
    process = os.fork()
    if process == 0:
        seats = Seats(settings.max_associations, worker, settings.workers, table)
        files = LocalStore(folder / "files", fsync=False)
        files.rooms = Rooms()  # what is small waits in memory until it is whole, as in the node
        _serve(folder / f"archive-{worker}", files, settings, listening, seats)
        os._exit(0)
    return process


def _serve(folder: Path, files: LocalStore, settings: DimseSettings, listening: socket.socket, seats: Seats) -> None:
    archive = make_archive(folder)

    def receive(archive: Archive, claim: Claim, origin: Origin) -> FileOnly:
        return FileOnly(files, claim)

    vars(store)["receive"] = receive
    server = DimseServer(settings, archive, Registry([]), seats)
    server.start(listening)
    signal.sigwait(ENDING)
    server.stop(2)
    close_archive(archive)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    main(Path(sys.argv[1]), int(sys.argv[2]))
