"""An object store that fails when told to, and a store of ours behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.faulty import Faulty, faulty
from fixtures.object_server import ObjectServer
from fixtures.objects import a_store
from relais.storage.s3.store import S3Store


@pytest.fixture
def door(object_server: ObjectServer) -> Iterator[Faulty]:
    with faulty(object_server) as door:
        yield door


@pytest.fixture
def store(door: Faulty, tmp_path: Path) -> Iterator[S3Store]:
    store = a_store(door, tmp_path)
    yield store
    door.heal()
    store.close()
