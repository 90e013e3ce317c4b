"""Stores and deletes from two processes with two threads each, to be recorded; prints what was acknowledged.

    power_sender.py FOLDER INSTANCES JOURNAL_MB [MUTATION]

The parts are put together as the node does it, but settle the journal much more often. A mutation leaves out syncs, to
show that the test sees it.
"""

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fixtures.builders import a_ct, part10
from fixtures.upper_layer import fresh_uid
from relais import config
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete, ingest
from relais.db import connect
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.node import compose
from relais.node.serve import data_directory
from relais.storage import journal, redo
from relais.storage.local import LocalStore
from relais.storage.system import FileSystem

DELETE_EVERY = 5
CHECKPOINT_PAGES = 60  # many checkpoints within a few instances
IDLE_S = 0.03
MANY = 3  # files: then the whole file system is synced
READY_S = 120.0
SMALL, LARGE, DIRECT_KB = 32, 128, 4  # rows: files that the kernel's cache takes, and those written past it


def say(verb: str, ref: InstanceRef) -> None:
    os.write(1, f"{verb} {ref.study_instance_uid} {ref.series_instance_uid} {ref.sop_instance_uid}\n".encode())


def send(archive: Archive, count: int) -> None:
    """Every second instance begins a study of its own."""
    study = fresh_uid()
    for number in range(1, count + 1):
        study = fresh_uid() if number % 2 else study
        ds = a_ct(rows=SMALL if number % 3 else LARGE, StudyInstanceUID=study)
        ref = ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT)).ref
        say("stored", ref)
        if not number % DELETE_EVERY:
            say("deleting", ref)
            delete.delete(archive, OPERATOR, ref)
            say("deleted", ref)


def work(given: config.Config, count: int, threads: int) -> None:
    with compose.archive_of(given) as archive:
        if given.storage.journal_mb:
            await_journal(archive)
        senders = [threading.Thread(target=send, args=(archive, count)) for _ in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()


def await_journal(archive: Archive) -> None:
    """Have the journal of this process made."""
    assert isinstance(archive.store, LocalStore)
    ingest.store_part10(archive, io.BytesIO(part10(a_ct())), Origin(Channel.IMPORT))
    made = archive.store._own_journal()
    assert made is not None
    end = time.monotonic() + READY_S
    while made._active is None and time.monotonic() < end:
        time.sleep(0.01)
    assert made._active is not None


def leave_out_everything() -> None:
    LocalStore.sync = lambda self, fd: None  # type: ignore[method-assign]


def leave_out_folders() -> None:
    LocalStore._sync_folder = lambda self, folder: None  # type: ignore[method-assign]


def leave_out_index() -> None:
    writer = connect.writer

    def careless(settings):  # type: ignore[no-untyped-def]
        connection = writer(settings)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    connect.writer = careless


def leave_out_journal() -> None:
    os.fdatasync = lambda fd: None


def leave_out_settling() -> None:
    redo.sync = lambda path: None
    FileSystem.sync = lambda self: True  # type: ignore[method-assign]


MUTATIONS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "objects": leave_out_everything,
    "folders": leave_out_folders,
    "index": leave_out_index,
    "journal": leave_out_journal,
    "settling": leave_out_settling,
}


def main() -> None:
    folder, count, journal_mb, mutation = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], "".join(sys.argv[4:])
    connect.CHECKPOINT_PAGES, journal.IDLE_S, redo.MANY = CHECKPOINT_PAGES, IDLE_S, MANY
    MUTATIONS[mutation]()
    environ = {"RELAIS_NODE__DATA_DIR": str(folder / "srv" / "relais"), "RELAIS_STORAGE__JOURNAL_MB": journal_mb}
    environ["RELAIS_INDEX__LOG_MB"], environ["RELAIS_STORAGE__DIRECT_KB"] = journal_mb, str(DIRECT_KB)
    given = config.load(None, environ).config
    with data_directory(given):
        child = os.fork()
        work(given, count, threads=2)
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        work(given, count // 2, threads=1)  # opened again, after the log was closed and removed


if __name__ == "__main__":
    main()
