"""Each kind of matching once, by hand, on values that are easy to get wrong. The property test goes everywhere else."""

from collections.abc import Iterator

import pytest

from fixtures.indexed import Model, a_dataset, an_index, facts, identities
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.query_keys import match_from_text
from relais.errors import InvalidRequest
from relais.index import bearers, composite, ids, search
from relais.index.fragments import Fragment, fill

NAME, DESCRIPTION, DATE, TIME, BIRTH = 0x00100010, 0x00081030, 0x00080020, 0x00080030, 0x00100030
MODALITIES, CLASSES, CLASS, MODALITY, NUMBER = 0x00080061, 0x00080062, 0x00080016, 0x00080060, 0x00200011
SERIES_DATE, SERIES_TIME, REQUESTS, STEP, REQUESTED = 0x00080021, 0x00080031, 0x00400275, 0x00400009, 0x00401001


def _values(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)}


A = a_dataset(
    1,
    t00100010=_values("PN", {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}),
    t00081030=_values("LO", "50%_[a]"), t00080020=_values("DA", "20240229"), t00080030=_values("TM", "10"),
    t00100030=_values("DA", "19600101"), t00080021=_values("DA", "20240301"), t00080031=_values("TM", "235960.5"),
    t00400275=_values("SQ", {"00400009": _values("SH", "S1")}, {"00401001": _values("SH", "R2")}),
)  # fmt: skip
B = a_dataset(
    2,
    t00100010=_values("PN", {"Alphabetic": "D'ÉTÉ-Lefèbvre^Jean Noël"}), t00081030=_values("LO", "50"),
    t00080020=_values("DA", "none"), t00080030=_values("TM", "none"), t00100030=_values("DA", "19600102"),
    t00080060=_values("CS", "MR"), t00080016=_values("UI", "1.2.3"), t00200011=_values("IS", "007"),
    t00400275=_values("SQ", {"00400009": _values("SH", "S1"), "00401001": _values("SH", "R2")}),
)  # fmt: skip
C = a_dataset(3, t00100010={"vr": "PN"}, t00080060={"vr": "CS"}, t00080021=_values("DA", "20240302"))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with an_index(tmp_path_factory.mktemp("index")) as db:
        db.write(lambda tx: [composite.register(tx, facts(ds)) for ds in (A, B, C)])
        yield db


@pytest.fixture(scope="module")
def model() -> Model:
    model = Model()
    for ds in (A, B, C):
        model.register(ds)
    return model


def _match(tag: int, raw: str) -> Match:
    found = match_from_text(tag, raw)
    assert found is not None
    return found


def _sequence(**items: str) -> Match:
    tags = {"step": STEP, "requested": REQUESTED, "study": 0x0020000D}
    return Match(REQUESTS, MatchKind.SEQUENCE, items=tuple(_match(tags[name], raw) for name, raw in items.items()))


UNPARSED = Match(DATE, MatchKind.SINGLE_VALUE, ("none",))
CASES = [
    (_match(NAME, "yamada^tarou"), "A"),
    (_match(NAME, "山田*"), "A"),
    (_match(NAME, "yamada*=山田*=やまだ*"), "A"),
    (_match(NAME, "yamada*=鈴木*"), ""),
    (_match(NAME, "*=山田^太郎"), "A"),
    (_match(NAME, "d'ete-lefebvre^jean noel"), "B"),
    (_match(NAME, "*LEFEBVRE*"), "B"),
    (_match(NAME, "?amada*\\D'ÉTÉ*"), "AB"),
    (_match(NAME, '""'), "C"),
    (_match(DESCRIPTION, "50%_[a]"), "A"),
    (_match(DESCRIPTION, "50%*[a?"), "A"),
    (_match(DESCRIPTION, "50"), "B"),
    (_match(DESCRIPTION, "5?"), "B"),
    (_match(DESCRIPTION, "50\\x"), "B"),
    (_match(DESCRIPTION, '""'), "C"),
    (_match(DATE, "20240229"), "A"),
    (_match(DATE, "20240101-"), "A"),
    (_match(DATE, "-20240229"), "A"),
    (_match(DATE, "20240229\\20250101"), "A"),
    (_match(DATE, '""'), "C"),
    (UNPARSED, "B"),
    (Match(DATE, MatchKind.RANGE, ("none", "")), ""),
    (Match(DATE, MatchKind.RANGE, ("", "")), "A"),
    (_match(TIME, "10"), "A"),
    (_match(TIME, "0959-1000"), "A"),
    (_match(TIME, "1001-"), ""),
    (Match(TIME, MatchKind.SINGLE_VALUE, ("none",)), "B"),
    (_match(BIRTH, "19600101-19600101"), "A"),
    (_match(MODALITIES, "CT"), "A"),
    (_match(MODALITIES, "ct"), ""),
    (_match(MODALITIES, "CT\\MR"), "AB"),
    (_match(MODALITIES, "M*"), "B"),
    (_match(MODALITIES, '""'), "C"),
    (_match(CLASSES, "1.2.3"), "B"),
    (Match(CLASSES, MatchKind.EMPTY_VALUE), ""),
    (Match(0x0020000D, MatchKind.LIST_OF_UID, ("1.2.1", "1.2.3")), "AC"),
    (Match(0x0020000D, MatchKind.LIST_OF_UID), ""),
    (Match(NAME, MatchKind.WILD_CARD, ("**",)), "ABC"),
]
SERIES_CASES = [
    (_match(MODALITY, "MR"), "B"),
    (Match(MODALITY, MatchKind.SINGLE_VALUE, ("CT\\MR",)), ""),
    (_match(NUMBER, "7"), "B"),
    (_match(NUMBER, "1\\7"), "ABC"),
    (Match(NUMBER, MatchKind.EMPTY_VALUE), ""),
    (_match(SERIES_TIME, "235960"), "A"),
    (_sequence(step="S1"), "AB"),
    (_sequence(step="S1", requested="R2"), "B"),
    (_sequence(step="S*", requested="R?"), "B"),
    (_sequence(study="1.2.9"), ""),
    (Match(REQUESTS, MatchKind.SEQUENCE), "ABC"),
    (Match(REQUESTS, MatchKind.SEQUENCE, items=(Match(STEP, MatchKind.WILD_CARD, ("*",)),)), "AB"),
    (Match(REQUESTS, MatchKind.EMPTY_VALUE), "C"),
    (Match(REQUESTS, MatchKind.SINGLE_VALUE, ("x",)), ""),
]
FUZZY_CASES = [("noel lefeb", "B"), ("NOEL^D", "B"), ("tar yam", "A"), ("太郎", "A"), ("noel tarou", ""), ("^", "")]


