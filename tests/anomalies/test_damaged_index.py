"""An index that is damaged: no object is harmed, whatever is asked of it, and a rebuild brings all back.

Most questions are refused as Unavailable; what a damaged page still answers, SQLite cannot know to be wrong.
"""

import io
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fixtures.builders import a_ct, a_series, part10
from fixtures.engines import only_sqlite
from fixtures.node import close_archive, make_archive
from fixtures.object_server import chosen, chosen_settings
from relais.access.principals import OPERATOR
from relais.archive import Archive, ingest, maintenance, retrieve, search
from relais.archive.integrity import verified_chunks
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query
from relais.dicom.refs import InstanceRef
from relais.errors import NodeError

pytestmark = only_sqlite("its file is damaged")
DAMAGES = 100 if chosen() == "local" else 10
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[InstanceRef]]:
    """An archive that was closed, and what is in it."""
    folder = tmp_path_factory.mktemp("template")
    archive = make_archive(folder)
    studies = [a_series(3, PatientName=f"NAME{number}^A", PatientID=str(number)) for number in range(6)]
    files = [io.BytesIO(part10(ds)) for ds in [*(ds for study in studies for ds in study), a_ct()]]
    refs = [ingest.store_part10(archive, file, Origin(Channel.IMPORT)).ref for file in files]
    close_archive(archive)
    return folder, refs


def damaged(index: bytes, chance: random.Random) -> bytes:
    """*index* with some bytes changed in one page, a page of zeros, or its end cut off."""
    data, page = bytearray(index), chance.randrange(len(index) // PAGE_BYTES) * PAGE_BYTES
    kind = chance.choice(("bytes", "bytes", "zeros", "cut"))
    if kind == "cut":
        del data[max(page, 100) :]
    elif kind == "zeros":
        data[page : page + PAGE_BYTES] = bytes(PAGE_BYTES)
    else:
        for _ in range(chance.choice((1, 8, 64))):
            data[page + chance.randrange(PAGE_BYTES)] = chance.randrange(256)
    return bytes(data)


def uses(archive: Archive, refs: list[InstanceRef]) -> Iterator[Callable[[], object]]:
    """Everything that one may ask of an archive."""
    for level in Level:
        yield lambda level=level: list(search.search(archive, OPERATOR, Query(level, all_keys=True)).rows)
    for ref in refs:
        yield lambda ref=ref: read(archive, ref)
    yield lambda: ingest.store_part10(archive, io.BytesIO(part10(a_ct())), Origin(Channel.IMPORT))
    yield lambda: maintenance.sweep(archive)
    yield lambda: maintenance.check(archive)


def read(archive: Archive, ref: InstanceRef) -> None:
    for row in retrieve.instances(archive, OPERATOR, ref):
        for _ in verified_chunks(archive, row, 0, always=True):
            pass


def test_a_damaged_index_harms_no_object_and_can_be_rebuilt(
    template: tuple[Path, list[InstanceRef]], tmp_path: Path
) -> None:
    folder, refs = template
    index, chance = (folder / "index.sqlite").read_bytes(), random.Random(7)
    for _ in range(DAMAGES):
        (tmp_path / "index.sqlite").write_bytes(damaged(index, chance))
        try:
            archive = make_archive(tmp_path, storage=chosen_settings(folder))
        except NodeError:
            pass
        else:
            for use in uses(archive, refs):
                with suppress(Exception):
                    use()
            with suppress(NodeError):
                close_archive(archive)
        for path in tmp_path.glob("index.sqlite*"):
            path.unlink()
    archive = make_archive(tmp_path, storage=chosen_settings(folder))
    rebuilt = maintenance.reindex(archive)
    assert not rebuilt.unreadable
    for ref in refs:
        read(archive, ref)
    assert maintenance.check(archive).is_sound
    close_archive(archive)


def test_a_rebuild_that_was_killed_is_completed_by_the_sweep(
    template: tuple[Path, list[InstanceRef]], tmp_path: Path
) -> None:
    folder, refs = template

    def die(done: int) -> None:
        if done == 5:
            raise SystemExit

    archive = make_archive(tmp_path, storage=chosen_settings(folder))
    with pytest.raises(SystemExit):
        maintenance.reindex(archive, die)
    close_archive(archive)
    archive = make_archive(tmp_path, storage=chosen_settings(folder))
    assert maintenance.sweep(archive).indexed >= len(refs) - 5
    for ref in refs:
        read(archive, ref)
    assert maintenance.check(archive).is_sound
    close_archive(archive)
