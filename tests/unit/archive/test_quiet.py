"""Packing quiet series of a real archive, beside its work."""

from dataclasses import replace
from io import BytesIO

import pytest

from fixtures.builders import a_ct, part10
from relais.access.principals import OPERATOR
from relais.archive import Archive, documents, ingest, maintenance, quiet, retrieve
from relais.db.database import Database
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.index import documents as kept
from relais.index import packs
from relais.index.rows import InstanceRow

NOW = 1e-9  # quiet after no time at all


def _quick(archive: Archive, quiet_s: float) -> Archive:
    settings = replace(archive.db.settings, quiet_s=quiet_s)
    archive.db.close()
    return replace(archive, db=Database(settings))


def _stored(archive: Archive, number: int = 1) -> InstanceRef:
    ds = a_ct()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.1", "1.2.826.1.1"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SeriesInstanceUID}.{number}"
    ds.InstanceNumber = number
    return ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT)).ref


def _packs(archive: Archive) -> int:
    with archive.db.read() as connection:
        return int(connection.execute("SELECT count(*) FROM series_pack").fetchone()[0])


def _rows(archive: Archive, ref: InstanceRef) -> list[InstanceRow]:
    return list(retrieve.instances(archive, OPERATOR, ref.series))


def test_a_quiet_series_is_packed_once_with_its_metadata(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _quick(archive, NOW)
    ref, *_ = (_stored(archive, number) for number in range(1, 4))
    before = _rows(archive, ref)
    said = list(documents.metadata(archive, before))
    assert quiet.pack_quiet(archive)
    assert not quiet.pack_quiet(archive)
    assert _packs(archive) == 1
    assert _rows(archive, ref) == before
    monkeypatch.setattr(documents, "make", None)  # nothing is read from a file any more
    assert list(documents.metadata(archive, before)) == said
    assert documents.make_missing(archive) is None
    assert maintenance.check(archive).is_sound
    archive.db.close()


def test_a_series_stays_as_it_is_until_it_is_quiet_or_for_good_by_setting(archive: Archive) -> None:
    _stored(archive)
    for quiet_s in (3600.0, 0.0):
        archive = _quick(archive, quiet_s)
        assert not quiet.pack_quiet(archive)
        assert _packs(archive) == 0
    archive.db.close()


def test_a_late_arrival_unpacks_and_all_is_packed_again(archive: Archive) -> None:
    archive = _quick(archive, NOW)
    ref = _stored(archive, 1)
    quiet.pack_quiet(archive)
    _stored(archive, 2)
    assert _packs(archive) == 0
    while quiet.pack_quiet(archive):
        pass
    assert _packs(archive) == 1
    rows = _rows(archive, ref)
    assert [row.ref.sop_instance_uid for row in rows] == ["1.2.826.1.1.1", "1.2.826.1.1.2"]
    assert set(kept.get_many(archive.db, rows)) == {row.id for row in rows}
    assert maintenance.check(archive).is_sound
    archive.db.close()


def test_an_instance_that_cannot_be_read_is_packed_without_metadata(archive: Archive) -> None:
    archive = _quick(archive, NOW)
    ref = _stored(archive)
    archive.store.delete(_rows(archive, ref)[0].key)
    assert quiet.pack_quiet(archive)
    assert _packs(archive) == 1
    assert kept.get_many(archive.db, _rows(archive, ref)) == {}
    archive.db.close()


def test_what_arrives_while_a_pack_is_made_wins(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _quick(archive, NOW)
    ref, make = _stored(archive, 1), packs.make

    def made_late(db: Database, number: int, head: bytes) -> packs.Made:
        found = make(db, number, head)
        _stored(archive, 2)
        return found

    monkeypatch.setattr(packs, "make", made_late)
    assert quiet.pack_quiet(archive)
    assert _packs(archive) == 0
    assert len(_rows(archive, ref)) == 2
    monkeypatch.undo()
    assert quiet.pack_quiet(archive)
    assert _packs(archive) == 1
    archive.db.close()


def test_a_rebuild_of_the_index_gives_all_its_rows_and_packs_them_again(archive: Archive) -> None:
    archive = _quick(archive, NOW)
    ref = _stored(archive)
    before = _rows(archive, ref)
    quiet.pack_quiet(archive)
    assert maintenance.reindex(archive).indexed == 1
    assert _packs(archive) == 0
    assert quiet.pack_quiet(archive)
    assert [row.key for row in _rows(archive, ref)] == [row.key for row in before]
    archive.db.close()
