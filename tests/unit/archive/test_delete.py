"""Delete: what is left of it, what is told, and what goes wrong."""

import io
import json

import pytest
from pydicom import dcmread

from fixtures.builders import a_ct, a_series, part10, uid
from fixtures.keys import asks
from relais.access.policy import Mode, Policy
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.archive import Archive, delete, ingest, maintenance, search
from relais.archive.delete import Reason
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query
from relais.dicom.refs import StudyRef
from relais.errors import Forbidden, Gone, NotFound, OutOfResources, Unwanted
from relais.index import composite, lookup, statistics

MALLORY = Principal(Protocol.WEB, "mallory")
ORIGIN = Origin(Channel.IMPORT)


def store(archive: Archive, ds: object) -> ingest.Stored:
    return ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN)  # type: ignore[arg-type]


def test_a_deletion_is_one_record_and_one_note(archive: Archive) -> None:
    stored = [store(archive, ds) for ds in a_series(3)]
    study = stored[0].ref.study
    deleted = delete.delete(archive, OPERATOR, study, Reason.QUALITY)
    assert deleted.instances == 3
    (note,) = delete.notes(archive, OPERATOR, study, 10)
    assert (note.sop_instance_uid, note.reason, note.instances) == (deleted.note, "113001", 3)
    assert dcmread(io.BytesIO(delete.note(archive, OPERATOR, deleted.note))).SOPInstanceUID == deleted.note
    with archive.db.read() as connection:
        (row,) = connection.execute("SELECT name, study_instance_uid FROM audit WHERE action = 'delete'").fetchall()
    assert tuple(row) == ("operator", study.study_instance_uid)


def test_the_record_of_a_deletion_says_its_level(archive: Archive) -> None:
    first, second = (store(archive, ds).ref for ds in a_series(2))
    delete.delete(archive, OPERATOR, first)
    delete.delete(archive, OPERATOR, second.series)
    delete.delete(archive, OPERATOR, store(archive, a_ct()).ref.study)
    with archive.db.read() as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE action = 'delete' ORDER BY id").fetchall()
    assert [json.loads(row[0])["level"] for row in rows] == ["IMAGE", "SERIES", "STUDY"]


def test_a_study_of_two_patients_is_the_others_when_nothing_of_the_first_is_left(archive: Archive) -> None:
    """Else he is found by the ID of whom nothing is here, for good."""

    def studies_of(patient_id: str) -> list[str]:
        query = Query(Level.STUDY, (asks("PatientID", patient_id),), all_keys=True)
        return [row["00100010"]["Value"][0]["Alphabetic"] for row in search.search(archive, OPERATOR, query).rows]

    study = uid("two patients")
    ann = {"StudyInstanceUID": study, "PatientID": "A1", "PatientName": "ALPHA^ANNA", "PatientBirthDate": "19500101"}
    ben = {"StudyInstanceUID": study, "PatientID": "B2", "PatientName": "BETA^BERNARD", "PatientBirthDate": None}
    first, second = store(archive, a_ct(**ann)), store(archive, a_ct(**ann))
    third = store(archive, a_ct(**ben))
    delete.delete(archive, OPERATOR, first.ref)
    assert (studies_of("A1"), studies_of("B2")) == (["ALPHA^ANNA"], [])
    delete.delete(archive, OPERATOR, second.ref.series)
    assert (studies_of("A1"), studies_of("B2")) == ([], ["BETA^BERNARD"])
    said = lookup.attributes(archive.db, third.ref.study)
    assert said is not None
    assert "19500101" not in str(said)
    assert list(statistics.recount(archive.db)) == []
    before = lookup.attributes(archive.db, third.ref)
    maintenance.reindex(archive)
    assert lookup.attributes(archive.db, third.ref) == before
    delete.delete(archive, OPERATOR, third.ref)
    assert statistics.statistics(archive.db).patients == 0


def test_what_is_not_there_leaves_neither_record_nor_note(archive: Archive) -> None:
    with pytest.raises(NotFound) as never:
        delete.delete(archive, OPERATOR, StudyRef("1.2.3"))
    assert not isinstance(never.value, Gone)
    stored = store(archive, a_ct())
    delete.delete(archive, OPERATOR, stored.ref)
    for ref in (stored.ref, stored.ref.series, stored.ref.study):
        with pytest.raises(Gone):
            delete.delete(archive, OPERATOR, ref)
    assert len(delete.notes(archive, OPERATOR, None, 10)) == 1


def test_mallory_deletes_nothing_and_reads_no_note(archive: Archive) -> None:
    stored = store(archive, a_ct())
    note = delete.delete(archive, OPERATOR, store(archive, a_ct()).ref).note
    guarded = Archive(archive.db, archive.store, archive.pixels, Policy(Mode.ENFORCED, deletes=True), archive.settings)
    with pytest.raises(Forbidden):
        delete.delete(guarded, MALLORY, stored.ref)
    with pytest.raises(Forbidden):
        delete.notes(guarded, MALLORY, None, 10)
    with pytest.raises(NotFound):
        delete.note(guarded, MALLORY, note)
    assert lookup.instance(archive.db, stored.ref)


def test_bytes_that_cannot_be_removed_now_are_swept_later(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deletion itself is done, and said so."""
    stored = store(archive, a_ct())

    def refuse(key: str) -> None:
        raise OutOfResources

    with monkeypatch.context() as broken:
        broken.setattr(archive.store, "delete", refuse)
        assert delete.delete(archive, OPERATOR, stored.ref).instances == 1
    assert len(list(archive.store.iterate())) == 1
    assert maintenance.sweep(archive).removed == 1
    assert list(archive.store.iterate()) == []


def test_what_is_gone_between_the_question_and_the_deletion_is_gone(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store(archive, a_ct())
    attributes = lookup.attributes(archive.db, stored.ref.study)
    archive.db.write(lambda tx: composite.remove(tx, stored.ref))
    monkeypatch.setattr(lookup, "attributes", lambda db, ref: attributes)
    with pytest.raises(Gone):
        delete.delete(archive, OPERATOR, stored.ref)
    assert delete.notes(archive, OPERATOR, None, 10) == []


def test_what_was_rejected_for_good_leaves_no_trace_when_it_is_refused(archive: Archive) -> None:
    ds, other = a_series(2)
    stored = store(archive, ds)
    delete.delete(archive, OPERATOR, stored.ref, Reason.PATIENT_SAFETY)
    for _ in range(2):
        with pytest.raises(Unwanted):
            store(archive, ds)
    assert list(archive.store.iterate()) == []
    assert statistics.statistics(archive.db).instances == 0
    assert list(statistics.recount(archive.db)) == []
    assert store(archive, other).ref.study == stored.ref.study


def test_an_instance_that_was_blamed_once_stays_blamed(archive: Archive) -> None:
    """Deleted without a reason, stored again, rejected: the rejection counts, in whatever order."""
    ds = a_ct()
    for reason in (Reason.NONE, Reason.RETENTION_EXPIRED, Reason.QUALITY):
        delete.delete(archive, OPERATOR, store(archive, ds).ref, reason)
    with pytest.raises(Unwanted):
        store(archive, ds)
