"""An archive moves between any two engines and stores, and is backed up and restored on any: one suite for all."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from click.testing import CliRunner

from fixtures.builders import a_ct, a_pdf, a_series, part10
from fixtures.engines import ENGINES, POSTGRESQL, SQLITE, index_settings
from fixtures.faulty import Answered, Asked, Faulty, Forward, SlowLine, damages_the_request, faulty
from fixtures.indexed import check_labels
from fixtures.moved import answers
from fixtures.object_server import ObjectServer, storage_settings
from fixtures.rebuilt import check_sides
from relais.access.policy import Policy
from relais.access.principals import OPERATOR
from relais.archive import Archive, backup, delete, ingest, maintenance, quiet, restoring, transfer
from relais.archive.delete import Reason
from relais.archive.settings import ArchiveSettings, OnConflict
from relais.archive.transfer import Copied
from relais.cli import program
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Match, MatchKind, Query
from relais.errors import InvalidRequest, OutOfResources, Unwanted
from relais.index import changes, portable, search, statistics
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers
from relais.storage import open_store
from relais.storage.base import ObjectStore
from relais.storage.settings import StorageSettings

ORIGIN = Origin(Channel.DIMSE, "192.0.2.7", "CT1", "RELAIS")
FILES, S3 = "files", "s3"
Open = Callable[..., Archive]


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, str], StorageSettings]:
    """Settings of a new store of a kind."""

    def made(name: str, kind: str) -> StorageSettings:
        if kind == FILES:
            return StorageSettings(url=f"file://{tmp_path / name / 'store'}", journal_mb=0)
        server = request.getfixturevalue("object_server")
        return storage_settings(server, server.make_bucket(), tmp_path / name)

    return made


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens archives, and closes them afterwards."""
    made: list[Archive] = []

    def open_one(db: Database, store: ObjectStore) -> Archive:
        settings = ArchiveSettings(on_conflict=OnConflict.REPLACE)
        made.append(Archive(db, store, PixelWorkers(PixelSettings()), Policy(), settings))
        return made[-1]

    yield open_one
    for archive in made:
        archive.pixels.close()
        archive.store.close()
        archive.db.close()


def store(archive: Archive, *datasets: Any) -> list[ingest.Stored]:
    return [ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN) for ds in datasets]


def copy_objects(archive: Archive, target: ObjectStore) -> Copied:
    return restoring.copy_objects(archive, target, lambda objects, size_bytes: None)


