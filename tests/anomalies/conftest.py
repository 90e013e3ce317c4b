"""An object store that fails when told to, and a store of ours behind it; a PostgreSQL that may be stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.faulty import Faulty, faulty
from fixtures.object_server import ObjectServer
from fixtures.objects import a_store
from fixtures.postgres import PostgresServer
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


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of a module's own: one that syncs, and may be stopped or killed."""
    server = PostgresServer(durable=True)
    yield server
    server.remove()
