"""TLS on the DIMSE port (PS3.15 B.12): DCMTK as the other end, and those who do not speak it."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from fixtures import certificates, dcmtk
from fixtures.builders import a_multiframe, a_series, part10
from fixtures.certificates import World, as_whom, door
from fixtures.dimse_node import ENGINE, DimseNode, dimse_node
from fixtures.places import node_environ
from fixtures.waiting import eventually
from relais.config import load
from relais.dimse.settings import DimseSettings
from relais.node.inline import Node

pytestmark = pytest.mark.anywhere("is about TLS")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def node(tmp_path: Path, world: World) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node", **door(world)) as node:
        yield node


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [*a_series(3), a_multiframe(rows=256, columns=256, frames=20)]
    paths = [tmp_path / f"{number}.dcm" for number in range(len(made))]
    for path, ds in zip(paths, made, strict=True):
        path.write_bytes(part10(ds))
    return paths


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_dcmtk_stores_with_each_of_its_profiles(node: DimseNode, world: World, files: list[Path], profile: str) -> None:
    ran = dcmtk.storescu(node.port, files, *as_whom(world.modality, world.ca), profile)
    assert ran.statuses == [0] * 4
    assert node.instances == 4


def test_a_caller_needs_no_certificate_unless_it_is_asked_for(node: DimseNode, world: World) -> None:
    assert dcmtk.echoscu(node.port, "+tla", "+cf", world.ca.certificate).code == 0


@pytest.mark.parametrize(("who", "code"), [("modality", True), ("stranger", False), (None, False)])
def test_a_certificate_is_required_where_that_is_configured(
    tmp_path: Path, world: World, who: str | None, code: bool
) -> None:
    options = as_whom(getattr(world, who), world.ca) if who else ("+tla", "+cf", world.ca.certificate)
    with dimse_node(tmp_path / "node", **door(world, "required")) as node:
        assert (dcmtk.echoscu(node.port, *options).code == 0) is code


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_two_newest_versions_are_spoken_with_suites_of_the_profile(
    node: DimseNode, world: World, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=str(world.ca.certificate))
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", node.port))
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
        chosen = secured.cipher()
    assert chosen is not None
    assert "GCM" in chosen[0] or "CHACHA20" in chosen[0]


def test_suites_without_forward_secrecy_are_refused(node: DimseNode, world: World) -> None:
    context = ssl.create_default_context(cafile=str(world.ca.certificate))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-GCM-SHA384:AES128-SHA")
    with socket.create_connection(("127.0.0.1", node.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_who_does_not_speak_tls_is_closed_and_others_go_on(node: DimseNode, world: World) -> None:
    assert dcmtk.echoscu(node.port).code != 0
    assert dcmtk.echoscu(node.port, *as_whom(world.modality, world.ca)).code == 0


@pytest.mark.skipif(ENGINE == "stock", reason="says so in other words")
@pytest.mark.parametrize(("who", "why"), [("stranger", "certificate"), (None, "HTTP|WRONG|UNSUPPORTED|RECORD")])
def test_the_log_says_who_got_no_further_than_the_handshake_but_not_that_we_asked_ourselves(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture, who: str | None, why: str
) -> None:
    context = ssl.create_default_context(cafile=str(world.ca.certificate))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with dimse_node(tmp_path / "node", **door(world, "required")) as node:
        plain = socket.create_connection(("127.0.0.1", node.port))
        with pytest.raises(ssl.SSLError, match="ALERT"):
            context.wrap_socket(plain, server_hostname="127.0.0.1")
        assert dcmtk.echoscu(node.port, *(as_whom(getattr(world, who), world.ca) if who else ())).code != 0
        assert eventually(lambda: "no welcome" in caplog.text, 120)
    [line] = [line for line in caplog.messages if "no welcome" in line]
    assert "address=127.0.0.1" in line
    assert re.search(why, line)


def test_fifty_stalled_handshakes_hold_up_nobody(node: DimseNode, world: World) -> None:
    with ExitStack() as keep:
        for number in range(50):
            stalled = keep.enter_context(socket.create_connection(("127.0.0.1", node.port)))
            stalled.sendall(b"\x16\x03\x01" if number % 2 else b"\x16")
        started = time.monotonic()
        for _ in range(3):
            assert dcmtk.echoscu(node.port, *as_whom(world.modality, world.ca)).code == 0
        assert time.monotonic() - started < 18  # less than anybody is waited for


@pytest.mark.skipif(ENGINE == "stock", reason="has a thread for each, however many")
def test_handshakes_that_take_all_threads_keep_out_nobody(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whom a time limit would help only much later: the oldest make room for those who come."""
    monkeypatch.setattr("relais.dimse.server.SILENT_CONNECTIONS", 20)
    with (
        dimse_node(tmp_path / "node", max_associations=2, acse_timeout_s=1000, **door(world)) as node,
        ExitStack() as keep,
    ):
        for _ in range(22):
            stalled = keep.enter_context(socket.create_connection(("127.0.0.1", node.port)))
            stalled.sendall(b"\x16")
        assert eventually(lambda: sum(thread.name == "dimse" for thread in threading.enumerate()) == 22)
        assert eventually(lambda: dcmtk.echoscu(node.port, *as_whom(world.modality, world.ca)).code == 0, 120)
    assert "no thread" in caplog.text


def test_a_stalled_handshake_ends(tmp_path: Path, world: World) -> None:
    with (
        dimse_node(tmp_path / "node", acse_timeout_s=1, **door(world)) as node,
        socket.create_connection(("127.0.0.1", node.port), timeout=120) as stalled,
    ):
        stalled.sendall(b"\x16\x03")
        assert stalled.recv(100) == b""


def test_a_key_may_be_given_as_text(tmp_path: Path, world: World) -> None:
    given = door(world) | {"tls_key": world.node.key.read_text()}
    with dimse_node(tmp_path / "node", **given) as node:
        assert dcmtk.echoscu(node.port, "+tla", "+cf", world.ca.certificate).code == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tls_certificate": "missing.pem"}, "tls_certificate missing.pem and its key cannot be used: no such file"),
        ({"tls_key": ""}, "cannot be used"),
        ({"tls_client": "required", "tls_ca": ""}, "tls_client needs"),
        ({"tls_client": "optional", "tls_ca": __file__}, "tls_ca .* cannot be used"),
    ],
)
def test_what_cannot_be_used_is_told_before_the_start(world: World, change: dict[str, str], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        DimseSettings(**(door(world) | change))  # type: ignore[arg-type]


def test_a_node_with_tls_is_ready(tmp_path: Path, world: World) -> None:
    given = {f"RELAIS_DIMSE__{key.upper()}": value for key, value in door(world, "required").items()}
    (tmp_path / "empty.toml").touch()
    with Node(load(tmp_path / "empty.toml", node_environ(tmp_path / "data", **given)).config) as node:
        assert urlopen(f"{node.url}/health/ready", timeout=120).status == 200
