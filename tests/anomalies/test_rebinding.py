"""Pages of strangers whose name comes to mean 127.0.0.1, and an open node: by that name it answers nothing."""

import socket
from collections.abc import Iterator

import pytest
import requests

from fixtures.builders import a_ct, part10
from fixtures.ports import free_port
from fixtures.served import Served, put_away
from fixtures.web import multipart_body

pytestmark = pytest.mark.anywhere("is about who asks")
STUDIES = "/dicom-web/studies"
PATHS = [STUDIES, "/", "/viewer/", "/metrics", "/wado", "/static/pages.css", "/nowhere", "/api/changes"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port = str(free_port())
    made = Served(
        tmp_path_factory.mktemp("node"),
        RELAIS_NODE__PUBLIC_URL=f"https://pacs.example.org:{port}",
        RELAIS_WEB__PORT=port,
        RELAIS_WEB__CORS_ORIGINS='["*"]',
        RELAIS_ACCESS__DELETE="true",
    )
    try:
        made.wait_until_ready()
        yield made
    finally:
        put_away(made)


def asked(node: Served, host: str, path: str = STUDIES, method: str = "GET") -> int:
    return requests.request(method, f"{local(node)}{path}", headers={"Host": host}, timeout=120).status_code


def local(node: Served) -> str:
    return f"http://127.0.0.1:{node.web_port}"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_page_of_another_name_gets_nothing(node: Served, path: str, method: str) -> None:
    assert asked(node, f"evil.example:{node.web_port}", path, method) == 421


def test_a_page_of_another_name_deletes_nothing(node: Served) -> None:
    ds = a_ct()
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    body = multipart_body([part10(ds)], "b")
    assert requests.post(local(node) + STUDIES, body, headers={"Content-Type": kind}, timeout=120).status_code == 200
    study = f"{STUDIES}/{ds.StudyInstanceUID}"
    assert asked(node, "evil.example", study, "DELETE") == 421
    assert asked(node, "localhost", f"{study}/metadata") == 200
    assert asked(node, "localhost", study, "DELETE") == 204


def test_it_is_told_by_which_names_the_node_answers(node: Served) -> None:
    answer = requests.get(local(node) + STUDIES, headers={"Host": "evil.example"}, timeout=120)
    assert "[node] public_url" in answer.json()["message"]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "pacs.example.org", "a.localhost"])
def test_by_its_own_names_it_answers(node: Served, host: str) -> None:
    assert [asked(node, host, path) for path in (STUDIES, "/", "/metrics")] == [200, 200, 200]


def test_balancers_ask_by_any_name(node: Served) -> None:
    assert [asked(node, "north", path) for path in ("/health/live", "/health/ready")] == [200, 200]


def test_who_names_no_host_is_no_browser(node: Served) -> None:
    with socket.create_connection(("127.0.0.1", node.web_port), 120) as connection:
        connection.sendall(f"GET {STUDIES} HTTP/1.0\r\n\r\n".encode())
        assert b" 200 " in connection.makefile("rb").readline()


def test_two_hosts_are_no_host(node: Served) -> None:
    with socket.create_connection(("127.0.0.1", node.web_port), 120) as connection:
        connection.sendall(f"GET {STUDIES} HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n".encode())
        assert b" 400 " in connection.makefile("rb").readline()
