"""Traps that no other test proves whole (tests/conformance/data/traps.toml has the list)."""

from collections.abc import Iterator

import pytest

from fixtures.builders import a_series, part10, uid
from fixtures.web import WebNode, parts_of, web_node

STUDY, SERIES = uid("trap"), uid("trap series")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("traps")) as node:
        yield node


def test_a_store_without_failures_has_no_sequence_of_failures(web: WebNode) -> None:
    """Trap 14."""
    instances = a_series(3, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    answer = web.store(*instances).json()
    assert len(answer["00081199"]["Value"]) == 3
    assert {"00081198", "0008119A"}.isdisjoint(answer)
    broken = web.store(instances[0], part10(instances[1])[:-100]).json()
    (failed,) = broken["00081198"]["Value"]
    assert isinstance(failed["00081197"]["Value"][0], int)


def test_every_part_of_a_study_says_where_it_is(web: WebNode) -> None:
    """Trap 11: and there it is."""
    web.store(*a_series(3, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES))
    for path in (f"/studies/{STUDY}", f"/studies/{STUDY}/series/{SERIES}"):
        parts = parts_of(web.get(path))
        assert len(parts) >= 3
        for headers, content in parts:
            assert headers["Content-Type"].startswith("application/dicom; transfer-syntax=")
            location = headers["Content-Location"].removeprefix(web.service)
            assert web.get(location, "application/dicom").content == content
