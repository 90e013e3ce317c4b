"""Fills an archive with many small objects and dies by kill -9, with the end of its writing still in the log.

    startup_filler.py DATA_DIR COUNT

Every object is a hard link to one of a few files, and is registered as ingest does it: what start-up and sweep look at
is as in a real archive, only the contents are not those of the UIDs.
"""

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from fixtures.builders import a_ct, part10
from fixtures.upper_layer import fresh_uid
from relais import config
from relais.archive import Archive, ingest
from relais.archive.maintenance import facts_of
from relais.db.database import Transaction
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.index import composite, lookup
from relais.index.rows import InstanceFacts
from relais.node import compose
from relais.storage.layout import fresh_token, instance_key

LINKS_PER_FILE = 30_000  # ext4 allows 65,000
INSTANCES_PER_SERIES = 100
BATCH = 1000


def a_file(archive: Archive) -> tuple[Path, InstanceFacts]:
    """A file of our own to link to, and what is registered of it."""
    ref = ingest.store_part10(archive, io.BytesIO(part10(a_ct())), Origin(Channel.IMPORT)).ref
    row = lookup.instance(archive.db, ref)
    assert row is not None
    with archive.store.as_path(row.key) as path:
        return path, facts_of(archive, row.key)


def new_facts(root: Path, original: Path, like: InstanceFacts, count: int) -> Iterator[InstanceFacts]:
    """*count* new objects, linked into the store."""
    study = series = ""
    for number in range(count):
        if number % INSTANCES_PER_SERIES == 0:
            study, series = fresh_uid(), fresh_uid()
        ref = InstanceRef(study, series, fresh_uid())
        key = instance_key(ref, fresh_token())
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        os.link(original, root / key)
        yield like._replace(ref=ref, key=key)


def register(archive: Archive, batch: list[InstanceFacts]) -> None:
    def work(tx: Transaction) -> None:
        for facts in batch:
            composite.register(tx, facts)

    archive.db.write(work)


def fill(archive: Archive, root: Path, count: int) -> None:
    batch: list[InstanceFacts] = []
    while count:
        part = min(count, LINKS_PER_FILE)
        for facts in new_facts(root, *a_file(archive), part):
            batch.append(facts)
            if len(batch) == BATCH:
                register(archive, batch)
                batch = []
        count -= part
    register(archive, batch)


def main() -> None:
    given = config.load(None, {"RELAIS_NODE__DATA_DIR": sys.argv[1]}).config
    with compose.archive_of(given) as archive:
        fill(archive, given.storage.root(given.node.data_dir), int(sys.argv[2]))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
