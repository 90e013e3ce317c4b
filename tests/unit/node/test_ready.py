"""Whether the node says that it is ready when it is, and only then."""

import logging
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from fixtures import certificates
from fixtures import upper_layer as ul
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.waiting import eventually
from relais.config import Config, load
from relais.dimse.settings import DimseSettings
from relais.errors import Unavailable
from relais.node import compose, ready


def ask(node: DimseNode, port: int, **settings: str) -> None:
    """Ask the DIMSE door at *port* as /health/ready does."""
    config = Config(dimse=DimseSettings(port=port, **settings))  # type: ignore[arg-type]
    ready.checks(config, node.archive)["dimse"]()


def test_a_door_is_asked_without_a_word_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "relais")
    with dimse_node(tmp_path) as node:
        ask(node, node.port)
        assert eventually(lambda: "outcome=released" in caplog.text, 120)
    assert [record.levelname for record in caplog.records if "outcome=" in record.getMessage()] == ["DEBUG"]


def test_a_full_door_is_ready(tmp_path: Path) -> None:
    """It answers that there is no room: that is an answer."""
    with dimse_node(tmp_path, max_associations=1) as node, ul.associate(node.port, ul.associate_rq()):
        for _ in range(3):
            ask(node, node.port)


@pytest.mark.parametrize("client", ["none", "optional", "required"])
def test_a_door_with_tls_is_ready_and_a_full_one_too(tmp_path: Path, client: str) -> None:
    settings = certificates.door(certificates.world(tmp_path), client)
    with dimse_node(tmp_path / "node", max_associations=1, **settings) as node:
        ask(node, node.port, **settings)


@pytest.mark.parametrize("has_tls", [False, True])
def test_a_door_that_only_listens_is_not_ready(tmp_path: Path, has_tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process has died, and its supervisor holds the port."""
    monkeypatch.setattr(ready, "ECHO_TIMEOUT_S", 0.2)
    settings = certificates.door(certificates.world(tmp_path)) if has_tls else {}
    with ExitStack() as keep, dimse_node(tmp_path / "node") as node:
        nobody = keep.enter_context(socket.create_server(("127.0.0.1", 0)))
        with pytest.raises(Unavailable, match="does not answer"):
            ask(node, nobody.getsockname()[1], **settings)


@pytest.mark.parametrize("replace", [False, True])
def test_an_index_that_was_removed_or_replaced_under_the_node_is_not_ready(tmp_path: Path, replace: bool) -> None:
    """Who has it open can still read and write it, and nobody else ever will."""
    environ = {"RELAIS_NODE__DATA_DIR": str(tmp_path / "data")}
    (tmp_path / "empty.toml").touch()
    config = load(tmp_path / "empty.toml", environ).config
    with compose.archive_of(config) as archive:
        ready.checks(config, archive)["index"]()
        index = ready.checks(config, archive)["index"]
        config.index.path.rename(tmp_path / "elsewhere")
        if replace:
            config.index.path.touch()
        with pytest.raises(Unavailable, match="start the node again"):
            index()
