"""The DIMSE door of Relais with nothing behind it but files: `python -m bench.receiver FOLDER PORT`, until it is ended.

What an instance costs from the association to its file, digest and all, without flushes, header, rows and audit: the
same work that storescp does.
"""

import signal
import sys
from pathlib import Path
from typing import Self

from fixtures.node import close_archive, make_archive
from relais.archive import Archive
from relais.archive.ingest import Claim, Stored
from relais.dicom.origin import Origin
from relais.dicom.part10 import FileMeta, encode_head
from relais.dicom.refs import InstanceRef
from relais.dimse import store
from relais.dimse.server import DimseServer
from relais.dimse.settings import DimseSettings
from relais.index.rows import Outcome
from relais.peers.registry import Registry
from relais.storage.layout import fresh_token, instance_key
from relais.storage.local import LocalStore

ANY_SERIES = "1.2.3"


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
    archive, files = make_archive(folder / "archive"), LocalStore(folder / "files", fsync=False)

    def receive(archive: Archive, claim: Claim, origin: Origin) -> FileOnly:
        return FileOnly(files, claim)

    vars(store)["receive"] = receive
    server = DimseServer(DimseSettings(port=port), archive, Registry([]))
    server.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop(2)
    close_archive(archive)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(Path(sys.argv[1]), int(sys.argv[2]))
