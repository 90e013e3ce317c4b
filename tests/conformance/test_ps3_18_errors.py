"""What every transaction shares: errors, methods, CORS, health, one log line. PS3.18 8.5, hardening.md."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fixtures.builders import a_ct, uid
from fixtures.cast import MALLORY
from fixtures.waiting import eventually
from fixtures.web import WebNode, web_node
from relais.web.app import routed

STUDY = uid("of the errors")
CT = a_ct(StudyInstanceUID=STUDY, PatientName="SECRET^Name", PatientID="SECRET-ID")
VIEWER = "https://viewer.example.org"

RESOURCES = (
    "/studies",
    "/series",
    "/instances",
    "/studies/1.2",
    "/studies/1.2/series",
    "/studies/1.2/instances",
    "/studies/1.2/metadata",
    "/studies/1.2/rendered",
    "/studies/1.2/thumbnail",
    "/studies/1.2/series/1.3",
    "/studies/1.2/series/1.3/instances",
    "/studies/1.2/series/1.3/metadata",
    "/studies/1.2/series/1.3/rendered",
    "/studies/1.2/series/1.3/thumbnail",
    "/studies/1.2/series/1.3/instances/1.4",
    "/studies/1.2/series/1.3/instances/1.4/metadata",
    "/studies/1.2/series/1.3/instances/1.4/rendered",
    "/studies/1.2/series/1.3/instances/1.4/thumbnail",
    "/studies/1.2/series/1.3/instances/1.4/frames/1",
    "/studies/1.2/series/1.3/instances/1.4/frames/1/rendered",
    "/studies/1.2/series/1.3/instances/1.4/frames/1/thumbnail",
    "/studies/1.2/series/1.3/instances/1.4/bulkdata/00420011",
)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("errors")
    with web_node(folder, cors_origins=[VIEWER]) as node:
        node.store(CT)
        yield node


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_resource_answers_options(web: WebNode, resource: str) -> None:
    """Evidence 25."""
    response = web.request("OPTIONS", resource)
    assert response.status_code in (200, 204)
    assert {"GET", "HEAD", "OPTIONS"} <= set(response.headers["Allow"].replace(" ", "").split(","))


ROUTES = sorted({rule.rule for rule in routed().url_map.iter_rules() if "GET" in (rule.methods or ())})
ROUTES.remove("/api/rejections/<uid>")  # nothing was deleted here


@pytest.mark.parametrize("route", ROUTES)
def test_head_says_what_get_says_and_sends_nothing(web: WebNode, route: str) -> None:
    """Trap 3; RFC 9110 9.3.2"""
    uids = {"study": STUDY, "series": CT.SeriesInstanceUID, "instance": CT.SOPInstanceUID}
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: {"numbers": "1", "path": "7FE00010", **uids}[found[1]], route)
    asked = {"studyUID": STUDY, "seriesUID": uids["series"], "objectUID": uids["instance"], "requestType": "WADO"}
    url, params = web.base + path, asked if route == "/wado" else {}
    wanted = {"rendered": 'multipart/related; type="image/jpeg"'}.get(path.rpartition("/")[2], "*/*")
    accept = {"Accept": wanted}
    _, get, head = (requests.request(method, url, params=params, headers=accept) for method in ("GET", "GET", "HEAD"))
    assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
    assert get.content
    for name in ("Content-Type", "Content-Length", "ETag", "Content-Disposition", "Accept-Ranges"):
        said = re.sub("boundary=[0-9a-f]+", "", head.headers.get(name, ""))
        if name in head.headers and route != "/metrics":
            assert said == re.sub("boundary=[0-9a-f]+", "", get.headers.get(name, "")), name


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_preflight_of_a_known_origin_is_granted(web: WebNode, resource: str) -> None:
    """clients.md 10."""
    response = web.request(
        "OPTIONS",
        resource,
        Origin=VIEWER,
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="accept,authorization,content-type,range",
    )
    assert response.headers["Access-Control-Allow-Origin"] == VIEWER
    allowed = response.headers["Access-Control-Allow-Headers"].replace(" ", "").split(",")
    assert {"accept", "authorization", "content-type", "range"} <= set(allowed)
    assert int(response.headers["Access-Control-Max-Age"]) >= 3600
    assert "Origin" in response.headers["Vary"]


def test_answers_and_errors_may_be_read_by_a_known_origin_only(web: WebNode) -> None:
    for path, status in (("/studies", 200), ("/studies/1.2.3", 404), ("/studies?limit=x", 400)):
        known = web.get(path, Origin=VIEWER)
        assert known.status_code == status
        assert known.headers["Access-Control-Allow-Origin"] == VIEWER
        assert "ETag" in known.headers["Access-Control-Expose-Headers"]
        unknown = web.get(path, Origin="https://evil.example.org")
        assert "Access-Control-Allow-Origin" not in unknown.headers
        assert "Origin" in unknown.headers["Vary"]


def test_a_wild_card_never_goes_with_credentials(tmp_path: Path) -> None:
    """clients.md 10."""
    with web_node(tmp_path, cors_origins=["*"]) as node:
        response = node.get("/studies", Origin=VIEWER)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_without_configured_origins_no_other_page_may_read(tmp_path: Path) -> None:
    with web_node(tmp_path) as node:
        response = node.request("OPTIONS", "/studies", Origin=VIEWER, Access_Control_Request_Method="GET")
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/studies"),
        ("PUT", "/studies"),
        ("PATCH", "/studies/1.2/metadata"),
        ("POST", "/studies/1.2/series/1.3"),
        ("POST", "/instances"),
        ("BREW", "/studies"),
    ],
)
def test_a_method_that_is_not_offered_is_a_405_that_names_those_that_are(web: WebNode, method: str, path: str) -> None:
    response = web.request(method, path)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert response.json()["status"] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/studies/1.2/nothing",
        "/studies/1.2/series/1.3/instances/1.4/frames",
        "/studies/1.2/series/1.3/instances/1.4/bulkdata",
        "//studies",
    ],
)
def test_an_unknown_resource_is_a_404(web: WebNode, path: str) -> None:
    response = web.get(path)
    assert response.status_code == 404
    assert response.json()["status"] == 404


@pytest.mark.parametrize(
    "trick", ["..", "%2e%2e", "1..2", "1.2%00", "1.2%0a", "a.b", "1" * 65, "%2e%2e%2f%2e%2e", "1.2;x", "%C3%A9"]
)
@pytest.mark.parametrize("resource", [r for r in RESOURCES if "1.2" in r])
def test_a_uid_with_tricks_is_a_4xx(web: WebNode, resource: str, trick: str) -> None:
    """hardening.md 6."""
    request = f"GET /dicom-web{resource.replace('1.2', trick)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = web.exchange(request.encode())
    assert re.match(rb"HTTP/1\.1 40[04]", answer), answer
    assert b"Traceback" not in answer


def test_every_error_is_a_sentence_in_json_or_text(web: WebNode) -> None:
    response = web.get("/studies/1.2.3", "application/dicom+json, application/json")
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"status": 404, "error": "Not Found", "message": "There is no such resource."}
    text = web.get("/studies/1.2.3", "text/plain, multipart/related")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.text == "There is no such resource.\n"
    assert text.headers["X-Content-Type-Options"] == "nosniff"


def test_errors_tell_nothing_of_the_machine(web: WebNode) -> None:
    """hardening.md 10."""
    for path in ("/studies?limit=x", "/studies/1.2.3", "/studies/%27", "/studies?x%00=1", f"/studies/{STUDY}/nothing"):
        body = web.get(path).text
        for secret in ("Traceback", "/work", "/tmp", "sqlite", "SELECT", ".py", "SECRET"):
            assert secret not in body


def lines_of(web: WebNode, method: str, count: int) -> list[str]:
    """The last *count* log lines of requests with *method*; they are written after the answer has left."""
    assert eventually(lambda: len(lines_with(web, f"method={method} ")) >= count), web.log_lines()
    return lines_with(web, f"method={method} ")[-count:]


def lines_with(web: WebNode, part: str) -> list[str]:
    return [line for line in web.log_lines() if part in line]


def test_one_line_is_logged_for_each_transaction_without_what_patients_are_called(tmp_path: Path) -> None:
    """Style 2.6."""
    with web_node(tmp_path) as node:
        node.store(CT)
        for path in (
            "/studies?PatientName=SECRET*",
            f"/studies/{STUDY}/metadata",
            "/studies/SECRET%0Ax",
            "/studies?SECRET=1",
        ):
            node.request("HEAD", path)
        lines = lines_of(node, "HEAD", 4)
        for told in (
            "route=/dicom-web/studies status=200 bytes=0",
            'route="/dicom-web/studies/<study>/metadata" status=200',
            "status=400",
            "error=InvalidRequest",
        ):
            assert any(told in line for line in lines), lines
        assert all(re.search(r" ms=\d+\.\d", line) for line in lines)
        assert len(lines_of(node, "POST", 1)) == 1
        assert "SECRET" not in "\n".join(node.log_lines())


def test_an_answer_that_was_cut_off_is_logged_as_such(tmp_path: Path) -> None:
    with web_node(tmp_path) as node:
        node.store(a_ct(rows=3000, columns=3000, StudyInstanceUID=uid("large")))
        request = f"GET /dicom-web/studies/{uid('large')} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
        with socket.create_connection(("127.0.0.1", node.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request.encode())
            connection.recv(1000)
        assert eventually(lambda: lines_with(node, "cut=yes"))
        assert ["status=200" in line for line in lines_with(node, "cut=yes")] == [True]


@pytest.mark.parametrize("host", ["", "Host:\r\n", "Host: a\r\nHost: b\r\n", "Host: a b\r\n", "Host: a/b\r\n"])
def test_a_request_that_does_not_say_whom_it_means_is_a_400(web: WebNode, host: str) -> None:
    """RFC 9112 3.2; older clients than HTTP/1.1 need not."""
    for target, as_ever in (("/dicom-web/studies", b"200"), ("/health/live", b"200"), ("/nothing", b"404")):
        for version, expected in (("1.1", b"400"), ("1.0", as_ever)):
            answer = web.exchange(f"GET {target} HTTP/{version}\r\n{host}Connection: close\r\n\r\n".encode())
            assert answer.split(b" ", 2)[1] == expected, (target, version)


def test_live_and_ready(web: WebNode) -> None:
    live, ready = (
        requests.get(f"{web.base}/health/live", timeout=120),
        requests.get(f"{web.base}/health/ready", timeout=120),
    )
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "parts": {"part": True}})
    assert ready.headers["Cache-Control"] == "no-store"


def test_not_ready_is_a_503_that_names_the_part_and_no_detail(tmp_path: Path) -> None:
    with web_node(tmp_path, failing="secret detail") as node:
        ready = requests.get(f"{node.base}/health/ready", timeout=120)
        assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "parts": {"part": False}})
        assert requests.get(f"{node.base}/health/live", timeout=120).ok
        assert any("secret detail" in line for line in node.log_lines())


def test_metrics_count_by_route_and_never_by_path(web: WebNode) -> None:
    web.get(f"/studies/{STUDY}/metadata")
    web.get("/studies/..%2f/x")
    response = requests.get(f"{web.base}/metrics", timeout=120)
    assert response.headers["Content-Type"].startswith("text/plain")
    assert 'route="/dicom-web/studies/<study>/metadata",status="200"' in response.text
    assert STUDY not in response.text


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    """A door that lets in nobody who has not said who they are: nobody, today."""
    with web_node(tmp_path_factory.mktemp("closed"), policy="enforced") as node:
        yield node


@pytest.mark.parametrize("resource", RESOURCES)
def test_mallory_gets_nothing_from_a_closed_door(closed: WebNode, resource: str) -> None:
    """Rule 5: not found and not yours answer alike."""
    response = closed.get(resource, Authorization=f"Bearer {MALLORY}")
    is_search = resource in ("/studies", "/series", "/instances") or resource.endswith(("/series", "/instances"))
    assert response.status_code == (403 if is_search else 404)


def test_mallory_stores_nothing_through_a_closed_door(closed: WebNode) -> None:
    response = closed.store(a_ct())
    assert response.status_code == 403
    assert closed.kept == []
