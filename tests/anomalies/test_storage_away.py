"""A disk that is not there: objects are neither taken beside it nor said to be none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.object_server import chosen
from fixtures.served import ONE_BEHIND_EACH_DOOR, Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually

pytestmark = pytest.mark.skipif(chosen() != "local", reason="it is a folder")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, **ONE_BEHIND_EACH_DOOR)
    served.wait_until_ready()
    yield served
    put_away(served)


@pytest.mark.parametrize("replace", [False, True])
def test_a_storage_that_goes_away_takes_nothing_and_has_lost_nothing(node: Served, replace: bool) -> None:
    visitor = Visitor(node.dimse_port, node.web_port)
    assert [visitor.store(door) for door in ("dimse", "web")] == ["0000", "200"]
    objects = node.folder / "data" / "objects"
    objects.rename(objects.with_name("away"))
    if replace:
        objects.mkdir()
    assert [visitor.store(door) for door in ("dimse", "web")] == ["A700", "507"]
    assert eventually(lambda: not node.is_ready())
    status, body = visitor.get("/health/ready")
    assert (status, json.loads(body)["parts"]["storage"]) == (503, False)
    for uid in visitor.acknowledged:
        found = f"/dicom-web/instances?SOPInstanceUID={uid}"
        assert visitor.get(found)[0] == 200
    assert visitor.get(f"/dicom-web/studies/{visitor.study}")[0] == 503
    assert not objects.exists() or not any(objects.iterdir())
    if replace:
        objects.rmdir()
    objects.with_name("away").rename(objects)
    assert eventually(node.is_ready)
    assert visitor.store("dimse") == "0000"
    assert visitor.fetch_all()


def test_a_node_does_not_start_on_an_empty_folder_where_its_index_names_objects(node: Served) -> None:
    visitor = Visitor(node.dimse_port, node.web_port)
    assert visitor.store("dimse") == "0000"
    node.process.terminate()
    assert node.process.wait(60) == 0
    objects = node.folder / "data" / "objects"
    objects.rename(objects.with_name("away"))
    node.process = node._started()
    assert node.process.wait(60) != 0
    assert "holds none: is it mounted" in node.errors.read_text()
    objects.rename(objects.with_name("empty"))
    objects.with_name("away").rename(objects)
    node.process = node._started()
    node.wait_until_ready()
    assert Visitor(node.dimse_port, node.web_port).store("dimse") == "0000"
