"""A whole node in this process."""

import json
import urllib.request
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.places import node_environ
from relais.config import Config, load
from relais.index import statistics
from relais.node import ready
from relais.node.inline import Node
from relais.node.samples import store_into_empty
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "empty.toml").touch()
    return load(tmp_path / "empty.toml", node_environ(tmp_path / "data")).config


def got(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.status, answer.read()


def test_both_doors_are_open_and_ready(config: Config) -> None:
    with Node(config) as node:
        DimsePeer(PeerSettings("node", "RELAIS", "127.0.0.1", node.config.dimse.port), "TEST").echo()
        assert got(f"{node.url}/health/live")[0] == 200
        status, body = got(f"{node.url}/health/ready")
        assert (status, json.loads(body)["status"]) == (200, "ready")
        assert got(f"{node.url}/")[0] == 200
        assert b"relais_http_requests_total" in got(f"{node.url}/metrics")[1]


def test_the_node_is_not_ready_without_its_dimse_door(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "GOOD_FOR_S", 0.0)
    monkeypatch.setattr(ready, "ECHO_TIMEOUT_S", 0.5)
    with Node(config) as node:
        checks = ready.checks(node.config, node.archive)
        checks["dimse"]()
        node._dimse.stop(0)
        with pytest.raises(Exception, match="own"):
            checks["dimse"]()


def test_two_nodes_live_in_one_process(config: Config, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()
    other = node_environ(tmp_path / "other")
    with Node(config) as north, Node(load(tmp_path / "empty.toml", other).config) as south:
        assert north.url != south.url
        assert got(f"{north.url}/health/ready")[0] == got(f"{south.url}/health/ready")[0] == 200


def test_absolute_urls_follow_the_public_url(config: Config, tmp_path: Path) -> None:
    environ = node_environ(tmp_path / "data", RELAIS_NODE__PUBLIC_URL="https://pacs.example.org/relais/")
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "one.dcm").write_bytes(part10(a_ct()))
    with Node(load(tmp_path / "empty.toml", environ).config) as node:
        store_into_empty(node.config, folder)
        own = f"http://127.0.0.1:{node.config.web.port}"
        (study,) = json.loads(got(f"{own}/dicom-web/studies")[1])
    assert study["00081190"]["Value"][0].startswith("https://pacs.example.org/relais/dicom-web/studies/")


def test_samples_are_stored_into_an_empty_archive_only(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    (folder / "deep").mkdir(parents=True)
    for number in range(3):
        (folder / "deep" / f"{number}.dcm").write_bytes(part10(a_ct()))
    (folder / "broken.dcm").write_bytes(b"not DICOM")
    (folder / "refused.dcm").write_bytes(part10(a_ct(StudyInstanceUID=None)))
    with Node(config) as node:
        assert store_into_empty(node.config, folder) == (
            f"Stored 3 sample instances from {folder} by C-STORE; 1 were refused."
        )
        assert statistics.statistics(node.archive.db).instances == 3
        assert store_into_empty(node.config, folder) == (
            "The archive holds 3 instances already: no samples were stored."
        )
