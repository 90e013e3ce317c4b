"""TLS at the web door (PS3.15 B.12, PS3.18 8.1): dicomweb-client, curl and openssl as the other end."""

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from dicomweb_client import DICOMwebClient

from fixtures import certificates
from fixtures.builders import a_ct
from fixtures.certificates import Identity, World
from fixtures.giant import a_giant
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais.config import load
from relais.node.inline import Node

pytestmark = pytest.mark.anywhere("is about TLS")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


def served(folder: Path, world: World, **more: str) -> Served:
    files = {"TLS_CERTIFICATE": str(world.node.certificate), "TLS_KEY": str(world.node.key), **more}
    node = Served(folder, **{f"RELAIS_WEB__{name}": value for name, value in files.items()})
    try:
        node.wait_until_ready()
    except BaseException:
        put_away(node)
        raise
    return node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    made = served(tmp_path_factory.mktemp("node"), world)
    yield made
    put_away(made)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    """A node that lets nobody in who shows no certificate."""
    made = served(tmp_path_factory.mktemp("guarded"), world, TLS_CA=str(world.ca.certificate))
    yield made
    put_away(made)


def as_whom(world: World, who: Identity | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # else the authorities of the environment count instead of ours
    session.verify = str(world.ca.certificate)
    session.cert = (str(who.certificate), str(who.key)) if who else None
    return session


def handshake(node: Served, world: World, version: ssl.TLSVersion, ciphers: str = "") -> tuple[str, str]:
    """The version and the suite that were agreed on."""
    context = ssl.create_default_context(cafile=str(world.ca.certificate))
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", node.web_port), timeout=120) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        agreed = secured.cipher()
    assert agreed is not None
    return agreed[1], agreed[0]


def test_a_dicomweb_client_stores_and_retrieves_over_https(node: Served, world: World) -> None:
    client = DICOMwebClient(f"{node.url}/dicom-web", session=as_whom(world, None))
    ds = a_ct()
    client.store_instances([ds])
    (found,) = client.search_for_instances(search_filters={"SOPInstanceUID": ds.SOPInstanceUID})
    url = found["00081190"]["Value"][0]
    assert urlsplit(url).scheme == "https"
    assert urlsplit(url).port == node.web_port
    uids = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
    assert client.retrieve_instance(*uids).PixelData == ds.PixelData


def test_it_says_that_it_is_ready_and_its_urls_are_secure(node: Served, world: World) -> None:
    assert node.url.startswith("https://")
    session = as_whom(world, None)
    assert session.get(f"{node.url}/health/ready").json()["status"] == "ready"
    assert session.get(f"{node.url}/").ok


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_two_newest_versions_are_spoken(node: Served, world: World, version: ssl.TLSVersion) -> None:
    spoken, suite = handshake(node, world, version)
    assert spoken == version.name.replace("_", ".")
    assert "AES_256_GCM" in suite.replace("-", "_").replace("AES256", "AES_256")


@pytest.mark.parametrize(
    "ciphers", ["AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384", "AES128-SHA"]
)
def test_suites_without_forward_secrecy_or_authenticated_encryption_are_refused(
    node: Served, world: World, ciphers: str
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(node, world, ssl.TLSVersion.TLSv1_2, ciphers)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(node: Served, version: str) -> None:
    at = ("-connect", f"127.0.0.1:{node.web_port}")
    ran = subprocess.run(
        ["openssl", "s_client", *at, version, "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, check=False
    )
    assert ran.returncode != 0
    assert b"Cipher is (NONE)" in ran.stdout


def test_who_does_not_speak_tls_hears_nothing_and_others_go_on(node: Served, world: World) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{node.web_port}/health/live", timeout=120)
    assert as_whom(world, None).get(f"{node.url}/health/live").ok


def test_who_does_not_know_the_authority_does_not_go_on(node: Served) -> None:
    ran = subprocess.run(["curl", "-sS", f"{node.url}/health/live"], capture_output=True, check=False)
    assert ran.returncode == 60, ran.stderr  # curl's number for a certificate that nobody vouches for


def test_a_hundred_stalled_handshakes_hold_up_nobody_and_are_closed(node: Served, world: World) -> None:
    with ExitStack() as keep:
        stalled = [keep.enter_context(socket.create_connection(("127.0.0.1", node.web_port))) for _ in range(100)]
        for number, member in enumerate(stalled):
            member.sendall(b"\x16\x03\x01"[: number % 4])
        began = time.monotonic()
        for _ in range(5):
            assert as_whom(world, None).get(f"{node.url}/health/live").ok
        assert time.monotonic() - began < 20  # less than anybody is waited for
        for member in stalled:
            member.settimeout(120)
            assert member.recv(10) == b""


def test_slow_uploads_and_readers_are_cut_off_here_too(tmp_path: Path, world: World) -> None:
    """What the kernel counts is TLS, not the bodies inside; that is near enough."""
    limits = {"MIN_UPLOAD_RATE": str(2**16), "MIN_DOWNLOAD_RATE": str(2**18), "STALL_TIMEOUT_S": "2"}
    node = served(tmp_path, world, WORKERS="1", THREADS="8", **limits)
    try:
        giant = a_giant(20)
        assert giant.c_store(node.dimse_port) == 0
        context = ssl.create_default_context(cafile=str(world.ca.certificate))
        with ExitStack() as keep:
            plain = (socket.create_connection(("127.0.0.1", node.web_port), 120) for _ in range(2))
            secured = (context.wrap_socket(one, server_hostname="127.0.0.1") for one in plain)
            upload, reader = (keep.enter_context(one) for one in secured)
            upload.sendall(
                b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
                b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n\r\n--b\r\n'
            )
            study = f"GET /dicom-web/studies/{giant.study_instance_uid} HTTP/1.1\r\nHost: localhost\r\n"
            reader.sendall(f"{study}Accept: application/zip;transfer-syntax=*\r\n\r\n".encode())
            assert upload.recv(4096).startswith(b"HTTP/1.1 408 ")
            log = Path(node.errors)
            assert eventually(lambda: "answer cut off" in log.read_text(), 120)
            assert eventually(lambda: "upload cut off" in log.read_text(), 120)
    finally:
        put_away(node)


def test_only_who_shows_a_certificate_of_the_authority_gets_in_where_there_is_one(
    guarded: Served, world: World
) -> None:
    assert as_whom(world, world.modality).get(f"{guarded.url}/dicom-web/studies").json() == []
    for who in (None, world.stranger):
        with pytest.raises(requests.ConnectionError):
            as_whom(world, who).get(f"{guarded.url}/health/live")
    assert as_whom(world, world.modality).get(f"{guarded.url}/health/ready").json()["status"] == "ready"


def test_the_key_may_be_given_as_text_and_stays_out_of_sight(tmp_path: Path, world: World) -> None:
    node = served(tmp_path, world, TLS_KEY=world.node.key.read_text())
    try:
        assert as_whom(world, None).get(f"{node.url}/health/live").ok
        assert not [pid for pid in node.pids() if b"PRIVATE KEY" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    finally:
        put_away(node)


def test_the_key_may_stand_in_the_certificates_file(tmp_path: Path, world: World) -> None:
    both = tmp_path / "both.pem"
    both.write_text(world.node.certificate.read_text() + world.node.key.read_text())
    node = served(tmp_path, world, TLS_CERTIFICATE=str(both), TLS_KEY="")
    try:
        assert as_whom(world, None).get(f"{node.url}/health/live").ok
    finally:
        put_away(node)


def test_a_new_certificate_counts_when_the_node_is_started_again(tmp_path: Path, world: World) -> None:
    other = certificates.identity(tmp_path, "renewed", world.ca)
    certificate, key = tmp_path / "node.pem", tmp_path / "node.key"
    shown = []
    for identity in (world.node, other):
        certificate.write_bytes(identity.certificate.read_bytes())
        key.write_bytes(identity.key.read_bytes())
        node = served(tmp_path, world, TLS_CERTIFICATE=str(certificate), TLS_KEY=str(key))
        shown.append(ssl.get_server_certificate(("127.0.0.1", node.web_port)).strip())
        assert node.stop() == 0
    assert [text.splitlines()[1] for text in shown] == [
        pem.certificate.read_text().splitlines()[1] for pem in (world.node, other)
    ]
    assert shown[0] != shown[1]


def test_a_node_in_this_process_speaks_it_too(tmp_path: Path, world: World) -> None:
    written = tmp_path / "relais.toml"
    files = f'tls_certificate = "{world.node.certificate}"\ntls_key = "{world.node.key}"'
    written.write_text(f'[node]\ndata_dir = "{tmp_path}/data"\n[dimse]\nport = 0\n[web]\nport = 0\n{files}\n')
    with Node(load(written, {}).config) as node:
        assert node.url.startswith("https://")
        assert as_whom(world, None).get(f"{node.url}/health/ready").json()["status"] == "ready"
