"""An empty archive for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.node import close_archive, make_archive
from relais.archive import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path)
    yield made
    close_archive(made)
