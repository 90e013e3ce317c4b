"""What a validator depends on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.engines import index_settings
from relais.db.database import Database, Transaction
from relais.errors import OutOfResources
from relais.index import portable
from relais.web import validators
from relais.web.validators import Validators

URL = "https://pacs.example.org"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = Database(index_settings(tmp_path))
    yield opened
    opened.close()


def test_it_is_the_same_in_every_process(db: Database) -> None:
    assert Validators(db, URL).of(1, "a") == Validators(db, URL).of(1, "a")


def test_it_is_another_for_another_revision_or_address(db: Database) -> None:
    made = Validators(db, URL)
    assert len({made.of(1, "a"), made.of(2, "a"), made.of(1, "b"), Validators(db, f"{URL}:8443").of(1, "a")}) == 4


def test_it_is_another_for_another_version(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Validators(db, URL).of(1)
    monkeypatch.setattr(validators, "__version__", "another")
    assert Validators(db, URL).of(1) != before


def test_an_index_that_was_set_back_has_others(db: Database) -> None:
    before = Validators(db, URL).of(1)
    portable.begin_anew(db, "another")
    assert Validators(db, URL).of(1) != before


def test_where_no_name_can_be_written_they_are_of_one_process(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps nobody from reading."""

    def full(*_: object) -> Transaction:
        raise OutOfResources

    made = Validators(db, URL)
    with monkeypatch.context() as patched:
        patched.setattr(db, "write", full)
        meanwhile = made.of(1)
        assert made.of(1) == meanwhile != Validators(db, URL).of(1)
    assert made.of(1) == Validators(db, URL).of(1) != meanwhile
