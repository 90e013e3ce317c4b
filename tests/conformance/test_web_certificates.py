"""A certificate shown to a balancer is a user of the web door (RFC 9440): HAProxy, and requests as callers."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from fixtures import certificates, haproxy
from fixtures.builders import a_ct, part10
from fixtures.certificates import Identity, World
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais.access.tokens import digest, make

pytestmark = pytest.mark.anywhere("is about who calls")

GUIDE = Path(__file__).parents[2] / "docs/operator-guide.md"
SECRET, FAR, NEAR = make(), make(), make()
SETTINGS = """
[access]
mode = "enforced"

[web]
proxies = ["127.0.0.1"]
certificate_field = "ClientCert"

[[tokens]]
name = "modality"
certificates = ["CN=modality"]
may = ["store", "search"]

[[tokens]]
name = "rosa"
sha256 = "{sha256}"
certificates = ["CN=modality"]

[[tokens]]
name = "far"
sha256 = "{far}"
networks = ["10.1.0.0/16"]

[[tokens]]
name = "near"
sha256 = "{near}"
networks = ["127.0.0.9"]
"""


def configured() -> str:
    return SETTINGS.format(sha256=digest(SECRET), far=digest(FAR), near=digest(NEAR))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("node")
    (folder / "conf").mkdir()
    (folder / "conf/relais.toml").write_text(configured())
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


class Elsewhere(HTTPAdapter):
    """Connections from another address than the balancer's."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, source_address=("127.0.0.9", 0), **options)


def elsewhere(world: World | None = None) -> requests.Session:
    """Of who has no certificate."""
    made = session(world, None) if world else requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, Elsewhere())
    return made


def forged(world: World, field: str = "ClientCert") -> dict[str, str]:
    lines = world.modality.certificate.read_text().partition("-----BEGIN CERTIFICATE-----")[2]
    return {field: ":" + "".join(lines.partition("-----END")[0].split()) + ":"}


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


@pytest.mark.parametrize(
    "field", ["ClientCert", "CLIENTCERT", "Client-Cert", "Client_Cert", "_ClientCert", "ClientCert_"]
)
def test_a_certificate_in_a_header_field_of_the_caller_is_nobody_s(balancer: str, world: World, field: str) -> None:
    """hardening.md 6, 11: the balancer takes it away."""
    for who in (None, world.node):
        assert session(world, who).get(balancer, headers=forged(world, field), timeout=120).status_code == 401


@pytest.mark.parametrize("field", ["Client_Cert", "Client-Cert", "Client_cert", "_ClientCert", "ClientCert_"])
def test_what_a_balancer_lets_through_by_another_spelling_is_nobody_s(node: Served, world: World, field: str) -> None:
    """To WSGI a hyphen and an underscore are one, so that a field with a hyphen would have several names."""
    url = f"{node.url}/dicom-web/studies"
    assert session(world, None).get(url, headers=forged(world), timeout=120).status_code == 200, "as a balancer says it"
    assert session(world, None).get(url, headers=forged(world, field), timeout=120).status_code == 401


def test_two_certificates_are_nobody_s(node: Served, world: World) -> None:
    (shown,) = forged(world).values()
    with closing(HTTPConnection("127.0.0.1", node.web_port, timeout=120)) as connection:
        connection.putrequest("GET", "/dicom-web/studies")
        for _ in range(2):
            connection.putheader("ClientCert", shown)
        connection.endheaders()
        assert connection.getresponse().status == 401


@pytest.mark.parametrize("field", ["X_Forwarded_For", "X-Forwarded_For", "x_forwarded-for"])
def test_where_a_caller_is_he_does_not_say_himself(balancer: str, world: World, field: str) -> None:
    """Not with his own X-Forwarded-For before it either, behind which the balancer writes."""
    bearer = {"Authorization": f"Bearer {FAR}", "X-Forwarded-For": "10.1.2.3", field: "10.1.2.3"}
    assert elsewhere(world).get(balancer, headers=bearer, timeout=120).status_code == 401


def test_where_a_caller_is_he_does_not_say_himself_to_the_shipped_balancer(node: Served, tmp_path: Path) -> None:
    with haproxy.before([node, node], tmp_path) as shipped, elsewhere() as caller:
        url = f"http://127.0.0.1:{shipped.web_port}/dicom-web/studies"
        assert eventually(lambda: caller.get(url, timeout=120).status_code == 401, 120), "the node is found ready"
        for field in ("X_Forwarded_For", "X-Forwarded_For"):
            bearer = {"Authorization": f"Bearer {FAR}", "X-Forwarded-For": "10.1.2.3", field: "10.1.2.3"}
            assert caller.get(url, headers=bearer, timeout=120).status_code == 401
        assert caller.get(url, headers={"Authorization": f"Bearer {NEAR}"}, timeout=120).status_code == 200


def test_a_token_that_asks_for_a_certificate_too_is_not_enough(balancer: str, world: World) -> None:
    bearer = {"Authorization": f"Bearer {SECRET}"}
    assert session(world, world.modality).get(balancer, headers=bearer, timeout=120).status_code == 200
    assert session(world, None).get(balancer, headers=bearer, timeout=120).status_code == 401


def test_a_node_that_does_not_ask_its_balancers_for_certificates_believes_none(tmp_path: Path, world: World) -> None:
    """Mallory knows the certificate of the modality: it is no secret."""
    (tmp_path / "conf").mkdir()
    text = configured().replace('certificate_field = "ClientCert"\n', "")
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
