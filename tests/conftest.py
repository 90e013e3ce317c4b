"""What holds for all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from fixtures import engines
from fixtures.object_server import ObjectServer, chosen, shared

# A busy machine is slow now and then; how long one example takes says nothing.
settings.register_profile("relais", deadline=None)
settings.load_profile("relais")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the objects are in S3 there are no files to lay hands on."""
    if chosen() == "s3":
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("files")])
        items[:] = [item for item in items if not item.get_closest_marker("files")]


@pytest.fixture(scope="session")
def object_server() -> ObjectServer:
    """A real object store, started for whoever asks first."""
    return shared()


@pytest.fixture(scope="module", autouse=True)
def _databases_go_with_their_module() -> Iterator[None]:
    yield
    engines.drop_unused()