def live(archive: Archive) -> Any:
    """Studies that came, were replaced, deleted and rejected; returns what must never come back."""
    store(archive, *a_series(4), a_ct(PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"), a_pdf())
    changed = a_ct(SeriesDescription="first", PatientName="MÜLLER^Zoé", SpecificCharacterSet="ISO_IR 192")
    store(archive, changed)
    changed.SeriesDescription = "second"
    store(archive, changed)
    gone, bad = a_ct(), a_ct()
    for ds, reason in ((gone, Reason.NONE), (bad, Reason.PATIENT_SAFETY)):
        delete.delete(archive, OPERATOR, store(archive, ds)[0].ref.study, reason)
    return bad


def goes_on(archive: Archive, bad: Any) -> None:
    """What arrives afterwards is found, numbered and refused as ever."""
    latest = changes.latest(archive.db)
    with pytest.raises(Unwanted):
        store(archive, bad)
    store(archive, *a_series(2), a_ct(PatientName="NOUVEAU^Nom"))
    assert changes.latest(archive.db) == latest + 3
    for pattern in ("NOUV*", "*OUVEA*", "*ÜLLER*", "*太*"):
        query = Query(Level.STUDY, (Match(0x00100010, MatchKind.WILD_CARD, (pattern,)),))
        assert len(list(search.search(archive.db, query).rows)) == 1, pattern
    assert statistics.recount(archive.db) == []
    assert maintenance.check(archive).is_sound
    archive.db.write(check_sides)
    if not archive.db.is_postgresql:
        archive.db.write(check_labels)


@pytest.mark.parametrize(
    ("engine", "new_engine"), [(SQLITE, SQLITE), (SQLITE, POSTGRESQL), (POSTGRESQL, SQLITE), (POSTGRESQL, POSTGRESQL)]
)
def test_an_index_moves_with_all_that_it_knows(
    tmp_path: Path, opened: Open, storage: Any, engine: str, new_engine: str
) -> None:
    settings = storage("north", FILES)
    north = opened(Database(index_settings(tmp_path / "north", engine, quiet_s=1e-9)), open_store(settings))
    bad, feed = live(north), changes.name(north.db)
    assert quiet.pack_quiet(north)  # a part of it lies in packs
    store(north, a_ct())
    new = index_settings(tmp_path / "south", new_engine)
    assert not restoring.is_taken(new)
    rows = restoring.move_index(north, new, tmp_path)
    assert rows == portable.counts(north.db)
    (tmp_path / ".relais-left").mkdir()
    assert restoring.move_index(north, new, tmp_path) == rows  # as after a kill at the very end
    assert not (tmp_path / ".relais-left").exists()
    south = opened(Database(new), north.store)
    assert answers(south) == answers(north)
    assert changes.name(south.db) == feed
    goes_on(south, bad)
    south.db.close()
    with pytest.raises(InvalidRequest, match="already"):
        restoring.move_index(north, new, tmp_path)


@pytest.mark.parametrize(("kind", "new_kind"), [(FILES, S3), (S3, FILES)])
def test_objects_move_while_others_arrive(tmp_path: Path, opened: Open, storage: Any, kind: str, new_kind: str) -> None:
    north = opened(Database(index_settings(tmp_path / "north")), open_store(storage("north", kind)))
    bad, target = live(north), open_store(storage("south", new_kind))
    first = copy_objects(north, target)
    store(north, a_ct())
    last = copy_objects(north, target)
    assert (first.copied, last.copied, last.present) == (8, 1, 8)  # one of them is history
    south = opened(north.db, target)
    assert answers(south) == answers(north)
    goes_on(south, bad)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [FILES, S3])
def test_a_backup_is_restored_on_another_engine_and_store(
    tmp_path: Path, opened: Open, storage: Any, engine: str, kind: str
) -> None:
    """From each of the two to the other one, over a folder of plain files."""
    other_engine, other_kind = {SQLITE: POSTGRESQL, POSTGRESQL: SQLITE}[engine], {FILES: S3, S3: FILES}[kind]
    north = opened(Database(index_settings(tmp_path / "north", engine)), open_store(storage("north", kind)))
    bad = live(north)
    assert backup.make(north, tmp_path / "disk").manifest.is_whole
    assert backup.check(tmp_path / "disk").present == 7
    target, index = open_store(storage("south", other_kind)), index_settings(tmp_path / "south", other_engine)
    assert restoring.restore(tmp_path / "disk", target, index, tmp_path / "south").copied.is_whole
    south = opened(Database(index), target)
    assert answers(south) == answers(north)
    goes_on(south, bad)


def test_the_command_moves_both_at_once(tmp_path: Path, opened: Open, storage: Any) -> None:
    """From SQLite and files to PostgreSQL and S3, as it is typed."""
    told = {
        "north": {"index": index_settings(tmp_path / "north", SQLITE), "storage": storage("north", FILES)},
        "south": {"index": index_settings(tmp_path / "south", POSTGRESQL), "storage": storage("south", S3)},
    }
    for name, sections in told.items():
        text = f'[node]\ndata_dir = "{tmp_path / name}"\n'
        for section, settings in sections.items():
            written = {key: value for key, value in asdict(settings).items() if value != getattr(type(settings)(), key)}
            text += f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in written.items())
        (tmp_path / f"{name}.toml").write_text(text)
    north = opened(Database(told["north"]["index"]), open_store(told["north"]["storage"]))
    bad = live(north)
    north.db.close()
    move = ["migrate", "--config", str(tmp_path / "north.toml"), "--to", str(tmp_path / "south.toml")]
    for words in ([], ["--finish"]):
        found = CliRunner().invoke(program, [*move, *words])
        assert found.exit_code == 0, found.output
    south = opened(Database(told["south"]["index"]), open_store(told["south"]["storage"]))
    assert answers(south) == answers(north)
    goes_on(south, bad)


