"""archive.maintenance: sweep, reindex and check agree on what is there."""

import io
from pathlib import Path

import pytest
from pydicom import FileDataset

from fixtures.builders import a_ct, a_pdf, a_series, dataset_bytes, part10
from fixtures.node import close_archive, content_of, kept, lose, make_archive, overwrite, spoil
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete, ingest, integrity, maintenance, overview, retrieve, search
from relais.archive.removal import Removal
from relais.archive.settings import OnConflict
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query
from relais.errors import Gone, NotFound
from relais.index import composite
from relais.index.rows import InstanceFacts

ORIGIN = Origin(Channel.DIMSE, "127.0.0.1", "CT01", "RELAIS")


def store(archive: Archive, *datasets: FileDataset) -> list[ingest.Stored]:
    return [ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN) for ds in datasets]


def second_of(key: str) -> str:
    """The key of another copy of the instance."""
    return key.replace(key[-12:-4], "0badcafe")


def answers(archive: Archive) -> list[object]:
    """Everything that can be searched, at every level."""
    return [search.search(archive, OPERATOR, Query(level, all_keys=True)).rows for level in Level]


def test_reindex_gives_the_same_answers(archive: Archive) -> None:
    stored = store(archive, *a_series(3), a_ct(PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"), a_pdf())
    before = answers(archive)
    rows = [retrieve.instances(archive, OPERATOR, each.ref)[0] for each in stored]
    rebuilt = maintenance.reindex(archive)
    assert (rebuilt.indexed, rebuilt.superseded, rebuilt.unreadable) == (5, 0, [])
    assert answers(archive) == before
    for row, each in zip(rows, stored, strict=True):
        (again,) = retrieve.instances(archive, OPERATOR, each.ref)
        assert (again.key, again.digest, again.layout, again.stored_at) == (
            row.key,
            row.digest,
            row.layout,
            pytest.approx(row.stored_at, abs=0.001),
        )


def test_reindex_after_replacements_serves_the_newest(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, on_conflict=OnConflict.REPLACE)
    ds = a_ct()
    for text in ("first", "second", "third"):
        ds.SeriesDescription = text
        (stored,) = store(archive, ds)
    maintenance.reindex(archive)
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    assert b"".join(retrieve.dataset_chunks(archive, row).chunks) == dataset_bytes(ds)
    assert maintenance.check(archive).is_sound
    assert maintenance.sweep(archive) == maintenance.Swept()
    delete.delete(archive, OPERATOR, stored.ref)
    assert list(archive.store.iterate()) == []
    close_archive(archive)


def test_a_sound_archive_checks_as_sound(archive: Archive) -> None:
    store(archive, *a_series(2))
    report = maintenance.check(archive)
    assert report.is_sound
    assert report.checked == 2


@pytest.mark.parametrize("place", [10, 200, -1, -3000])
def test_check_finds_one_flipped_bit_anywhere(archive: Archive, place: int) -> None:
    (stored,) = store(archive, a_ct(rows=64, columns=64))
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    spoil(archive, row.key, place)
    assert maintenance.check(archive).damaged == [row.key]


def test_a_damaged_instance_is_never_passed_on_whole(archive: Archive) -> None:
    (stored,) = store(archive, a_ct(rows=512, columns=512))
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    spoil(archive, row.key, -100)
    body, sent = retrieve.part10(archive, row), 0
    with pytest.raises(integrity.Damaged):
        for chunk in body.chunks:
            sent += len(chunk)
    assert sent < body.length


def test_check_finds_a_missing_object_and_one_that_nothing_names(archive: Archive) -> None:
    first, second = store(archive, a_ct(), a_ct())
    (row,) = retrieve.instances(archive, OPERATOR, first.ref)
    (other,) = retrieve.instances(archive, OPERATOR, second.ref)
    overwrite(archive, second_of(row.key), content_of(archive, row.key))
    lose(archive, row.key)
    report = maintenance.check(archive)
    assert report.missing == [row.key]
    assert len(report.orphans) == 1
    assert other.key not in report.missing
    assert maintenance.sweep(archive).indexed == 1  # the only bytes of that instance
    assert maintenance.check(archive).is_sound


def test_a_second_copy_takes_the_place_of_a_damaged_first_and_is_removed_beside_a_sound_one(archive: Archive) -> None:
    (stored,) = store(archive, a_ct())
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    copy, content = second_of(row.key), content_of(archive, row.key)
    overwrite(archive, copy, content)
    spoil(archive, row.key, -1)
    assert maintenance.sweep(archive).indexed == 1
    assert retrieve.instances(archive, OPERATOR, stored.ref)[0].key == copy
    while Removal(archive).step():
        pass
    assert maintenance.check(archive).is_sound
    overwrite(archive, row.key, content)
    overwrite(archive, copy.replace("badcafe", "badbeef"), content)
    assert maintenance.sweep(archive).removed == 2
    assert kept(archive) == [copy]


def test_bytes_without_a_row_are_indexed_by_the_sweep(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a")
    (stored,) = store(archive, a_ct())
    other = make_archive(tmp_path / "b")
    for key in kept(archive):
        overwrite(other, key, content_of(archive, key))
    swept = maintenance.sweep(other)
    assert (swept.indexed, swept.removed) == (1, 0)
    assert len(retrieve.instances(other, OPERATOR, stored.ref)) == 1
    assert maintenance.sweep(other) == maintenance.Swept()
    close_archive(archive)
    close_archive(other)


def test_bytes_that_outlived_their_deletion_are_removed_by_the_sweep(archive: Archive) -> None:
    (stored,) = store(archive, a_ct())
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    content = content_of(archive, row.key)
    delete.delete(archive, OPERATOR, stored.ref)
    overwrite(archive, row.key, content)
    swept = maintenance.sweep(archive)
    assert (swept.indexed, swept.removed) == (0, 1)
    with pytest.raises(Gone):
        retrieve.instances(archive, OPERATOR, stored.ref)
    assert kept(archive) == []


def test_a_deleted_study_can_be_stored_again(archive: Archive) -> None:
    ds = a_ct()
    (stored,) = store(archive, ds)
    assert delete.delete(archive, OPERATOR, stored.ref.study).instances == 1
    with pytest.raises(NotFound):
        delete.delete(archive, OPERATOR, stored.ref.study)
    store(archive, ds)
    assert len(retrieve.instances(archive, OPERATOR, stored.ref)) == 1
    assert overview.overview(archive).statistics.instances == 1
    assert maintenance.check(archive).is_sound


def test_what_is_deleted_while_the_sweep_looks_at_it_does_not_come_back(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stored,) = store(archive, a_ct())
    composite.reset(archive.db)
    read = maintenance.facts_of

    def read_slowly(archive: Archive, key: str) -> InstanceFacts:
        """Meanwhile another process registers the object and deletes it."""
        facts = read(archive, key)
        monkeypatch.undo()
        assert maintenance.sweep(archive).indexed == 1
        delete.delete(archive, OPERATOR, stored.ref)
        return facts

    monkeypatch.setattr(maintenance, "facts_of", read_slowly)
    assert maintenance.sweep(archive) == maintenance.Swept()
    with pytest.raises(Gone):
        retrieve.instances(archive, OPERATOR, stored.ref)
    assert maintenance.check(archive).is_sound


def test_reindex_does_not_bring_back_what_was_deleted(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes outlived it."""
    kept, gone = store(archive, a_ct(), a_ct())
    with monkeypatch.context() as crashing:
        crashing.setattr(type(archive.store), "delete", lambda store, key: None)
        delete.delete(archive, OPERATOR, gone.ref)
    assert maintenance.reindex(archive) == maintenance.Rebuilt(indexed=1)
    assert retrieve.instances(archive, OPERATOR, kept.ref)
    with pytest.raises(Gone):
        retrieve.instances(archive, OPERATOR, gone.ref)
    assert maintenance.sweep(archive).removed == 1


def test_an_orphan_that_was_rejected_meanwhile_does_not_come_back(archive: Archive) -> None:
    """A crash left its second copy without a row; the instance was rejected for good before the next sweep."""
    (stored,) = store(archive, a_ct())
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    content = content_of(archive, row.key)
    delete.delete(archive, OPERATOR, stored.ref, delete.Reason.PATIENT_SAFETY)
    overwrite(archive, second_of(row.key), content)
    assert maintenance.sweep(archive) == maintenance.Swept(removed=1)
    assert list(archive.store.iterate()) == []
    assert maintenance.check(archive).is_sound
    assert overview.overview(archive).statistics.instances == 0


def test_an_orphan_that_was_deleted_without_blame_is_stored_again(archive: Archive) -> None:
    (stored,) = store(archive, a_ct())
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    content = content_of(archive, row.key)
    delete.delete(archive, OPERATOR, stored.ref, delete.Reason.RETENTION_EXPIRED)
    overwrite(archive, second_of(row.key), content)
    assert maintenance.sweep(archive) == maintenance.Swept(indexed=1)
    assert maintenance.check(archive).is_sound


def test_what_is_deleted_while_it_is_checked_is_not_missing(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    (stored,) = store(archive, a_ct())
    read = archive.store.read_range

    def read_too_late(key: str, offset: int, length: int) -> bytes:
        monkeypatch.undo()
        delete.delete(archive, OPERATOR, stored.ref)
        return read(key, offset, length)

    monkeypatch.setattr(archive.store, "read_range", read_too_late)
    assert maintenance.check(archive).missing == []
