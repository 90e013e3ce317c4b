"""A packed series answers as one with rows, and whatever comes to it later finds it so."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, facts, pack_series
from fixtures.rebuilt import check_sides
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.layout import Layout
from relais.dicom.query import Query
from relais.dicom.query_keys import match_from_text
from relais.dicom.refs import SeriesRef, StudyRef
from relais.errors import Internal
from relais.index import changes, composite, documents, instances, lookup, packs, rejections, search, statistics
from relais.index.bundles import Bundle
from relais.index.mapping import under
from relais.index.rows import InstanceRow, Outcome

STUDY = StudyRef("1.2.1")
FIRST, SECOND = STUDY.series("1.2.1.1"), STUDY.series("1.2.1.2")
INSTANCES = [(1, 1, 3), (1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]
LATER = 2**40  # seconds


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        layout = {"layout": Layout(300, 1200, b"N\1\2\3")}
        for place in INSTANCES:
            one = facts(a_dataset(*place), **(layout if place != (1, 1, 3) else {"layout": Layout(300)}))
            db.write(lambda tx, one=one: composite.register(tx, one))
        yield db


def _packed(db: Database) -> set[int]:
    with db.read() as connection:
        return {row[0] for row in connection.execute("SELECT series_fk FROM series_pack")}


def _answers(db: Database) -> dict[str, Any]:
    """All that can be asked about instances."""
    refs = [row.ref for _, row in lookup.keys(db)]
    uid = match_from_text(0x00080018, "1.2.1.1.2\\1.2.2.1.1")
    number = match_from_text(0x00200013, "1")
    assert uid is not None
    assert number is not None
    first = search.search(db, Query(Level.IMAGE, limit=2))
    return {
        "of": [lookup.instances(db, ref) for ref in (STUDY, FIRST, SECOND, StudyRef("1.2.2"), StudyRef("9"))],
        "one": [lookup.instance(db, ref) for ref in refs],
        "none": lookup.instance(db, FIRST.instance("9")),
        "representative": [lookup.representative(db, ref) for ref in (STUDY, FIRST, SECOND)],
        "by uid": [lookup.by_sop_uids(db, [ref.sop_instance_uid]) for ref in refs],
        "attributes": [lookup.attributes(db, ref) for ref in (*refs, FIRST, STUDY, FIRST.instance("9"))],
        "revision": [lookup.revision(db, ref) for ref in (*refs, FIRST, STUDY)],
        "keys": list(lookup.keys(db)),
        "known": list(lookup.unknown_keys(db, [key for key, _ in lookup.keys(db)])),
        "changes": changes.since(db, 0, 100),
        "found": search.search(db, Query(Level.IMAGE, all_keys=True)).rows,
        "by key": search.search(db, Query(Level.IMAGE, (uid,))).rows,
        "by number": list(search.stream(db, Query(Level.IMAGE, (number,)), batch=1)),
        "page": (first.rows, search.search(db, Query(Level.IMAGE), first.last).rows),
        "offset": search.search(db, Query(Level.IMAGE, offset=3)).rows,
        "classes": search.search(db, Query(Level.STUDY, all_keys=True)).rows,
        "totals": statistics.statistics(db),
        "miscounted": statistics.recount(db),
    }


@pytest.mark.parametrize("wanted", [lambda number: True, lambda number: number % 2 == 0, lambda number: number % 2])
def test_every_answer_is_the_same_as_before(db: Database, wanted: Any) -> None:
    before = _answers(db)
    assert pack_series(db, wanted) > 0
    after = _answers(db)
    for question, answer in before.items():
        assert after[question] == answer, question
    db.write(check_sides)
    assert before["known"] == before["miscounted"] == []


def test_a_late_arrival_gives_the_series_its_rows_back_and_no_other(db: Database) -> None:
    pack_series(db)
    assert db.write(lambda tx: composite.register(tx, facts(a_dataset(1, 1, 9)))).outcome is Outcome.STORED
    assert len(_packed(db)) == 2
    assert [row.ref for row in lookup.instances(db, FIRST)] == [
        FIRST.instance(f"1.2.1.1.{number}") for number in (1, 2, 3, 9)
    ]
    assert statistics.recount(db) == []
    db.write(check_sides)


def test_what_comes_again_is_known_and_the_series_stays_packed(db: Database) -> None:
    held = lookup.instance(db, FIRST.instance("1.2.1.1.2"))
    assert held is not None
    pack_series(db)
    same, other = facts(a_dataset(1, 1, 2), key="copy"), facts(a_dataset(1, 1, 2), token="22222222")
    registered = db.write(lambda tx: [composite.register(tx, one) for one in (same, other, facts(a_dataset(1, 1, 2)))])
    assert [one.outcome for one in registered] == [Outcome.DUPLICATE, Outcome.KEPT_FIRST, Outcome.DUPLICATE]
    assert [one.superseded_key for one in registered] == ["copy", other.key, None]
    assert {one.revision for one in registered} == {held.revision}
    assert len(_packed(db)) == 3


def test_an_instance_is_replaced_in_a_packed_series(db: Database) -> None:
    held = lookup.instance(db, FIRST.instance("1.2.1.1.2"))
    assert held is not None
    pack_series(db)
    newer = facts(a_dataset(1, 1, 2), token="22222222", size_bytes=50)
    registered = db.write(lambda tx: composite.register(tx, newer, replace=True))
    assert (registered.outcome, registered.superseded_key) == (Outcome.REPLACED, held.key)
    row = lookup.instance(db, newer.ref)
    assert row is not None
    assert (row.id, row.key, row.size_bytes) == (held.id, newer.key, 50)
    assert statistics.recount(db) == []
    pack_series(db)
    assert not list(lookup.unknown_keys(db, [held.key]))  # history of an instance that is here
    assert [one.kind for one in changes.since(db, 5, 9)] == ["replaced"]
    db.write(check_sides)


@pytest.mark.parametrize(
    ("ref", "left"), [(FIRST.instance("1.2.1.1.2"), 4), (FIRST, 2), (SECOND, 4), (STUDY, 1), (StudyRef("1.2.2"), 4)]
)
def test_what_is_deleted_of_packed_series_is_gone_from_everywhere(db: Database, ref: Any, left: int) -> None:
    gone = lookup.instances(db, ref)
    told = changes.since(db, 0, 100)
    pack_series(db)
    assert db.write(lambda tx: composite.remove(tx, ref)) == gone
    assert lookup.instances(db, ref) == []
    assert len(list(lookup.keys(db))) == statistics.statistics(db).instances == left
    assert changes.since(db, 0, len(told)) == told
    assert {one.ref for one in changes.since(db, len(told), 100)} == {row.ref for row in gone}
    assert statistics.recount(db) == []
    db.write(check_sides)


def test_deleting_all_but_one_class_leaves_the_classes_of_packed_series(db: Database) -> None:
    mr = a_dataset(1, 3, 1) | {"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.4"]}}
    db.write(lambda tx: composite.register(tx, facts(mr)))
    pack_series(db)
    db.write(lambda tx: composite.remove(tx, STUDY.series("1.2.1.3")))
    db.write(check_sides)
    db.write(lambda tx: composite.register(tx, facts(mr)))
    db.write(lambda tx: composite.remove(tx, FIRST))
    db.write(check_sides)


def test_a_rejected_instance_of_a_packed_series_stays_out(db: Database) -> None:
    ref = FIRST.instance("1.2.1.1.2")
    pack_series(db)

    def work(tx: Any) -> None:
        rows = composite.remove(tx, ref)
        note = rejections.Note("1.9", STUDY, tx.now, "113001", 1)
        rejections.add(tx, note, b"note", [row.id for row in rows])

    db.write(work)
    pack_series(db)
    assert db.write(lambda tx: rejections.is_unwanted(tx, ref, ["113001"]))


def test_a_series_that_changed_since_its_pack_was_made_is_left_alone(db: Database) -> None:
    made = [packs.make(db, number) for number in (1, 2)]
    db.write(lambda tx: composite.register(tx, facts(a_dataset(1, 1, 9))))
    assert db.write(lambda tx: [packs.keep(tx, one) for one in made]) == [False, True]
    assert db.write(lambda tx: [packs.keep(tx, one) for one in made]) == [False, False]  # by another process
    assert _packed(db) == {2}
    db.write(check_sides)


def test_a_pack_never_takes_the_place_of_rows_that_it_does_not_hold(db: Database) -> None:
    made = packs.make(db, 1)
    db.write(lambda tx: tx.execute("DELETE FROM instance WHERE id = 1"))
    with pytest.raises(Internal, match="has 2 rows"):
        db.write(lambda tx: packs.keep(tx, made))
    assert _packed(db) == set()


def test_keys_that_name_no_instance_are_not_packed(db: Database) -> None:
    db.write(lambda tx: composite.register(tx, facts(a_dataset(3), key="no/uid/in/it")))
    made = packs.make(db, 4)
    assert made.ids
    assert made.packed is None
    assert not db.write(lambda tx: packs.keep(tx, made))
    assert not list(lookup.unknown_keys(db, ["no/uid/in/it"]))


def test_the_feed_tells_which_series_are_due_and_never_twice(db: Database) -> None:
    due = packs.due(db, LATER)
    assert (due.series, due.revision, due.until) == ([1, 2, 3], 0, 5)
    assert packs.due(db, 0.0).until == 0
    pack_series(db)
    db.write(lambda tx: packs.move_on(tx, due))
    assert packs.due(db, LATER) == packs.Due([], 5, 5)
    db.write(lambda tx: packs.move_on(tx, packs.Due([], 0, 3)))  # by another process, late
    assert packs.due(db, LATER).revision == 5


def test_no_step_takes_more_series_than_it_may(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "SERIES", 1)
    steps = []
    while (due := packs.due(db, LATER)).until > due.revision:
        steps.append(due.series)
        db.write(lambda tx, due=due: packs.move_on(tx, due))
    assert steps == [[1], [1], [1], [2], [3]]


def test_a_series_that_was_active_is_told_of_again_by_its_last_change(db: Database) -> None:
    def at(tx: Any) -> None:
        tx.execute("UPDATE change SET at = 100 + revision")
        tx.execute("UPDATE series SET updated_at = 103 WHERE id = 1")

    db.write(at)
    assert packs.due(db, 102.5) == packs.Due([], 0, 2)
    db.write(lambda tx: packs.move_on(tx, packs.Due([], 0, 2)))
    assert packs.due(db, 103.5).series == [1]


def test_what_happened_while_the_clock_was_ahead_holds_up_nothing(db: Database) -> None:
    def ahead(tx: Any) -> None:
        tx.execute("UPDATE change SET at = ? WHERE revision = 2", (time.time() + 2 * packs.MOST_AHEAD_S,))
        tx.execute("UPDATE series SET updated_at = ?", (time.time() + 2 * packs.MOST_AHEAD_S,))
        tx.execute("INSERT INTO to_pack(series_fk, at) VALUES (1, ?)", (time.time() + 2 * packs.MOST_AHEAD_S,))

    assert packs.due(db, time.time() - 60).is_nothing
    db.write(lambda tx: tx.execute("UPDATE change SET at = 100"))
    db.write(ahead)
    due = packs.due(db, time.time() - 60)
    assert (due.series, due.until) == ([1, 2, 3], 5)
    db.write(lambda tx: packs.move_on(tx, due))
    assert packs.due(db, time.time() - 60).series == [1]  # asked for


def test_what_was_unpacked_is_packed_anew_though_no_change_tells_of_it(db: Database) -> None:
    pack_series(db)
    db.write(lambda tx: packs.move_on(tx, packs.due(db, LATER)) or composite.remove(tx, FIRST.instance("1.2.1.1.2")))
    assert _packed(db) == {2, 3}
    assert packs.due(db, LATER).series == [1]
    assert pack_series(db) == 1
    assert packs.due(db, LATER).series == []


def _document(row: InstanceRow) -> bytes:
    return b'{"00200013":{"vr":"IS","Value":[%d]}}' % int(row.ref.sop_instance_uid.rpartition(".")[2])


def _pack_with_documents(db: Database, number: int, ref: SeriesRef) -> None:
    bundle = Bundle()
    for row in lookup.instances(db, ref):
        bundle.add((row.id, row.revision), _document(row))
    made = packs.make(db, number)
    db.write(lambda tx: packs.keep(tx, packs.Made(number, made.revision, made.ids, made.packed, bundle.packed())))


def test_documents_are_packed_with_their_series_and_found_by_any_of_it(db: Database) -> None:
    rows = lookup.instances(db, STUDY)
    kept = {row.id: _document(row) for row in rows}
    db.write(lambda tx: documents.put_many(tx, {(row.id, row.revision): _document(row) for row in rows}))
    _pack_with_documents(db, 1, FIRST)
    assert documents.get_many(db, rows) == kept
    assert documents.get_many(db, rows[1:2]) == {rows[1].id: kept[rows[1].id]}
    db.write(lambda tx: composite.register(tx, facts(a_dataset(1, 1, 9))))  # with rows again: documents stay
    assert documents.get_many(db, rows) == kept
    assert statistics.recount(db) == []


def test_a_document_goes_with_its_instance(db: Database) -> None:
    _pack_with_documents(db, 1, FIRST)
    rows = lookup.instances(db, FIRST)
    db.write(lambda tx: composite.remove(tx, rows[0].ref))
    assert documents.get_many(db, rows) == {}
    with db.read() as connection:
        assert connection.execute("SELECT count(*) FROM series_documents").fetchone()[0] == 0
    _pack_with_documents(db, 1, FIRST)
    newer = facts(a_dataset(1, 1, 2), token="22222222")
    db.write(lambda tx: composite.register(tx, newer, replace=True))
    assert documents.get_many(db, lookup.instances(db, FIRST)) == {}


def test_a_new_beginning_forgets_packs(db: Database) -> None:
    pack_series(db)
    composite.reset(db)
    assert list(lookup.keys(db)) == statistics.recount(db) == []
    db.write(lambda tx: composite.register(tx, facts(a_dataset())))
    with db.read() as connection:
        series = [row["id"] for row in connection.execute("SELECT id FROM series")]
    assert packs.due(db, LATER).series == series
    db.write(check_sides)


PLANS = {
    "get": ["SEARCH series_pack USING INTEGER PRIMARY KEY (rowid=?)"],
    "with_stems": ["SEARCH packed_uid USING PRIMARY KEY (stem=?)"],
    "with_blocks": ["SEARCH packed_id USING PRIMARY KEY (block=?)"],
    "rows": ["SEARCH instance USING INDEX instance_series (series_fk=?)"],
    "take_rows": ["SEARCH instance USING INDEX instance_series (series_fk=?)"],
    "take_documents": ["SEARCH instance_json USING INTEGER PRIMARY KEY (rowid=?)"],
    "sop_classes": [
        "SEARCH series USING COVERING INDEX series_study (study_fk=?)",
        "SEARCH pack USING INTEGER PRIMARY KEY",
    ],
    "quiet": [
        "SEARCH instance USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH series USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "changes": ["SEARCH change USING INTEGER PRIMARY KEY (rowid>?)"],
}


@only_sqlite("it reads EXPLAIN QUERY PLAN")
@pytest.mark.parametrize("name", PLANS)
def test_packs_are_found_by_indexes_only(db: Database, name: str) -> None:
    statement = packs.SQL[name]
    lines = _plan(db, statement, ("[]",) * statement.count("?"))
    for wanted in PLANS[name]:
        assert any(line.startswith(wanted) for line in lines), lines
    assert not [line for line in lines if line.startswith("SCAN") and "json_each" not in line], lines


BY_REF = {
    STUDY: "SEARCH series USING INDEX series_study (study_fk=?)",
    FIRST: "SEARCH series USING INDEX sqlite_autoindex_series_1 (series_instance_uid=? AND study_fk=?)",
}


@only_sqlite("it reads EXPLAIN QUERY PLAN")
@pytest.mark.parametrize("ref", BY_REF)
def test_packs_are_found_from_their_study(db: Database, ref: StudyRef | SeriesRef) -> None:
    where, values = under(ref)
    lines = _plan(db, f"SELECT * FROM packed_series WHERE {where}", values)
    study, series, packed = lines
    assert study.startswith("SEARCH study USING COVERING INDEX sqlite_autoindex_study_1 (study_instance_uid=?)"), lines
    assert series == BY_REF[ref]
    assert packed == "SEARCH series_pack USING INTEGER PRIMARY KEY (rowid=?)"


@only_sqlite("it reads EXPLAIN QUERY PLAN")
@pytest.mark.parametrize("name", instances.SQL)
def test_instances_are_never_scanned_for(db: Database, name: str) -> None:
    statement = instances.SQL[name]
    named = {"study_instance_uid": "1.2.1", "series_instance_uid": ""}
    lines = _plan(db, statement, named if ":study" in statement else ("[]",) * statement.count("?"))
    assert not [line for line in lines if line.startswith("SCAN") and "json_each" not in line], lines


def _plan(db: Database, statement: str, values: Any) -> list[str]:
    with db.read() as connection:
        return [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]