def _found(db: Database, model: Model, query: Query) -> str:
    rows = identities(search.search(db, query).rows, query.level)
    assert rows == model.matching(query)
    return "".join(sorted("ABC"[int(row[0].split(".")[2]) - 1] for row in rows))


@pytest.mark.parametrize("few", [-1, 5000])
@pytest.mark.parametrize(("match", "expected"), CASES)
def test_studies(
    db: Database, model: Model, match: Match, expected: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "FEW", few)
    monkeypatch.setattr(bearers, "MANY_NAMES", few)
    assert _found(db, model, Query(Level.STUDY, (match,))) == expected
    assert _found(db, model, Query(Level.IMAGE, (match,))) == expected


@pytest.mark.parametrize("few", [-1, 5000])
@pytest.mark.parametrize(("match", "expected"), SERIES_CASES)
def test_series(
    db: Database, model: Model, match: Match, expected: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "FEW", few)
    monkeypatch.setattr(bearers, "MANY_NAMES", few)
    assert _found(db, model, Query(Level.SERIES, (match,))) == expected


@pytest.mark.parametrize(("raw", "expected"), FUZZY_CASES)
def test_fuzzy_names(db: Database, model: Model, raw: str, expected: str) -> None:
    match = Match(NAME, MatchKind.SINGLE_VALUE, (raw,))
    assert _found(db, model, Query(Level.STUDY, (match,), fuzzy=True)) == expected


@pytest.mark.parametrize(
    ("date", "time", "apart", "together"),
    [
        ("20240228-20240301", "09-11", "A", "A"),
        ("20240228-20240301", "11-12", "", "A"),
        ("20240229-20240229", "11-12", "", ""),
        ("20240101-", "11-", "", "A"),
        ("-20240229", "-09", "", ""),
    ],
)
def test_a_date_and_a_time_range_together_are_one_range(
    db: Database, model: Model, date: str, time: str, apart: str, together: str
) -> None:
    """PS3.4 C.2.2.2.5.4"""
    matches = (_match(DATE, date), _match(TIME, time))
    assert _found(db, model, Query(Level.STUDY, matches)) == apart
    assert _found(db, model, Query(Level.STUDY, matches, combined_date_time=True)) == together


def test_a_joined_range_of_a_series_reaches_over_midnight(db: Database, model: Model) -> None:
    matches = (_match(SERIES_DATE, "20240301-20240302"), Match(SERIES_TIME, MatchKind.RANGE, ("23", "01")))
    assert _found(db, model, Query(Level.SERIES, matches, combined_date_time=True)) == "AC"


def test_an_instance_by_its_class(db: Database, model: Model) -> None:
    assert _found(db, model, Query(Level.IMAGE, (_match(CLASS, "1.2.3\\1.2.4"),))) == "B"


def test_wild_cards_inside_a_sequence_are_refused_where_the_vr_has_none(db: Database) -> None:
    wild = Match(0x0020000D, MatchKind.WILD_CARD, ("1.2*",))
    with pytest.raises(InvalidRequest):
        search.search(db, Query(Level.SERIES, (Match(REQUESTS, MatchKind.SEQUENCE, items=(wild,)),)))


def test_only_names_of_our_own_are_put_into_sql() -> None:
    assert fill("{} = {}", "s.patient_id", Fragment("?", ("x",))) == Fragment("s.patient_id = ?", ("x",))
    for hostile in ("a b", "s.x; --", "1=1", "s.x)"):
        with pytest.raises(AssertionError):
            fill("{}", hostile)
