"""An empty archive for each test; the decoding processes serve them all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.node import make_archive
from relais.archive import Archive
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers


@pytest.fixture(scope="session")
def pixels() -> Iterator[PixelWorkers]:
    workers = PixelWorkers(PixelSettings())
    yield workers
    workers.close()


@pytest.fixture
def archive(tmp_path: Path, pixels: PixelWorkers) -> Iterator[Archive]:
    made = replace(make_archive(tmp_path), pixels=pixels)
    yield made
    made.db.close()
