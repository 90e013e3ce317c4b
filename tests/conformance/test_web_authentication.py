"""Who gets in at the web door, and what for: tokens as Bearer and as Basic, over real sockets, and OHIF with one."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
import requests
from dicomweb_client import DICOMwebClient
from playwright.sync_api import Browser, expect
from pydicom import dcmread
from requests.auth import HTTPBasicAuth

from fixtures.browser import PATIENCE_MS, SAMPLES
from fixtures.builders import a_ct, fresh_uid, part10
from fixtures.ohif import need_viewer
from fixtures.places import node_environ
from fixtures.waiting import eventually
from relais.access.tokens import Tokens, TokenSettings, digest, make
from relais.archive.ingest import store_part10
from relais.config import load
from relais.dicom.origin import Channel, Origin
from relais.node.inline import Node
from relais.web.app import create_app
from relais.web.settings import WebSettings

ROSA, CT1, NOBODY, FAR, FINDER = (make() for _ in range(5))
USERS = (
    ("rosa", ROSA, ["search", "retrieve"], []),
    ("ct-1", CT1, ["store"], []),
    ("nobody", NOBODY, [], []),
    ("far", FAR, ["search"], ["10.0.0.0/8"]),
    ("finder", FINDER, ["search"], []),
)
STUDIES, PAGE = "/dicom-web/studies", "/"
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


def configured(folder: Path, mode: str, of_web: str = "") -> Path:
    tokens = "\n".join(
        f'[[tokens]]\nname = "{name}"\nsha256 = "{digest(secret)}"\nmay = {json.dumps(may)}\nnetworks = {networks}'
        for name, secret, may, networks in USERS
    )
    file = folder / "relais.toml"
    ports = '[dimse]\nport = 0\n[web]\nport = 0\ncors_origins = ["https://viewer.example.org"]\n' + of_web
    file.write_text(f'[node]\ndata_dir = "{folder}/data"\n[access]\nmode = "{mode}"\n{ports}\n{tokens}\n')
    return file


@pytest.fixture(scope="module", params=["enforced"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    with Node(load(configured(folder, request.param), node_environ(folder / "data")).config) as node:
        store_part10(node.archive, BytesIO(part10(a_ct())), Origin(Channel.IMPORT))
        yield node


def basic(name: str, secret: str) -> str:
    return "Basic " + b64encode(f"{name}:{secret}".encode()).decode()


def status(node: Node, path: str, authorization: str = "", **options: str) -> int:
    headers = options | ({"Authorization": authorization} if authorization else {})
    return requests.get(node.url + path, headers=headers, timeout=120).status_code


def everything(node: Node) -> list[tuple[str, str]]:
    """Each resource of the web door but the two that balancers ask for, with each of its methods."""
    app = create_app(node.archive, WebSettings(), {})
    rules = [(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()]
    return [(method, re.sub("<[^>]*>", "1", path)) for path, method in rules if not path.startswith("/health/")]


def releases(node: Node, name: str) -> list[tuple[str, str]]:
    """The study and the details of everything that *name* was given."""
    by = "SELECT study_instance_uid, detail FROM audit WHERE name = ? AND action = 'retrieve' ORDER BY id"
    with node.archive.db.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(by, (name,))]


def audited(node: Node) -> list[tuple[str, str]]:
    with node.archive.db.read() as connection:
        return [(row[0], row[1]) for row in connection.execute("SELECT name, action FROM audit ORDER BY id")]


def addresses(node: Node) -> list[str]:
    with node.archive.db.read() as connection:
        return [row[0] for row in connection.execute("SELECT address FROM audit")]


PATHS = [STUDIES, PAGE, "/viewer/", "/metrics", "/wado", "/static/pages.css", "/nowhere", "/api/changes"]


@pytest.mark.parametrize("path", PATHS)
def test_who_shows_no_token_is_asked_for_one_everywhere(node: Node, path: str) -> None:
    answer = requests.get(node.url + path, timeout=120)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="Relais"')
    assert 'Bearer realm="Relais"' in answer.headers["WWW-Authenticate"]


def test_nothing_is_had_or_done_without_a_token(node: Node) -> None:
    """Not by any method, of any resource that there is."""
    asked = everything(node)
    assert len(asked) > 60
    for method, path in asked:
        answer = requests.request(method, node.url + path, timeout=120)
        assert (method, path, answer.status_code) == (method, path, 401)


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer " + make(),
        "Bearer",
        "Bearer " + digest(ROSA),
        basic("rosa", CT1),
        basic("rosa", ""),
        basic("", ROSA),
        basic("Rosa", ROSA),
        "Basic ???",
        "Digest username=rosa",
        "Bearer \udc80".encode("utf-8", "surrogateescape").decode("latin-1"),
    ],
    ids=count(),
)
def test_what_proves_nobody_opens_nothing(node: Node, authorization: str) -> None:
    assert status(node, STUDIES, authorization) == 401


@pytest.mark.parametrize("authorization", [f"Bearer {ROSA}", f"bearer {ROSA}", basic("rosa", ROSA)], ids=count())
def test_rosa_reads_what_she_may(node: Node, authorization: str) -> None:
    assert [status(node, path, authorization) for path in (STUDIES, PAGE, "/metrics")] == [200, 200, 200]


def test_everybody_may_ask_whether_the_node_lives(node: Node) -> None:
    assert [status(node, path) for path in ("/health/live", "/health/ready")] == [200, 200]


def test_each_does_what_it_may_and_no_more(node: Node) -> None:
    assert stored(node, ROSA) == 403
    assert stored(node, CT1) == 200
    assert status(node, STUDIES, f"Bearer {CT1}") == 403
    assert status(node, STUDIES, f"Bearer {NOBODY}") == 403


@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_where_its_token_counts_is_a_stranger_everywhere(node: Node, path: str) -> None:
    for authorization in (f"Bearer {FAR}", basic("far", FAR)):
        answer = requests.get(node.url + path, headers={"Authorization": authorization}, timeout=120)
        assert answer.status_code == 401
        assert 'Bearer realm="Relais"' in answer.headers["WWW-Authenticate"]


def test_who_may_do_nothing_with_images_may_still_watch_the_node(node: Node) -> None:
    assert status(node, "/metrics", f"Bearer {NOBODY}") == 200


def stored(node: Node, secret: str) -> int:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part10(a_ct()) + b"\r\n--b--\r\n"
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": MULTIPART}
    return requests.post(node.url + STUDIES, body, headers=headers, timeout=120).status_code


@pytest.mark.parametrize("accept", ["application/dicom+json", 'multipart/related; type="application/dicom+xml"'])
def test_who_may_only_search_is_given_nothing_out_of_an_object(node: Node, accept: str) -> None:
    """What the index does not keep is content of the object, and getting it is a retrieval, recorded as one.

    The same question is asked in turn, so that nobody is given the other one's answer out of memory.
    """
    study = fresh_uid()
    store_part10(node.archive, BytesIO(part10(a_ct(StudyInstanceUID=study))), Origin(Channel.IMPORT))
    path = f"{STUDIES}/{study}/instances?includefield=SliceThickness,StudyDescription"
    before = len(releases(node, "rosa"))
    for again in range(1, 3):
        whole, less = (
            requests.get(node.url + path, headers={"Accept": accept, "Authorization": f"Bearer {secret}"}, timeout=120)
            for secret in (ROSA, FINDER)
        )
        assert [b"00180050" in answer.content for answer in (whole, less)] == [True, False]
        assert [b"00081030" in answer.content for answer in (whole, less)] == [True, True]
        assert "SliceThickness" in less.headers["Warning"]
        assert whole.headers["ETag"] != less.headers["ETag"]
        assert eventually(lambda now=before + again: len(releases(node, "rosa")) == now, 120)
    assert releases(node, "rosa")[-1] == (study, '{"instances":1,"studies":1}')
    assert releases(node, "finder") == []


def test_the_audit_says_whose_page_was_looked_at(node: Node) -> None:
    study = fresh_uid()
    store_part10(node.archive, BytesIO(part10(a_ct(StudyInstanceUID=study))), Origin(Channel.IMPORT))
    assert status(node, f"/studies/{study}", f"Bearer {ROSA}") == 200
    assert eventually(lambda: (study, '{"shown":"attributes"}') in releases(node, "rosa"), 120)


def test_the_audit_names_who_it_was(node: Node) -> None:
    assert stored(node, CT1) == 200
    assert status(node, STUDIES, f"Bearer {ROSA}") == 200
    assert eventually(lambda: {("ct-1", "store"), ("rosa", "search")} <= set(audited(node)), 120)
    with node.archive.db.read() as connection:
        assert "ct-1" in {row[0] for row in connection.execute('SELECT "user" FROM origin')}


def test_a_preflight_needs_no_token_and_what_follows_does(node: Node) -> None:
    """Fetch 4.8: a browser sends none with it. The refusal can be read by the page that asked."""
    origin = {"Origin": "https://viewer.example.org"}
    asked = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    preflight = requests.options(node.url + STUDIES, headers=asked, timeout=120)
    assert preflight.ok
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    refused = requests.get(node.url + STUDIES, headers=origin, timeout=120)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == origin["Origin"]
    assert requests.options(node.url + STUDIES, headers=origin, timeout=120).status_code == 401


def test_another_client_searches_with_basic(node: Node) -> None:
    session = requests.Session()
    session.auth = HTTPBasicAuth("rosa", ROSA)
    assert DICOMwebClient(node.url + "/dicom-web", session=session).search_for_studies()


def test_an_open_node_asks_nobody_and_takes_notice(tmp_path: Path) -> None:
    """A proxy before it may pass on a password that is none of ours."""
    with Node(load(configured(tmp_path, "open-loopback"), node_environ(tmp_path / "data")).config) as node:
        codes = [status(node, STUDIES, shown) for shown in ("", basic("proxy", "its own"), f"Bearer {ROSA}")]
        assert codes == [200, 200, 200]
        written = [("", "search"), ("", "search"), ("rosa", "search")]
        assert eventually(lambda: audited(node) == written, 120)


def test_ohif_shows_a_study_to_who_has_a_token(node: Node, browser: Browser) -> None:
    """The browser asks for name and password once, and sends them with everything that OHIF fetches."""
    need_viewer()
    for path in sorted(SAMPLES.rglob("*.dcm"))[:3]:
        store_part10(node.archive, BytesIO(path.read_bytes()), Origin(Channel.IMPORT))
    name = str(dcmread(sorted(SAMPLES.rglob("*.dcm"))[0]).PatientName).partition("^")[0]
    context = browser.new_context(base_url=node.url, http_credentials={"username": "rosa", "password": ROSA})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/viewer/")
    expect(page.get_by_text(name).first).to_be_visible(timeout=120_000)
    study = page.request.get(STUDIES, params={"PatientName": f"{name}*"}).json()[0]["0020000D"]["Value"][0]
    page.goto(f"/viewer/viewer?StudyInstanceUIDs={study}")
    expect(page.locator(".cornerstone-canvas").first).to_be_visible(timeout=120_000)
    context.close()


def test_a_secret_is_long_and_never_the_same() -> None:
    secrets = {make() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret) >= 43 and secret.startswith("relais_") for secret in secrets)
    assert Tokens([TokenSettings("rosa", digest(ROSA))]).name_of(CT1) == ""


@pytest.mark.parametrize("secret", ["", "rosa", "x" * 31])
def test_a_secret_that_can_be_guessed_opens_nothing_even_if_it_is_configured(secret: str) -> None:
    assert Tokens([TokenSettings("rosa", digest(secret))]).name_of(secret) == ""


def test_behind_a_balancer_its_header_field_says_who_asks(tmp_path: Path) -> None:
    far = "10.1.2.3"
    with Node(
        load(configured(tmp_path, "enforced", 'proxies = ["127.0.0.1"]'), node_environ(tmp_path / "data")).config
    ) as node:
        assert status(node, STUDIES, f"Bearer {FAR}", **{"X-Forwarded-For": far}) == 200
        assert status(node, STUDIES, f"Bearer {FAR}", **{"X-Forwarded-For": f"{far}, 192.0.2.1"}) == 401
        assert status(node, STUDIES, f"Bearer {FAR}") == 401
        assert eventually(lambda: far in addresses(node), 120)


def test_the_header_field_of_anybody_else_is_not_believed(node: Node) -> None:
    assert status(node, STUDIES, f"Bearer {FAR}", **{"X-Forwarded-For": "10.1.2.3"}) == 401
