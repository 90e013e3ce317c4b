"""What holds for all tests."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from fixtures import engines, places
from fixtures.object_server import ObjectServer, shared
from relais.storage.s3 import presence

# A busy machine is slow now and then; how long examples take says nothing. CI always draws the same ones: others are
# drawn by all other runs, so that who is told of a new mistake is who can mend it.
settings.register_profile(
    "relais", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("relais")

# The object store of the tests is one process: one that answers late is not away.
presence.ANSWER_S = 60.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the index or the objects lie elsewhere, only tests run that say something of them."""
    chosen = [item for item in items if places.is_concerned(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keeps for `.ci/again` how the whole ended: with 1 tests failed, and all ran."""
    if hasattr(session.config, "workerinput"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("failed", []) if reporter else []
    has_crashed = any(report.when == "???" for report in reports)  # a process of pytest-xdist, with tests not yet run
    if (cache := getattr(session.config, "cache", None)) is not None:  # there is none with "-p no:cacheprovider"
        cache.set("relais/ended", "crashed" if has_crashed else int(exitstatus))


@pytest.fixture(scope="session")
def object_server() -> ObjectServer:
    """A real object store, started for whoever asks first."""
    return shared()


@pytest.fixture(scope="module", autouse=True)
def _databases_go_with_their_module() -> Iterator[None]:
    yield
    engines.drop_unused()
