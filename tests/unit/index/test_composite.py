"""Registering and removing: rows, counters, changes, and what a second instance may say about its study."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.dicom.json_model import JsonDataset, text
from relais.dicom.refs import InstanceRef, SeriesRef, StudyRef
from relais.index import changes, composite, lookup, parents, statistics
from relais.index.rows import InstanceFacts, Outcome, Registered, kept_of

STUDY = StudyRef("1.2.1")
DESCRIPTION, DATE, NAME, ISSUER = "t00081030", "t00080020", "t00100010", "t00100021"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        yield db


def _register(db: Database, one: InstanceFacts | JsonDataset, *, replace: bool = False) -> Registered:
    known = one if isinstance(one, InstanceFacts) else facts(one)
    return db.write(lambda tx: composite.register(tx, known, replace=replace))


def _element(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)}


def _said(db: Database, tag: int) -> str | None:
    found = lookup.attributes(db, STUDY)
    assert found is not None
    return text(found, tag)


# What becomes of an instance


def test_a_new_instance_is_stored_and_can_be_looked_up_whole(db: Database) -> None:
    one = facts(a_dataset(instance=7), received_at=1_700_000_000.123456)
    assert _register(db, one) == Registered(Outcome.STORED, None, 1)
    row = lookup.instance(db, one.ref)
    assert row is not None
    assert (row.ref, row.key) == (one.ref, one.key)
    assert (row.digest, row.head_digest) == (kept_of(one.digest), kept_of(one.head_digest))
    assert (row.sop_class_uid, row.transfer_syntax_uid) == (one.sop_class_uid, one.transfer_syntax_uid)
    assert (row.layout, row.size_bytes, row.stored_at) == (one.layout, one.size_bytes, one.received_at)
    assert (row.number_of_frames, row.revision) == (1, 1)


def test_the_same_data_set_again_changes_nothing_and_its_new_bytes_are_superseded(db: Database) -> None:
    _register(db, a_dataset())
    again = facts(a_dataset(), key="ab/other/copy.dcm")
    assert _register(db, again) == Registered(Outcome.DUPLICATE, again.key, 1)
    assert statistics.statistics(db).instances == 1
    assert changes.latest(db) == 1


def test_the_same_bytes_in_another_transfer_syntax_are_another_data_set(db: Database) -> None:
    _register(db, a_dataset())
    other = facts(a_dataset(), key="other", transfer_syntax_uid="1.2.840.10008.1.2")
    assert _register(db, other).outcome is Outcome.KEPT_FIRST


def test_another_data_set_under_the_same_uid_is_left_out(db: Database) -> None:
    _register(db, a_dataset())
    other = facts(a_dataset(**{DESCRIPTION: _element("LO", "late")}), token="22222222")
    assert _register(db, other) == Registered(Outcome.KEPT_FIRST, other.key, 1)
    assert _said(db, 0x00081030) is None


def test_with_replace_it_takes_the_place_and_the_feed_says_so(db: Database) -> None:
    first = facts(a_dataset())
    _register(db, first)
    held = lookup.instance(db, first.ref)
    newer = facts(a_dataset(**{NAME: _element("PN", {"Alphabetic": "CORRECTED"})}), token="22222222", size_bytes=50)
    assert _register(db, newer, replace=True) == Registered(Outcome.REPLACED, first.key, 2)
    row = lookup.instance(db, first.ref)
    assert held is not None
    assert row is not None
    assert (row.id, row.key, row.size_bytes, row.revision) == (held.id, newer.key, 50, 2)
    assert _said(db, 0x00100010) == "CORRECTED"  # the only instance of its study: its attributes go with it
    assert [change.kind for change in changes.since(db, 0, 10)] == ["stored", "replaced"]
    assert statistics.recount(db) == []


def test_replacing_one_of_two_leaves_what_the_study_says(db: Database) -> None:
    _register(db, a_dataset(instance=1))
    _register(db, a_dataset(instance=2))
    newer = a_dataset(instance=2, **{NAME: _element("PN", {"Alphabetic": "OTHER"})})
    _register(db, facts(newer, token="22222222"), replace=True)
    assert _said(db, 0x00100010) == "LEFÈBVRE^Zoé"
    assert statistics.statistics(db).instances == 2
    assert statistics.recount(db) == []


@pytest.mark.parametrize("digest", [b"0" * 32, b"1" * 32])
def test_bytes_that_a_row_names_are_never_superseded(db: Database, digest: bytes) -> None:
    one = facts(a_dataset(), digest=b"0" * 32)
    _register(db, one)
    again = one._replace(digest=digest)
    assert _register(db, again, replace=True) == Registered(Outcome.DUPLICATE, None, 1)


def test_one_uid_in_two_series_or_two_studies_is_two_instances(db: Database) -> None:
    ds = a_dataset()
    for study, series in (("1.2.1", "1.2.1.1"), ("1.2.1", "1.2.1.2"), ("1.2.2", "1.2.1.1")):
        uids = {"0020000D": _element("UI", study), "0020000E": _element("UI", series)}
        assert _register(db, ds | uids).outcome is Outcome.STORED
    assert len(lookup.by_sop_uids(db, ["1.2.1.1.1"])) == 3
    assert statistics.statistics(db).series == 3
    assert statistics.recount(db) == []


# What a study says


def test_the_first_instance_decides_and_a_later_one_fills_what_was_empty(db: Database) -> None:
    _register(db, a_dataset(instance=1))
    later = {DESCRIPTION: _element("LO", "Thorax"), NAME: _element("PN", {"Alphabetic": "SOMEBODY ELSE"})}
    _register(db, a_dataset(instance=2, **later))
    _register(db, a_dataset(instance=3, **{DESCRIPTION: _element("LO", "too late")}))
    assert _said(db, 0x00081030) == "Thorax"
    assert _said(db, 0x00100010) == "LEFÈBVRE^Zoé"


BIRTH_DATE, PATIENT_ID = "t00100030", "t00100020"


@pytest.mark.parametrize(
    ("first", "second", "is_filled"),
    [
        (("AAA", ""), ("BBB", ""), False),
        (("AAA", "NORTH"), ("AAA", "SOUTH"), False),
        (("", "NORTH"), ("BBB", "SOUTH"), False),
        (("AAA", ""), ("AAA", "SOUTH"), True),
        (("AAA", "NORTH"), ("AAA", ""), True),
        (("AAA", ""), ("", ""), True),
        (("", ""), ("BBB", ""), True),
    ],
)
def test_what_is_said_of_another_patient_does_not_fill_a_study(
    db: Database, first: tuple[str, str], second: tuple[str, str], is_filled: bool
) -> None:
    """Else the study would say that AAA is Bob."""
    _register(db, a_dataset(instance=1, **_ids(*first), **{NAME: {"vr": "PN"}}))
    bob = {NAME: _element("PN", {"Alphabetic": "Bob"}), BIRTH_DATE: _element("DA", "19500101"), **_ids(*second)}
    _register(db, a_dataset(instance=2, **bob, **{DESCRIPTION: _element("LO", "Thorax")}))
    assert _said(db, 0x00081030) == "Thorax"
    assert _said(db, 0x00100010) == ("Bob" if is_filled else None)
    assert _said(db, 0x00100030) == ("19500101" if is_filled else None)
    expected = [one or (other if is_filled else "") for one, other in zip(first, second, strict=True)]
    assert [_said(db, tag) or "" for tag in (0x00100020, 0x00100021)] == expected
    assert statistics.recount(db) == []


def test_a_study_that_met_another_patient_is_still_filled_by_its_own_and_not_written_for_the_other(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = {NAME: _element("PN", {"Alphabetic": "Bob"}), **_ids("BBB", "")}
    _register(db, a_dataset(instance=1, **_ids("AAA", ""), **{NAME: {"vr": "PN"}}))
    with monkeypatch.context() as patched:
        patched.delattr(parents, "fill")
        for instance in (2, 3):
            _register(db, a_dataset(instance=instance, **bob))
    _register(db, a_dataset(instance=4, **_ids("AAA", ""), **{NAME: _element("PN", {"Alphabetic": "Ann"})}))
    assert _said(db, 0x00100010) == "Ann"


def _ids(patient_id: str, issuer: str) -> dict[str, dict[str, object]]:
    found = {PATIENT_ID: patient_id, ISSUER: issuer}
    return {tag: _element("LO", value) if value else {"vr": "LO"} for tag, value in found.items()}


def test_a_series_is_filled_likewise(db: Database) -> None:
    _register(db, a_dataset(instance=1))
    requests = {"t00400275": _element("SQ", {"00401001": _element("SH", "R1")})}
    _register(db, a_dataset(instance=2, t0008103E=_element("LO", "axial"), **requests))
    found = lookup.attributes(db, STUDY.series("1.2.1.1"))
    assert found is not None
    assert found["0008103E"]["Value"] == ["axial"]
    assert found["00400275"]["Value"] == [{"00401001": {"vr": "SH", "Value": ["R1"]}}]


@pytest.mark.parametrize("values", [("LO", "abc"), ("US", 1), ("PN", {"Alphabetic": "A"})])
def test_requests_that_came_as_no_sequence_do_not_stop_an_instance(db: Database, values: tuple[str, object]) -> None:
    _register(db, a_dataset(instance=1, t00400275=_element(*values)))
    found = lookup.attributes(db, STUDY.series("1.2.1.1"))
    assert found is not None
    assert found["00400275"] == _element(*values)


def test_a_date_that_comes_late_moves_the_study_in_every_order(db: Database) -> None:
    _register(db, a_dataset(instance=1))
    _register(db, a_dataset(instance=2, **{DATE: _element("DA", "20240229")}))
    with db.read() as connection:
        moved = connection.execute("SELECT date_time FROM study_modality").fetchone()[0]
        assert moved == connection.execute("SELECT date_time FROM study").fetchone()[0] == 20240229000000
    assert statistics.recount(db) == []


def test_an_issuer_that_comes_late_moves_the_study_to_its_patient(db: Database) -> None:
    _register(db, a_dataset(1, 1, 1))
    _register(db, a_dataset(1, 1, 2, **{ISSUER: _element("LO", "NORTH")}))
    assert statistics.statistics(db).patients == 1
    assert statistics.recount(db) == []


def test_modalities_in_study_follow_the_series(db: Database) -> None:
    _register(db, a_dataset(series=1))
    _register(db, a_dataset(series=2, t00080060=_element("CS", "SR")))
    _register(db, a_dataset(series=3, t00080060=_element("CS", "MR\\PT")))
    assert (lookup.attributes(db, STUDY) or {})["00080061"]["Value"] == ["CT", "MR", "PT", "SR"]
    db.write(lambda tx: composite.remove(tx, STUDY.series("1.2.1.1")))
    assert (lookup.attributes(db, STUDY) or {})["00080061"]["Value"] == ["MR", "PT", "SR"]
    assert statistics.recount(db) == []


def test_text_that_utf8_cannot_say_is_kept_as_far_as_it_goes(db: Database) -> None:
    broken = "A\ud800B"
    _register(db, a_dataset(**{DESCRIPTION: _element("LO", broken), NAME: _element("PN", {"Alphabetic": broken})}))
    assert _said(db, 0x00081030) == "A?B"


def test_numbers_beyond_64_bits_do_not_stop_an_instance(db: Database) -> None:
    _register(db, a_dataset(t00200011=_element("IS", 10**30), t00200013=_element("IS", 1.5)))
    assert len(lookup.instances(db, STUDY)) == 1


# Removing


def test_removing_an_instance_a_series_a_study_returns_what_was_there(db: Database) -> None:
    for series in (1, 2):
        for instance in (1, 2):
            _register(db, a_dataset(1, series, instance))
    _register(db, a_dataset(2))
    first = InstanceRef("1.2.1", "1.2.1.1", "1.2.1.1.1")
    removed = db.write(lambda tx: composite.remove(tx, first))
    assert [row.ref for row in removed] == [first]
    assert statistics.statistics(db).instances == 4
    assert len(db.write(lambda tx: composite.remove(tx, SeriesRef("1.2.1", "1.2.1.2")))) == 2
    assert len(db.write(lambda tx: composite.remove(tx, STUDY))) == 1
    assert db.write(lambda tx: composite.remove(tx, STUDY)) == []
    totals = statistics.statistics(db)
    assert (totals.patients, totals.studies, totals.series, totals.instances, totals.revision) == (1, 1, 1, 1, 9)
    assert statistics.recount(db) == []


def test_the_last_study_with_a_name_takes_it_out_of_the_dictionary(db: Database) -> None:
    both = {"t00080090": _element("PN", {"Alphabetic": "LEFÈBVRE^Zoé"})}  # patient and physician alike
    _register(db, a_dataset(1, **both))
    _register(db, a_dataset(2))

    def names() -> int:
        with db.read() as connection:
            words = connection.execute("SELECT count(*) FROM person_name_word").fetchone()[0]
            names = connection.execute("SELECT count(*) FROM person_name").fetchone()[0]
            assert words == 2 * names
            return int(names)

    db.write(lambda tx: composite.remove(tx, STUDY))
    assert names() == 1
    db.write(lambda tx: composite.remove(tx, StudyRef("1.2.2")))
    assert names() == 0


def test_what_was_deleted_is_remembered_until_and_after_it_comes_back(db: Database) -> None:
    one = facts(a_dataset())
    _register(db, one)
    assert not lookup.was_deleted(db, one.ref)
    db.write(lambda tx: composite.remove(tx, one.ref.series))
    for ref in (one.ref, one.ref.series, one.ref.study):
        assert lookup.was_deleted(db, ref)
        assert lookup.instances(db, ref) == []
        assert lookup.attributes(db, ref) is None
    assert changes.was_dropped(db, one.key)
    assert _register(db, one).outcome is Outcome.STORED
    assert lookup.instance(db, one.ref) is not None


def test_a_reset_forgets_the_rows_and_keeps_audit_deletions_and_revisions(db: Database) -> None:
    for study in (1, 2):
        _register(db, a_dataset(study))
    db.write(lambda tx: composite.remove(tx, STUDY))
    db.write(lambda tx: tx.execute("INSERT INTO audit VALUES (1, 0, 'store', '', '', '', '', '{}')"))
    composite.reset(db)
    totals = statistics.statistics(db)
    assert (totals.patients, totals.studies, totals.series, totals.instances, totals.size_bytes) == (0, 0, 0, 0, 0)
    assert totals.revision == 3
    assert lookup.was_deleted(db, STUDY)
    assert changes.since(db, 0, 10) == []
    assert _register(db, a_dataset(2)).revision == 4
    with db.read() as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone()[0] == 1
    assert statistics.recount(db) == []
