"""index.portable: every table goes along, and what follows from others is made anew."""

from pathlib import Path

from fixtures.engines import only_sqlite
from fixtures.indexed import a_dataset, an_index, check_labels, facts
from fixtures.rebuilt import check_sides
from relais.db.database import Database, Transaction
from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import StudyRef
from relais.index import changes, composite, condemned, portable, search, statistics
from relais.index.leases import Lease

MODULES = ("_config", "_content", "_data", "_docsize", "_idx")  # what FTS5 keeps its own things in
SEARCHED = {"person_name_trigram", "study_trigram", "study_label", "series_label"}
MIGRATIONS = {"_sqlite_migrations"}


def filled(db: Database) -> None:
    def work(tx: Transaction) -> None:
        for study in range(1, 6):
            for instance in range(1, 4):
                name = {"vr": "PN", "Value": [{"Alphabetic": f"NAME{study}^Zoé", "Ideographic": "山田^太郎"}]}
                ds = a_dataset(study, 1, instance, t00100010=name)
                composite.register(tx, facts(ds))
        composite.remove(tx, StudyRef("1.2.5"))
        condemned.add(tx, ["ab/1.2/1.2.3/1.2.3.4.0badcafe.dcm"])

    db.write(work)


def found(db: Database, value: str) -> int:
    query = Query(Level.STUDY, (Match(0x00100010, MatchKind.WILD_CARD, (value,)),))
    return len(list(search.search(db, query).rows))


@only_sqlite("it reads the list of tables")
def test_every_table_goes_along_or_is_left_out_for_a_reason(tmp_path: Path) -> None:
    """Whoever adds a table says in index.portable what becomes of it."""
    with an_index(tmp_path) as db, db.read() as connection:
        names = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    shadows = {table + end for table in SEARCHED for end in MODULES}
    assert names - shadows - SEARCHED - MIGRATIONS == {*portable.TABLES, *portable.LEFT_OUT}


@only_sqlite("it reads the list of columns")
def test_primary_keys_are_those_of_the_schema(tmp_path: Path) -> None:
    with an_index(tmp_path) as db, db.read() as connection:
        for table, names in portable.TABLES.items():
            columns = connection.execute(f"SELECT name, pk FROM pragma_table_info('{table}') WHERE pk ORDER BY pk")
            assert tuple(row["name"] for row in columns) == names, table


def test_rows_one_by_one_make_the_same_index(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with an_index(tmp_path) as north, an_index(tmp_path / "b") as south:
        filled(north)
        south.write(lambda tx: composite.register(tx, facts(a_dataset(9))))  # gone afterwards
        portable.copy_rows(north, south)
        assert portable.counts(south) == portable.counts(north)
        assert changes.since(south, 0, 100) == changes.since(north, 0, 100)
        assert statistics.statistics(south) == statistics.statistics(north)
        assert statistics.recount(south) == []
        south.write(check_sides)
        south.write(check_labels)
        for pattern in ("NAME3*", "*AME3*", "*ME*", "*太*"):
            assert found(south, pattern) == found(north, pattern) > 0
        latest = changes.latest(north)
        south.write(lambda tx: composite.register(tx, facts(a_dataset(7))))
        assert changes.latest(south) == latest + 1


def test_leases_stay_behind(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with an_index(tmp_path) as north, an_index(tmp_path / "b") as south:
        assert Lease(north, "sweep", "north", 3600).held()
        portable.copy_rows(north, south)
        assert Lease(south, "sweep", "south", 3600).held()


def test_leases_stay_behind_in_a_file_too(tmp_path: Path) -> None:
    with an_index(tmp_path) as north:
        assert Lease(north, "sweep", "north", 3600).held()
        portable.save(north, tmp_path / "saved.sqlite")
    with portable.opened(tmp_path / "saved.sqlite") as saved:
        assert Lease(saved, "sweep", "south", 3600).held()


def test_an_index_is_empty_until_something_happened(tmp_path: Path) -> None:
    with an_index(tmp_path) as db:
        assert portable.is_empty(db)
        filled(db)
        assert not portable.is_empty(db)
