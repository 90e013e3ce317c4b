"""A certificate shown to a balancer is a user of the web door (RFC 9440): HAProxy, and requests as callers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from fixtures import certificates, haproxy
from fixtures.builders import a_ct, part10
from fixtures.certificates import Identity, World
from fixtures.served import Served, put_away
from relais.access.tokens import digest, make

pytestmark = pytest.mark.anywhere("is about who calls")

GUIDE = Path(__file__).parents[2] / "docs/operator-guide.md"
SECRET = make()
SETTINGS = """
[access]
mode = "enforced"

[web]
proxies = ["127.0.0.1"]
proxied_certificates = true

[[tokens]]
name = "modality"
certificates = ["CN=modality"]
may = ["store", "search"]

[[tokens]]
name = "rosa"
sha256 = "{sha256}"
certificates = ["CN=modality"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("node")
    (folder / "conf").mkdir()
    (folder / "conf/relais.toml").write_text(SETTINGS.format(sha256=digest(SECRET)))
    made = Served(folder)
    try:
        made.wait_until_ready()
        yield made
    finally:
        put_away(made)


@pytest.fixture(scope="module")
def balancer(node: Served, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lines of the operator guide before *node*; its URL."""
    with before(node, world, tmp_path_factory.mktemp("haproxy")) as url:
        yield url


@contextmanager
def before(node: Served, world: World, folder: Path) -> Iterator[str]:
    (folder / "node.pem").write_text(world.node.certificate.read_text() + world.node.key.read_text())
    (folder / "ca.pem").write_text(world.ca.certificate.read_text())
    frontend = GUIDE.read_text().partition("# HAProxy\n")[2].partition("```")[0]
    frontend = frontend.replace("/etc/haproxy/node.pem", str(folder / "node.pem"))
    frontend = frontend.replace("/etc/haproxy/hospital-ca.pem", str(folder / "ca.pem"))
    times = "".join(f"    timeout {name} 30s\n" for name in ("connect", "client", "server"))
    backend = f"backend web_nodes\n    mode http\n    server node 127.0.0.1:{node.web_port}\n"
    text = f"defaults\n{times}\n{frontend}\n{backend}"
    with haproxy.running(lambda port: text.replace("bind :8443", f"bind 127.0.0.1:{port}"), folder) as port:
        yield f"https://127.0.0.1:{port}/dicom-web/studies"


def session(world: World, who: Identity | None) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.verify = str(world.ca.certificate)
    made.cert = (str(who.certificate), str(who.key)) if who else None
    return made


def forged(world: World) -> dict[str, str]:
    lines = world.modality.certificate.read_text().partition("-----BEGIN CERTIFICATE-----")[2]
    return {"Client-Cert": ":" + "".join(lines.partition("-----END")[0].split()) + ":"}


def test_who_shows_a_certificate_may_what_its_user_may(balancer: str, node: Served, world: World) -> None:
    modality = session(world, world.modality)
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + part10(a_ct()) + b"\r\n--x--\r\n"
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    stored = modality.post(balancer, data=body, headers=kind, timeout=120)
    assert stored.status_code == 200
    (found,) = modality.get(balancer, timeout=120).json()
    assert modality.get(f"{balancer}/{found['0020000D']['Value'][0]}", timeout=120).status_code == 404, "no retrieve"
    assert "user=modality" in node.errors.read_text()


def test_who_shows_none_is_asked_for_a_token(balancer: str, world: World) -> None:
    for who in (None, world.node):
        answer = session(world, who).get(balancer, timeout=120)
        assert answer.status_code == 401
        assert "WWW-Authenticate" in answer.headers
    with pytest.raises(requests.exceptions.SSLError):
        session(world, world.stranger).get(balancer, timeout=120)


def test_a_certificate_in_a_header_field_of_the_caller_is_nobody_s(balancer: str, world: World) -> None:
    """hardening.md 6, 11: the balancer takes it away."""
    assert session(world, None).get(balancer, headers=forged(world), timeout=120).status_code == 401


def test_a_token_that_asks_for_a_certificate_too_is_not_enough(balancer: str, world: World) -> None:
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert session(world, world.modality).get(balancer, headers=bearer, timeout=120).status_code == 200
    assert session(world, None).get(balancer, headers=bearer, timeout=120).status_code == 403


def test_a_node_that_does_not_ask_its_balancers_for_certificates_believes_none(tmp_path: Path, world: World) -> None:
    """Mallory knows the certificate of the modality: it is no secret."""
    (tmp_path / "conf").mkdir()
    text = SETTINGS.format(sha256=digest(SECRET)).replace("proxied_certificates = true\n", "")
    (tmp_path / "conf/relais.toml").write_text(
        text.replace('certificates = ["CN=modality"]\n', "", 2).replace(
            'name = "modality"\n', f'name = "modality"\nsha256 = "{digest(make())}"\n'
        )
    )
    node = Served(tmp_path)
    try:
        node.wait_until_ready()
        assert requests.get(f"{node.url}/dicom-web/studies", headers=forged(world), timeout=120).status_code == 401
    finally:
        put_away(node)
