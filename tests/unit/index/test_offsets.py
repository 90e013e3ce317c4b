"""Offsets from UTC that studies tell: listed with each study, and afterwards where a program of before listed none."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from fixtures.indexed import a_dataset, an_index, facts, ref_of
from relais.db.database import Database, Transaction
from relais.dicom.json_model import JsonDataset
from relais.dicom.refs import StudyRef
from relais.index import catching_up, composite, offsets


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with an_index(tmp_path) as db:
        yield db


def _told(study: int, offset: str | None, series: int = 1) -> JsonDataset:
    said = {} if offset is None else {"t00080201": {"vr": "SH", "Value": [offset]}}
    return a_dataset(study, series, **said)


def _register(db: Database, *told: JsonDataset) -> None:
    db.write(lambda tx: [composite.register(tx, facts(one)) for one in told])


def _as_before(tx: Transaction) -> None:
    """What a program that lists no offsets leaves."""
    tx.execute("DELETE FROM utc_offset")
    tx.execute("UPDATE study SET present = present & ~4611686018427387904")


def test_the_statements_name_the_bits_of_the_rows() -> None:
    assert f"present & {offsets.TELLS}" in offsets.SQL["unread"]
    assert all(str(offsets.IS_LISTED) in offsets.SQL[name] for name in ("unread", "read"))


def test_every_offset_that_a_study_tells_is_known(db: Database) -> None:
    assert offsets.known(db) == frozenset()
    _register(db, _told(1, "+0100"), _told(2, None), _told(3, "-0330 "), _told(4, "+0100"), _told(5, "here"))
    assert offsets.known(db) == {60, -210}


def test_an_offset_that_a_later_instance_brings_is_known(db: Database) -> None:
    _register(db, _told(1, None))
    _register(db, _told(1, "+0200", series=2))
    assert offsets.known(db) == {120}


def test_what_a_program_of_before_wrote_is_read_step_by_step(db: Database) -> None:
    _register(db, *(_told(study, f"+0{study}00") for study in range(5)), _told(9, None))
    db.write(_as_before)
    with patch.object(catching_up, "STEP", 2):
        for _ in range(3):
            assert offsets.known(db) is None
            assert offsets.work(db)
    assert offsets.known(db) == {0, 60, 120, 180, 240}
    assert not offsets.work(db)


def test_an_offset_that_a_program_of_before_brings_to_a_listed_study_is_read(db: Database) -> None:
    """It writes a study that it makes anew without our bit, whatever was there."""
    _register(db, _told(1, "+0100"))
    ref = StudyRef(ref_of(_told(1, None)).study_instance_uid)

    def work(tx: Transaction) -> None:
        composite.remove(tx, ref)
        with patch.object(offsets, "mark", lambda tx, present, ds: present):
            composite.register(tx, facts(_told(1, "+0300")))

    db.write(work)
    assert offsets.known(db) is None
    assert offsets.work(db)
    assert offsets.known(db) == {60, 180}  # one that nobody tells any more only makes a search wider
