"""Stores instances from four threads until it is killed; prints each ref once it is acknowledged."""

import io
import sys
import threading
from pathlib import Path

from pydicom.uid import generate_uid

from fixtures.builders import a_ct, part10
from fixtures.node import make_archive
from relais.archive import Archive, ingest
from relais.dicom.origin import Channel, Origin


def store_for_ever(archive: Archive, study_instance_uid: str) -> None:
    """All threads share one study, so that they meet in its rows."""
    ds = a_ct(StudyInstanceUID=study_instance_uid, rows=128, columns=128)
    while True:
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
        ref = ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT)).ref
        line = f"{ref.study_instance_uid} {ref.series_instance_uid} {ref.sop_instance_uid}\n"
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    target = make_archive(Path(sys.argv[1]))
    study = generate_uid(prefix=None)
    threads = [threading.Thread(target=store_for_ever, args=(target, study)) for _ in range(4)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for thread in threads:
        thread.start()
