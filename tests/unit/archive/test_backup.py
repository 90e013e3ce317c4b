"""archive.backup and archive.restoring: what comes back is what was there, whatever happened in between."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.builders import a_ct, a_pdf, a_series, part10
from fixtures.engines import index_settings
from fixtures.moved import answers
from fixtures.node import close_archive, make_archive, make_store, spoil
from relais.access.principals import OPERATOR
from relais.archive import Archive, backup, delete, ingest, maintenance, restoring, transfer
from relais.archive.delete import Reason
from relais.archive.removal import Removal
from relais.archive.settings import OnConflict
from relais.dicom.origin import Channel, Origin
from relais.errors import InvalidRequest, Nearline, OutOfResources, Unavailable, Unwanted
from relais.index import changes, portable
from relais.storage.local import LocalStore
from relais.storage.settings import StorageSettings

ORIGIN = Origin(Channel.DIMSE, "192.0.2.7", "CT1", "RELAIS")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path / "north", on_conflict=OnConflict.REPLACE)
    yield made
    close_archive(made)


def store(archive: Archive, *datasets: Any) -> list[ingest.Stored]:
    return [ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN) for ds in datasets]


def a_life(archive: Archive) -> Any:
    """Studies that came, were replaced, deleted and rejected; returns what must never come back."""
    store(archive, *a_series(4), a_ct(PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"), a_pdf())
    changed = a_ct(SeriesDescription="first")
    store(archive, changed)
    changed.SeriesDescription = "second"
    store(archive, changed)
    gone, bad = a_ct(), a_ct()
    for ds, reason in ((gone, Reason.NONE), (bad, Reason.PATIENT_SAFETY)):
        delete.delete(archive, OPERATOR, store(archive, ds)[0].ref.study, reason)
    return bad


def restored(target: Path, folder: Path, name: str | None = None) -> Archive:
    """The archive that a backup makes in the empty *folder*."""
    objects = make_store(folder)
    index = index_settings(folder, log_mb=0)
    done = restoring.restore(target, objects, index, folder, name=name)
    assert done.copied.is_whole
    objects.close()
    return make_archive(folder, on_conflict=OnConflict.REPLACE)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below *folder*, and what shows that it was not written again."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_second_node_made_from_a_backup_gives_every_answer(archive: Archive, tmp_path: Path) -> None:
    bad = a_life(archive)
    made = backup.make(archive, tmp_path / "disk")
    assert made.manifest.instances == 7
    south = restored(tmp_path / "disk", tmp_path / "south")
    assert answers(south) == answers(archive)
    assert maintenance.check(south).is_sound
    assert maintenance.sweep(south) == maintenance.Swept()
    with pytest.raises(Unwanted):
        store(south, bad)
    assert store(south, a_ct())[0].ref
    assert changes.latest(south.db) == changes.latest(archive.db) + 1
    close_archive(south)


def test_who_follows_the_change_feed_begins_again_after_a_restoration(archive: Archive, tmp_path: Path) -> None:
    """Revisions that were told after the backup are given out again: they must not be taken for the same."""
    store(archive, a_ct())
    backup.make(archive, tmp_path / "disk")
    south = restored(tmp_path / "disk", tmp_path / "south")
    assert changes.name(south.db) != changes.name(archive.db)
    close_archive(south)


def test_a_second_backup_copies_only_what_is_new(archive: Archive, tmp_path: Path) -> None:
    store(archive, *a_series(3))
    first = backup.make(archive, tmp_path / "disk")
    before = files(tmp_path / "disk" / "objects")
    store(archive, a_ct())
    second = backup.make(archive, tmp_path / "disk")
    assert (first.copied, second.copied) == (3, 1)
    after = files(tmp_path / "disk" / "objects")
    assert before.items() <= after.items()
    assert len(after) == 4
    assert backup.BackupFolder(tmp_path / "disk").names() == [first.name, second.name]


def test_a_clock_that_was_ahead_makes_no_backup_the_newest(archive: Archive, tmp_path: Path) -> None:
    """What is named for next year holds less than what came after it; and what was just made always stays."""
    disk = tmp_path / "disk"
    ahead = backup.make(archive, disk)
    (disk / "snapshots" / ahead.name).rename(disk / "snapshots" / "20991231T000000.000000Z")
    same = backup.make(archive, disk, keep=1)
    assert backup.BackupFolder(disk).names() == [same.name]
    (disk / "snapshots" / same.name).rename(disk / "snapshots" / "20991231T000000.000000Z")
    store(archive, a_ct())
    more = backup.make(archive, disk, keep=2)
    assert backup.BackupFolder(disk).names() == ["20991231T000000.000000Z", more.name]
    assert backup.BackupFolder(disk).chosen(None) == more.name


def test_an_older_backup_keeps_what_was_deleted_since_until_it_is_removed(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    old, kept = store(archive, a_ct(), a_ct())
    first = backup.make(archive, disk)
    delete.delete(archive, OPERATOR, old.ref)
    backup.make(archive, disk)
    south = restored(disk, tmp_path / "south", first.name)
    assert {row.ref for row in south_rows(south)} == {old.ref, kept.ref}
    close_archive(south)
    last = backup.make(archive, disk, keep=1)
    assert backup.BackupFolder(disk).names() == [last.name]
    assert len(files(disk / "objects")) == 1
    assert backup.check(disk).is_whole


def south_rows(archive: Archive) -> list[Any]:
    return [row for _, row in backup.lookup.keys(archive.db)]


def test_what_is_deleted_during_a_backup_is_in_it_and_gone_afterwards(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the snapshot of the index and the copy of the bytes."""
    (stored,) = store(archive, a_ct())
    copies, remover = iter(range(10)), Removal(archive)
    copy_all = transfer.copy_all

    def late(*args: Any) -> transfer.Copied:
        if next(copies) == 0:
            return transfer.Copied()  # as if it had come after the first pass
        delete.delete(archive, OPERATOR, stored.ref)
        assert not remover.step()
        return copy_all(*args)

    monkeypatch.setattr(transfer, "copy_all", late)
    made = backup.make(archive, tmp_path / "disk")
    assert made.manifest.is_whole
    assert made.copied == 1
    assert remover.step()
    assert list(archive.store.iterate()) == []
    assert backup.check(tmp_path / "disk").is_whole


