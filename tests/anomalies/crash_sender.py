"""Stores, deletes and sweeps until it is killed; prints what was acknowledged, one line for each.

For each line FOLDER on standard input a child is forked, so that a round costs no start of Python. It prints its
process id first and "ended" when it is gone.
"""

import io
import os
import sys
import threading
import time
from pathlib import Path

from fixtures.builders import a_ct, part10
from fixtures.node import make_archive
from fixtures.upper_layer import fresh_uid
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete, ingest, maintenance
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef

DELETE_EVERY = 7  # instances of one thread
SWEEP_EVERY_S = 0.03


def say(verb: str, ref: InstanceRef) -> None:
    """One line, in one system call: it is there whole or not at all."""
    line = f"{verb} {ref.study_instance_uid} {ref.series_instance_uid} {ref.sop_instance_uid}\n"
    os.write(1, line.encode())


def store_for_ever(archive: Archive, study_instance_uid: str) -> None:
    """All threads share one study, so that they meet in its rows."""
    ds = a_ct(StudyInstanceUID=study_instance_uid, rows=64, columns=64)
    count = 0
    while True:
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = fresh_uid()
        ref = ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT)).ref
        say("stored", ref)
        count += 1
        if not count % DELETE_EVERY:
            say("deleting", ref)
            delete.delete(archive, OPERATOR, ref)
            say("deleted", ref)


def sweep_for_ever(archive: Archive) -> None:
    while True:
        maintenance.sweep(archive)
        time.sleep(SWEEP_EVERY_S)


def work(folder: Path) -> None:
    archive = make_archive(folder)
    study = fresh_uid()
    threads = [threading.Thread(target=store_for_ever, args=(archive, study)) for _ in range(4)]
    for thread in (*threads, threading.Thread(target=sweep_for_ever, args=(archive,))):
        thread.start()


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.write(1, f"{os.getpid()}\n".encode())
            work(Path(line.strip()))
            return
        os.waitpid(child, 0)
        os.write(1, b"ended\n")


if __name__ == "__main__":
    main()
