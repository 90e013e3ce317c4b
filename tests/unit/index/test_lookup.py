"""Finding what is registered by its UIDs and keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.indexed import CT, a_dataset, an_index, facts
from relais.db.database import Database, Transaction
from relais.dicom.refs import InstanceRef, SeriesRef, StudyRef
from relais.index import changes, composite, documents, lookup, statistics
from relais.index.mapping import pack_key, unpack_key

STUDY = StudyRef("1.2.1")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        yield db


def _register(db: Database, *numbers: tuple[int, int, int], **more: object) -> None:
    ones = [facts(a_dataset(*three, **more)) for three in numbers]
    db.write(lambda tx: [composite.register(tx, one) for one in ones])


def test_instances_come_by_series_number_then_instance_number_the_numberless_last(db: Database) -> None:
    _register(db, (1, 2, 1), (1, 1, 10), (1, 1, 9))
    _register(db, (1, 1, 5), t00200013={"vr": "IS"})
    _register(db, (1, 3, 1), t00200011={"vr": "IS"})
    found = [row.ref.sop_instance_uid for row in lookup.instances(db, STUDY)]
    assert found == ["1.2.1.1.9", "1.2.1.1.10", "1.2.1.1.5", "1.2.1.2.1", "1.2.1.3.1"]


def test_a_ref_must_agree_on_every_level(db: Database) -> None:
    _register(db, (1, 1, 1), (2, 1, 1))
    assert lookup.instance(db, InstanceRef("1.2.1", "1.2.1.1", "1.2.1.1.1")) is not None
    assert lookup.instance(db, InstanceRef("1.2.2", "1.2.1.1", "1.2.1.1.1")) is None
    assert lookup.instances(db, SeriesRef("1.2.2", "1.2.1.1")) == []
    assert lookup.attributes(db, SeriesRef("1.2.2", "1.2.1.1")) is None
    assert lookup.attributes(db, InstanceRef("1.2.1", "1.2.1.1", "1.2.9")) is None
    assert lookup.attributes(db, STUDY.series("1.2.9")) is None


def test_attributes_are_those_of_the_level_and_above(db: Database) -> None:
    _register(db, (1, 1, 1), t00280010={"vr": "US", "Value": [512]})
    study = lookup.attributes(db, STUDY) or {}
    series = lookup.attributes(db, STUDY.series("1.2.1.1")) or {}
    instance = lookup.attributes(db, InstanceRef("1.2.1", "1.2.1.1", "1.2.1.1.1")) or {}
    assert "00100010" in study
    assert "00200011" not in study
    assert study.keys() < series.keys() < instance.keys()
    assert instance["00280010"]["Value"] == [512]
    assert instance["00080016"]["Value"] == [CT]


def test_a_write_sees_its_own_instances(db: Database) -> None:
    one = facts(a_dataset())

    def work(tx: Transaction) -> bool:
        composite.register(tx, one)
        return lookup.instance(tx, one.ref) is not None and len(lookup.by_sop_uids(tx, [one.ref.sop_instance_uid])) == 1

    assert db.write(work)


def test_revisions_grow_with_every_change_below(db: Database) -> None:
    series = STUDY.series("1.2.1.1")
    assert (lookup.study_revision(db, STUDY), lookup.series_revision(db, series)) == (0, 0)
    _register(db, (1, 1, 1), (1, 1, 2), (1, 2, 1))
    assert (lookup.study_revision(db, STUDY), lookup.series_revision(db, series)) == (3, 2)
    db.write(lambda tx: composite.remove(tx, series.instance("1.2.1.1.1")))
    assert (lookup.study_revision(db, STUDY), lookup.series_revision(db, series)) == (4, 4)


def test_every_key_is_streamed_in_batches(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "BATCH", 3)
    _register(db, *((1, 1, number) for number in range(7)))
    found = list(lookup.keys(db))
    assert [key for key, _ in found] == [facts(a_dataset(1, 1, number)).key for number in range(7)]
    assert list(lookup.unknown_keys(db, (key for key, _ in found))) == []


def test_keys_are_known_exactly(db: Database) -> None:
    one, foreign = facts(a_dataset()), facts(a_dataset(2), key="no/uid/in/it")
    db.write(lambda tx: [composite.register(tx, each) for each in (one, foreign)])
    assert not list(lookup.unknown_keys(db, [one.key]))
    assert not list(lookup.unknown_keys(db, ["no/uid/in/it"]))
    others = [one.key.replace("0badcafe", "1badcafe"), one.key.replace("ab/", "ac/"), one.key[:-4], "", "/", "."]
    assert list(lookup.unknown_keys(db, [one.key, *others])) == others


@pytest.mark.parametrize(
    "key", ["ab/1.2/1.2.3/1.2.3.4.00ff00ff.dcm", "1.2.3.4", "x/1.2.3.4/1.2.3.4.dcm", "ab/1.2.3/1.2", "plain"]
)
def test_a_packed_key_unpacks_to_itself(key: str) -> None:
    ref = InstanceRef("1.2", "1.2.3", "1.2.3.4")
    assert unpack_key(pack_key(key, ref), ref) == key
    same = InstanceRef("1.2", "1.2", "1.2")
    assert unpack_key(pack_key("ab/1.2/1.2/1.2.0.dcm", same), same) == "ab/1.2/1.2/1.2.0.dcm"


def test_the_feed_tells_every_change_with_its_uids_also_of_what_is_gone(db: Database) -> None:
    _register(db, (1, 1, 1), (1, 1, 2))
    db.write(lambda tx: composite.remove(tx, STUDY))
    found = changes.since(db, 0, 10)
    assert [(change.revision, change.kind) for change in found] == [
        (1, "stored"),
        (2, "stored"),
        (3, "deleted"),
        (4, "deleted"),
    ]
    assert found[0].ref == found[2].ref == facts(a_dataset(1, 1, 1)).ref
    assert found[3].key == facts(a_dataset(1, 1, 2)).key
    assert [change.revision for change in changes.since(db, 2, 1)] == [3]
    assert changes.latest(db) == 4


def test_what_came_since_a_moment_is_counted_without_an_index_of_times(db: Database) -> None:
    assert statistics.received_since(db, 0) == 0
    for number in range(9):
        _register(db, (1, 1, number))
    with db.read() as connection:
        times = [row["at"] for row in connection.execute("SELECT at FROM change ORDER BY revision")]
    for at in (0, *times, times[-1] + 1):
        assert statistics.received_since(db, at) == sum(each >= at for each in times)
    db.write(lambda tx: composite.remove(tx, STUDY))
    assert statistics.received_since(db, 0) == 9


def test_a_wrong_counter_is_told(db: Database) -> None:
    _register(db, (1, 1, 1))
    for wrong in (
        "UPDATE series SET instance_count = 2",
        "UPDATE study SET size_bytes = 1",
        "UPDATE patient SET study_count = 5",
        "UPDATE totals SET instances = 7",
        "DELETE FROM study_modality",
    ):
        db.write(lambda tx, wrong=wrong: tx.execute(wrong))
    db.write(lambda tx: tx.execute("INSERT INTO instance_json VALUES (99, ?)", (b"",)))
    said = " ".join(statistics.recount(db))
    for word in (
        "Series 1.2.1.1 counts 2",
        "Study 1.2.1 counts",
        "A patient counts 5",
        "totals",
        "modalities",
        "document",
    ):
        assert word in said


def test_documents_are_kept_for_instances_that_are_there_and_go_with_them(db: Database) -> None:
    _register(db, (1, 1, 1), (1, 1, 2))
    rows = lookup.instances(db, STUDY)
    (first, second), revision = (row.id for row in rows), rows[0].revision
    assert [row.id for row in documents.without(db, 10)] == [first, second]
    db.write(lambda tx: documents.put_many(tx, {(first, revision): b'{"00100020":1}', (4711, 1): b"{}"}))
    assert documents.get_many(db, rows) == {first: b'{"00100020":1}'}
    assert [row.id for row in documents.without(db, 10)] == [second]
    assert documents.without(db, 10, after_id=second) == []
    db.write(lambda tx: documents.put_many(tx, {(first, revision): b"[]", (second, revision): b"of another version"}))
    assert documents.get_many(db, rows) == {first: b"[]"}
    db.write(lambda tx: composite.remove(tx, STUDY))
    assert documents.get_many(db, rows) == {}
    assert statistics.recount(db) == []


def test_the_instance_that_stands_for_a_study_is_the_middle_one_with_an_image(db: Database) -> None:
    db.write(
        lambda tx: composite.register(tx, facts(a_dataset(1, 1, 1), layout=facts(a_dataset()).layout.__class__(300)))
    )
    _register(db, *((1, 2, number) for number in range(1, 6)))
    found = lookup.representative(db, STUDY)
    assert found is not None
    assert found.ref.sop_instance_uid == "1.2.1.2.3"
    only = lookup.representative(db, STUDY.series("1.2.1.1"))
    assert only is not None
    assert only.ref.sop_instance_uid == "1.2.1.1.1"
    assert lookup.representative(db, StudyRef("9")) is None