def test_what_came_while_objects_were_copied_is_in_the_backup(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(archive, a_ct())
    save = portable.save

    def busy(db: Any, path: Path) -> None:
        store(archive, a_ct())
        save(db, path)
        store(archive, a_ct())

    monkeypatch.setattr(portable, "save", busy)
    made = backup.make(archive, tmp_path / "disk")
    assert made.manifest.instances == made.copied == 2
    assert backup.check(tmp_path / "disk").present == 2


@pytest.mark.parametrize("step", ["save", "seal", "rename"])
def test_an_interrupted_backup_leaves_the_former_one_whole_and_is_taken_up(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    disk = tmp_path / "disk"
    store(archive, a_ct())
    first = backup.make(archive, disk)
    store(archive, *a_series(2))

    def fail(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        place: Any = {"save": portable, "seal": backup.copies, "rename": Path}[step]
        killed.setattr(place, step, fail)
        backup.make(archive, disk)
    folder = backup.BackupFolder(disk)
    assert folder.names() == [first.name]
    assert backup.check(disk).present == 1
    second = backup.make(archive, disk)
    assert folder.names() == [first.name, second.name]
    assert not list(folder.snapshots.glob("*.part"))
    assert backup.check(disk).present == 3


def test_a_damaged_object_is_told_and_all_others_are_backed_up(archive: Archive, tmp_path: Path) -> None:
    stored = store(archive, *a_series(3))
    rows = {row.ref: row for row in south_rows(archive)}
    rotten, lost = rows[stored[0].ref], rows[stored[1].ref]
    spoil(archive, rotten.key)
    archive.store.delete(lost.key)
    made = backup.make(archive, tmp_path / "disk")
    assert (made.manifest.damaged, made.manifest.missing) == ([rotten.key], [lost.key])
    assert backup.check(tmp_path / "disk").present == 1


def test_what_cannot_be_read_now_is_told_and_comes_with_the_next_backup(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects in slow storage, or in the spool of a node that is away."""
    store(archive, *a_series(2))
    slow, read = south_rows(archive)[0], archive.store.read_range

    def wait(key: str, offset: int, length: int) -> bytes:
        if key == slow.key:
            raise Nearline
        return read(key, offset, length)

    with monkeypatch.context() as now:
        now.setattr(archive.store, "read_range", wait)
        first = backup.make(archive, tmp_path / "disk")
    assert (first.manifest.unread, first.manifest.is_whole) == ([slow.key], False)
    assert backup.check(tmp_path / "disk").present == 1
    assert backup.make(archive, tmp_path / "disk").manifest.is_whole


def test_what_rots_later_is_in_the_backup_as_it_was(archive: Archive, tmp_path: Path) -> None:
    store(archive, a_ct())
    backup.make(archive, tmp_path / "disk")
    (row,) = south_rows(archive)
    spoil(archive, row.key)
    assert backup.make(archive, tmp_path / "disk").manifest.is_whole
    assert backup.check(tmp_path / "disk").is_whole


@pytest.mark.parametrize("place", [10, 200, -1])
def test_a_flipped_bit_in_a_backup_is_found(archive: Archive, tmp_path: Path, place: int) -> None:
    store(archive, a_ct())
    backup.make(archive, tmp_path / "disk")
    (path,) = (tmp_path / "disk" / "objects").rglob("*.dcm")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert len(backup.check(tmp_path / "disk").damaged) == 1


def test_a_lost_object_and_a_damaged_index_are_found(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    store(archive, a_ct())
    name = backup.make(archive, disk).name
    (path,) = (disk / "objects").rglob("*.dcm")
    path.unlink()
    assert len(backup.check(disk).missing) == 1
    with backup.BackupFolder(disk).index(name).open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff")
    with pytest.raises(Unavailable, match="damaged"):
        backup.check(disk)


def test_a_backup_is_restored_into_an_empty_place_only(archive: Archive, tmp_path: Path) -> None:
    store(archive, a_ct())
    backup.make(archive, tmp_path / "disk")
    south = make_archive(tmp_path / "south")
    store(south, a_ct())
    (key,) = south.store.iterate()
    south.store.delete(key)
    close_archive(south)
    with pytest.raises(InvalidRequest, match="empty"):  # for its index
        restored(tmp_path / "disk", tmp_path / "south")
    with closing(make_store(tmp_path / "west")) as objects, objects.begin(b"somebody's") as upload:
        upload.commit("ab/1.2/1.2.3/1.2.3.4.0badcafe.dcm")
    with pytest.raises(InvalidRequest, match="empty"):  # for its objects
        restored(tmp_path / "disk", tmp_path / "west")


@pytest.mark.files("looks whether they were written again")
def test_an_interrupted_restoration_goes_on(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(archive, *a_series(3))
    backup.make(archive, tmp_path / "disk")

    def fail(*args: Any) -> None:
        raise OutOfResources

    with monkeypatch.context() as full, pytest.raises(OutOfResources):
        full.setattr(portable, "load", fail)
        restored(tmp_path / "disk", tmp_path / "south")
    before = files(tmp_path / "south" / "store")
    south = restored(tmp_path / "disk", tmp_path / "south")
    assert before.items() <= files(tmp_path / "south" / "store").items()
    assert maintenance.check(south).is_sound
    close_archive(south)


def test_an_interrupted_restoration_goes_on_with_its_backup_although_there_is_a_newer_one(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, south = tmp_path / "disk", tmp_path / "south"
    store(archive, *a_series(3))
    older = backup.make(archive, disk).name

    def fail(*args: Any) -> None:
        raise OutOfResources

    with monkeypatch.context() as full, pytest.raises(OutOfResources):
        full.setattr(portable, "load", fail)
        restored(disk, south)
    store(archive, *a_series(2))
    newer = backup.make(archive, disk).name
    with pytest.raises(InvalidRequest, match=f"--name {older}"):
        restored(disk, south, newer)
    aside = (disk / "snapshots" / older).rename(tmp_path / "aside")
    with pytest.raises(InvalidRequest, match=f"{older} was being restored"):  # it was one too many for --keep
        restored(disk, south)
    aside.rename(disk / "snapshots" / older)
    again = restored(disk, south)
    assert maintenance.check(again).checked == 3
    close_archive(again)


def test_a_restoration_that_copied_nothing_may_begin_with_another_backup(archive: Archive, tmp_path: Path) -> None:
    store(archive, *a_series(3))
    backup.make(archive, tmp_path / "disk")
    (tmp_path / "south").mkdir()
    (tmp_path / "south" / restoring.MARK).write_text("20200101T000000.000000Z 0123456789abcdef")
    south = restored(tmp_path / "disk", tmp_path / "south")
    assert maintenance.check(south).checked == 3
    close_archive(south)


def test_a_restoration_that_was_killed_at_its_very_end_ends(archive: Archive, tmp_path: Path) -> None:
    store(archive, *a_series(3))
    backup.make(archive, tmp_path / "disk")
    close_archive(restored(tmp_path / "disk", tmp_path / "south"))
    feed = backup.changes.name(again := make_archive(tmp_path / "south").db)
    again.close()
    mark, name = tmp_path / "south" / restoring.MARK, backup.BackupFolder(tmp_path / "disk").names()[0]
    mark.write_text(f"{name} {feed}")
    (tmp_path / "south" / ".relais-left").mkdir()  # with a copy of the index
    close_archive(restored(tmp_path / "disk", tmp_path / "south"))
    assert not mark.exists()
    assert not (tmp_path / "south" / ".relais-left").exists()
    mark.write_text(f"{name} another")  # a node was started here meanwhile
    with pytest.raises(InvalidRequest, match="already"):
        restored(tmp_path / "disk", tmp_path / "south")


def test_each_archive_has_a_folder_of_its_own(archive: Archive, tmp_path: Path) -> None:
    backup.make(archive, tmp_path / "disk")
    other = make_archive(tmp_path / "other")
    with pytest.raises(InvalidRequest, match="another archive"):
        backup.make(other, tmp_path / "disk")
    close_archive(other)


def test_two_archives_that_share_no_object_never_take_each_others_place(archive: Archive, tmp_path: Path) -> None:
    """Nor do they if they keep the same instance, each as it came to it."""
    ds = a_ct()
    store(archive, ds)
    made = backup.make(archive, tmp_path / "disk")
    other = make_archive(tmp_path / "other")
    store(other, ds)
    with pytest.raises(InvalidRequest, match="another archive"):
        backup.make(other, tmp_path / "disk", takes_over=True)
    assert backup.BackupFolder(tmp_path / "disk").names() == [made.name]
    close_archive(other)


def test_a_restored_archive_goes_on_with_the_backups_when_it_is_told_to(archive: Archive, tmp_path: Path) -> None:
    """Untold it may be a copy, made to prove the backups: both would prune what is the other's."""
    disk = tmp_path / "disk"
    store(archive, *a_series(3))
    before = backup.make(archive, disk)
    south = restored(disk, tmp_path / "south")
    with pytest.raises(InvalidRequest, match=r"before it was restored.*--take-over"):
        backup.make(south, disk, keep=1)
    assert backup.BackupFolder(disk).names() == [before.name]
    taken = backup.make(south, disk, takes_over=True)
    assert (taken.copied, taken.manifest.generation) == (0, 1)
    assert backup.make(south, disk, takes_over=True).manifest.generation == 1
    with pytest.raises(InvalidRequest, match="or of a copy of it"):
        backup.make(archive, disk)
    assert len(backup.BackupFolder(disk).names()) == 3
    close_archive(south)


@pytest.mark.own_store
def test_the_backups_of_a_new_index_are_the_newest_although_it_counts_from_one(
    archive: Archive, tmp_path: Path
) -> None:
    """Its revisions are lower than those of the backups before: what --keep removes is theirs."""
    disk = tmp_path / "disk"
    a_life(archive)
    before = backup.make(archive, disk)
    anew = replace(archive, db=make_archive(tmp_path / "anew").db)
    maintenance.reindex(anew)
    assert changes.latest(anew.db) < before.manifest.revision
    with pytest.raises(InvalidRequest, match="its index was made anew"):
        backup.make(anew, disk)
    taken = backup.make(anew, disk, takes_over=True)
    folder = backup.BackupFolder(disk)
    assert folder.names() == [before.name, taken.name]
    assert folder.chosen(None) == taken.name
    last = backup.make(anew, disk, keep=1)
    assert folder.names() == [last.name]
    assert backup.check(disk).is_whole
    anew.db.close()


def test_a_backup_of_before_generations_is_the_first_of_them(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    folder = backup.BackupFolder(disk)
    first = backup.make(archive, disk)
    path = folder.snapshots / first.name / backup.MANIFEST
    said = json.loads(path.read_text()) | {"format": 1}
    del said["generation"]
    path.write_text(json.dumps(said))
    assert backup.check(disk).is_whole
    second = backup.make(archive, disk)
    assert folder.names() == [first.name, second.name]


@pytest.mark.own_store
@pytest.mark.parametrize("way", ["itself", "the folder above", "below", "a link", "a link to its objects"])
def test_a_backup_never_lies_among_the_objects_of_the_archive(tmp_path: Path, way: str) -> None:
    """Removing the objects that no backup names would remove acknowledged instances."""
    root = tmp_path / "north" / "objects"
    archive = make_archive(root.parent, storage=StorageSettings(url=f"file://{root}"))
    store(archive, a_ct())
    (tmp_path / "link").symlink_to(root.parent)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "objects").symlink_to(root / "new")
    targets = {
        "itself": root,
        "the folder above": root.parent,
        "below": root / "new" / "disk",
        "a link": tmp_path / "link",
        "a link to its objects": tmp_path / "disk",
    }
    before = _objects(tmp_path)
    with pytest.raises(InvalidRequest, match="among the archive's own objects"):
        backup.make(archive, targets[way], keep=1)
    assert _objects(tmp_path) == before
    assert backup.make(archive, tmp_path / "other disk", keep=1).manifest.is_whole
    close_archive(archive)


def _objects(folder: Path) -> set[str]:
    """What is in *folder* but for the journal, whose files are made in a thread of its own."""
    return {name for name in files(folder) if "/.journal/" not in name}


@pytest.mark.own_store
def test_objects_are_not_moved_into_the_place_where_they_are(tmp_path: Path) -> None:
    """A damaged one of another size would be removed there, to be copied from itself."""
    root = tmp_path / "north" / "objects"
    archive = make_archive(root.parent, storage=StorageSettings(url=f"file://{root}"))
    store(archive, a_ct())
    (tmp_path / "link").symlink_to(root)
    with closing(LocalStore(tmp_path / "link")) as same, pytest.raises(InvalidRequest, match="one place"):
        restoring.copy_objects(archive, same, lambda number, size: None)
    close_archive(archive)


def test_two_backups_into_one_folder_take_turns(archive: Archive, tmp_path: Path) -> None:
    with backup.BackupFolder(tmp_path / "disk").ours(), pytest.raises(Unavailable, match="under way"):
        backup.make(archive, tmp_path / "disk")


def test_backups_of_a_newer_program_are_not_guessed_at(archive: Archive, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    folder = backup.BackupFolder(disk)
    with pytest.raises(InvalidRequest, match="no backup"):
        backup.check(disk)
    path = folder.snapshots / backup.make(archive, disk).name / backup.MANIFEST
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"format": backup.FORMAT + 1}))
    with pytest.raises(InvalidRequest, match="newer"):
        backup.check(disk)
    path.write_text("{")
    with pytest.raises(Unavailable, match="manifest"):
        backup.check(disk)
    with pytest.raises(InvalidRequest, match="no backup"):
        backup.check(disk, "20200101T000000.000000Z")


def test_an_archive_moves_with_all_that_it_knows(archive: Archive, tmp_path: Path) -> None:
    a_life(archive)
    feed = changes.name(archive.db)
    objects = make_store(tmp_path / "south")
    first = restoring.copy_objects(archive, objects, lambda number, size: None)
    store(archive, a_ct())
    last = restoring.copy_objects(archive, objects, lambda number, size: None)
    assert (first.copied, last.copied, last.present) == (8, 1, 8)  # one of them is history
    index = index_settings(tmp_path / "south", log_mb=0)
    assert not restoring.is_taken(index)
    assert restoring.move_index(archive, index, tmp_path)["study"] > 0
    assert restoring.is_taken(index)
    south = make_archive(tmp_path / "south", on_conflict=OnConflict.REPLACE)
    assert answers(south) == answers(archive)
    assert changes.name(south.db) == feed
    assert maintenance.check(south).is_sound
    close_archive(south)
    store(archive, a_ct())
    with pytest.raises(InvalidRequest):
        restoring.move_index(archive, index, tmp_path)


def test_a_backup_on_a_full_disk_says_so(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(archive, a_ct())
    (tmp_path / "disk").write_text("not a folder")
    with pytest.raises(OutOfResources):
        backup.make(archive, tmp_path / "disk")
    shutil.rmtree(tmp_path / "disk", ignore_errors=True)


def test_a_backup_killed_in_its_snapshot_holds_up_no_other_into_its_folder(archive: Archive, tmp_path: Path) -> None:
    store(archive, a_ct())
    killed = backup._nothing_removed(archive, backup.BackupFolder(tmp_path / "disk"))
    killed.__enter__()  # and never left
    with pytest.raises(Unavailable, match="killed less than ten minutes ago"):
        backup.make(archive, tmp_path / "other disk")
    assert backup.make(archive, tmp_path / "disk").manifest.is_whole
    killed.__exit__(None, None, None)
