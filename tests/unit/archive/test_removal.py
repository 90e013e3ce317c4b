"""archive.removal: what is condemned goes, in small steps, whatever happens in between."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.builders import a_ct, a_series, part10
from fixtures.node import close_archive, make_archive
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete, ingest, maintenance, removal
from relais.archive.removal import AT_ONCE, STEP, Removal
from relais.archive.settings import OnConflict
from relais.db.database import Database
from relais.dicom.origin import Channel, Origin
from relais.errors import OutOfResources, Unavailable
from relais.index import condemned

ORIGIN = Origin(Channel.IMPORT)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path)
    yield made
    close_archive(made)


def a_stored_study(archive: Archive, instances: int) -> ingest.Stored:
    found = [ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN) for ds in a_series(instances)]
    return found[0]


def kept(archive: Archive) -> int:
    return len(list(archive.store.iterate()))


def test_a_small_deletion_is_done_with_its_bytes(archive: Archive) -> None:
    delete.delete(archive, OPERATOR, a_stored_study(archive, 3).ref.study)
    assert kept(archive) == 0


def test_a_large_deletion_answers_before_its_bytes_are_gone(archive: Archive) -> None:
    study = a_stored_study(archive, AT_ONCE + 5).ref.study
    assert delete.delete(archive, OPERATOR, study).instances == AT_ONCE + 5
    assert kept(archive) == 5
    assert maintenance.check(archive).is_sound
    remover = Removal(archive)
    assert remover.step()
    assert not remover.step()
    assert kept(archive) == 0
    assert condemned.behind(archive.db, "", 10) == []
    assert maintenance.check(archive).is_sound


def test_a_deletion_is_done_though_the_index_cannot_say_whether_a_backup_runs(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(db: Database, name: str) -> bool:
        raise Unavailable

    study = a_stored_study(archive, 3).ref.study
    with monkeypatch.context() as busy:
        busy.setattr(removal.leases, "taken", not_now)
        assert delete.delete(archive, OPERATOR, study).instances == 3
        again = a_ct()
        ingest.store_part10(archive, io.BytesIO(part10(again)), ORIGIN)
        ingest.store_part10(archive, io.BytesIO(part10(again)), ORIGIN)
    assert kept(archive) == 5
    while Removal(archive).step():
        pass
    assert kept(archive) == 1
    assert maintenance.check(archive).is_sound


def test_what_was_condemned_before_a_crash_is_removed_after_it_and_never_indexed(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crashing:
        crashing.setattr(removal, "take_away", lambda archive, keys: None)
        delete.delete(archive, OPERATOR, a_stored_study(archive, 3).ref.study)
    close_archive(archive)
    again = make_archive(tmp_path)
    assert kept(again) == 3
    assert maintenance.reindex(again).indexed == 0
    assert Removal(again).step()
    assert kept(again) == 0
    close_archive(again)


def test_bytes_that_cannot_be_removed_hold_up_no_others_and_are_tried_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = a_stored_study(archive, 3).ref.study
    (stubborn, *_) = sorted(archive.store.iterate())
    remove = archive.store.delete

    def fail_for_one(key: str) -> None:
        if key == stubborn:
            raise OutOfResources
        remove(key)

    remover = Removal(archive)
    with monkeypatch.context() as broken:
        broken.setattr(archive.store, "delete", fail_for_one)
        broken.setattr(removal, "STEP", 1)
        delete.delete(archive, OPERATOR, study)
        archive.db.write(lambda tx: None)
        while remover.step():
            pass
        assert list(archive.store.iterate()) == [stubborn]
        assert not remover.step()
    monkeypatch.setattr(removal.time, "monotonic", lambda: 1e9)
    while remover.step():
        pass
    assert kept(archive) == 0


def test_the_history_of_an_instance_goes_with_it(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, on_conflict=OnConflict.REPLACE)
    ds = a_ct()
    for comment in ("one", "two", "three"):
        ds.PatientComments = comment
        stored = ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN)
    assert kept(archive) == 3
    delete.delete(archive, OPERATOR, stored.ref)
    assert kept(archive) == 0
    close_archive(archive)


def test_a_step_is_small(archive: Archive) -> None:
    keys = [f"ab/1.2/1.2.3/1.2.3.{number}.0badcafe.dcm" for number in range(STEP + 1)]
    archive.db.write(lambda tx: condemned.add(tx, keys))
    remover = Removal(archive)
    assert remover.step()
    assert len(condemned.behind(archive.db, "", 1000)) == 1
