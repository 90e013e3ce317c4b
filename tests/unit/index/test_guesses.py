"""On PostgreSQL the server's guess tells where too many rows bear a label to list them. A guess changes no answer."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from fixtures.engines import POSTGRESQL
from fixtures.indexed import a_dataset, an_index, facts
from relais.db.database import Database
from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.index import candidates, composite, ids, search

STUDIES = 40
WOMEN = Match(0x00100040, MatchKind.SINGLE_VALUE, ("F",))
ONE_HOUR = Match(0x00080030, MatchKind.RANGE, ("100000", "105959"))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Studies of women, one of them between ten and eleven, of which the server has its statistics."""
    with an_index(tmp_path, POSTGRESQL) as db:
        for study in range(STUDIES):
            time = {"vr": "TM", "Value": ["101112" if study == 7 else "121314"]}
            said = {"t00100040": {"vr": "CS", "Value": ["F"]}, "t00080030": time}
            db.write(lambda tx, study=study, said=said: composite.register(tx, facts(a_dataset(study, **said))))
        db.write(lambda tx: tx.execute("ANALYZE study_label"))
        yield db


def _are_listed(db: Database, match: Match) -> bool:
    with db.read() as connection:
        return candidates.by_labels(connection, Level.STUDY, [match]) is not None


def test_what_the_server_knows_to_be_frequent_is_not_listed(db: Database) -> None:
    assert _are_listed(db, WOMEN)
    with patch.object(ids, "FEW", STUDIES // ids.SURE // 2):
        assert not _are_listed(db, WOMEN)
        assert _are_listed(db, ONE_HOUR)


@pytest.mark.parametrize(("match", "count"), [(WOMEN, STUDIES), (ONE_HOUR, 1)])
@pytest.mark.parametrize("few", [0, 5, 5000])
def test_whatever_it_guesses_all_are_found(db: Database, match: Match, count: int, few: int) -> None:
    with patch.object(ids, "FEW", few):
        assert len(search.search(db, Query(Level.STUDY, (match,))).rows) == count