@pytest.fixture
def door(object_server: ObjectServer) -> Iterator[Faulty]:
    with faulty(object_server) as door:
        yield door


def test_a_bucket_is_asked_once_for_each_series_and_not_for_each_object(
    tmp_path: Path, opened: Open, storage: Any, object_server: ObjectServer, door: Faulty
) -> None:
    north = opened(Database(index_settings(tmp_path / "north")), open_store(storage("north", FILES)))
    store(north, *a_series(12), a_ct())
    settings = storage_settings(door.server, object_server.make_bucket(), tmp_path / "south")
    for copied in (13, 0):
        target = open_store(settings)
        del door.asked[:]
        assert copy_objects(north, target).copied == copied
        target.close()
        assert sum(method == "GET" and "list-type=2" in path for method, path in door.asked) == 2
        assert door.count("GET") == 2
    assert len(door.asked) == 2


def test_an_object_is_read_from_a_bucket_in_one_go(
    tmp_path: Path, opened: Open, storage: Any, object_server: ObjectServer, door: Faulty
) -> None:
    settings = storage_settings(door.server, object_server.make_bucket(), tmp_path / "north")
    north = opened(Database(index_settings(tmp_path / "north")), open_store(settings))
    store(north, *a_series(3), a_ct())
    del door.asked[:]
    assert copy_objects(north, open_store(storage("south", FILES))).copied == 4
    assert [method for method, _ in door.asked] == ["GET"] * 4


def test_what_is_damaged_on_its_way_into_a_bucket_is_no_copy(
    tmp_path: Path, opened: Open, storage: Any, object_server: ObjectServer, door: Faulty
) -> None:
    north = opened(Database(index_settings(tmp_path / "north")), open_store(storage("north", FILES)))
    store(north, *a_series(3))
    settings = storage_settings(door.server, object_server.make_bucket(), tmp_path / "south", spool_mb=0)
    door.fail(damages_the_request, method="PUT")
    target = open_store(settings)
    with pytest.raises(OutOfResources, match=r"takes nothing now\."):
        copy_objects(north, target)
    assert list(target.iterate()) == []
    target.close()
    door.heal()
    target = open_store(settings)
    assert copy_objects(north, target).copied == 3
    for key in north.store.iterate():
        with north.store.open(key) as sent, target.open(key) as kept:
            assert kept.read() == sent.read()
    target.close()


def test_small_objects_go_into_a_bucket_side_by_side(
    tmp_path: Path, opened: Open, storage: Any, object_server: ObjectServer, door: Faulty
) -> None:
    """Eight PUT requests wait for each other: so many are on their way at once."""
    north = opened(Database(index_settings(tmp_path / "north")), open_store(storage("north", FILES)))
    store(north, *a_series(12))
    together = Barrier(8)

    def waits_for_the_others(asked: Asked, forward: Forward) -> Answered:
        together.wait(60)
        return forward(asked)

    door.fail(waits_for_the_others, times=8, method="PUT")
    target = open_store(storage_settings(door.server, object_server.make_bucket(), tmp_path / "south", timeout_s=120.0))
    assert copy_objects(north, target).copied == 12
    target.close()


def test_of_large_objects_few_are_on_their_way_at_once(
    tmp_path: Path,
    opened: Open,
    storage: Any,
    object_server: ObjectServer,
    door: Faulty,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    north = opened(Database(index_settings(tmp_path / "north")), open_store(storage("north", FILES)))
    store(north, *a_series(12))
    monkeypatch.setattr(transfer, "LARGE_BYTES", 0)
    door.fail(line := SlowLine(), method="PUT")
    target = open_store(storage_settings(door.server, object_server.make_bucket(), tmp_path / "south"))
    assert copy_objects(north, target).copied == 12
    target.close()
    assert 1 <= line.most <= transfer.THREADS
