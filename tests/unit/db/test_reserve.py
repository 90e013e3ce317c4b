"""The room beside the index: there while it is not needed, and only there."""

import os
from contextlib import closing
from pathlib import Path

from fixtures.engines import only_sqlite
from relais.db import copies, reserve
from relais.db.database import Database
from relais.db.settings import for_path

pytestmark = only_sqlite("what lies beside its file")


def test_the_reserve_is_made_with_the_index_and_again_when_it_was_given_up(tmp_path: Path) -> None:
    index, file = tmp_path / "index.sqlite", tmp_path / "index.sqlite.reserve"
    with closing(Database(for_path(index))):
        assert file.stat().st_blocks * 512 >= reserve.SIZE
        reserve.give_up(index)
        assert not file.exists()
    assert file.stat().st_size == reserve.SIZE
    assert file.stat().st_mode & 0o007 == 0
    os.truncate(file, 1)  # its maker was killed
    with closing(Database(for_path(index))):
        assert file.stat().st_size == reserve.SIZE


def test_an_index_that_stands_for_itself_has_none(tmp_path: Path) -> None:
    index = tmp_path / "index.sqlite"
    Database(for_path(index)).close()
    copies.seal(index)
    assert list(tmp_path.iterdir()) == [index]


def test_what_does_not_say_how_full_it_is_is_not_full(tmp_path: Path) -> None:
    assert not reserve.is_full(tmp_path)
    assert not reserve.is_full(tmp_path / "nothing")
