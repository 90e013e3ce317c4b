"""`relais pull` from DICOMweb origin servers: another Relais, a real Orthanc, and one that answers in odd ways."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from pydicom import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, a_sr, part10, uid
from fixtures.orthanc import orthanc
from fixtures.ports import free_port
from fixtures.waiting import eventually
from relais.archive import ingest
from relais.config import load
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Match, MatchKind, Query
from relais.errors import Unavailable
from relais.node.inline import Node
from relais.peers.base import Refused
from relais.peers.dicomweb import STUDY_INSTANCE_UID, DicomwebPeer
from relais.peers.settings import PeerSettings

Run = Callable[..., Any]
THORAX = uid("thorax of a web")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "relais.toml").touch()
    return os.environ | {
        "RELAIS_NODE__DATA_DIR": str(tmp_path / "data"),
        "RELAIS_STORAGE__JOURNAL_MB": "0",
        "RELAIS_INDEX__LOG_MB": "0",
        "RELAIS_CONFIG": str(tmp_path / "relais.toml"),
    }


@pytest.fixture
def relais(environ: dict[str, str]) -> Run:
    """Runs `relais ARGUMENTS --json` in a process of its own; *code* is the exit code expected."""

    def run(*arguments: object, code: int = 0) -> Any:
        command = [sys.executable, "-m", "relais", *map(str, arguments), "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, timeout=300, check=False)
        assert done.returncode == code, done.stdout.decode() + done.stderr.decode()
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    return run


@pytest.fixture
def south(tmp_path: Path) -> Iterator[Node]:
    """Another whole node."""
    ports = {"RELAIS_DIMSE__PORT": "0", "RELAIS_WEB__PORT": str(free_port())}
    environ = {"RELAIS_NODE__DATA_DIR": str(tmp_path / "south"), **ports}
    (tmp_path / "south.toml").touch()
    with Node(load(tmp_path / "south.toml", environ).config) as node:
        yield node


@dataclass
class Door:
    """A door before an origin server: *rule* may change what is asked, or answer by itself (status and body)."""

    port: int
    behind: str
    rule: "Callable[[Door, Any], tuple[int, bytes] | None]" = lambda door, handler: None
    paths: list[str] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"


@pytest.fixture
def door(south: Node) -> Iterator[Door]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            door.paths.append(self.path)
            door.authorizations.add(self.headers.get("Authorization", ""))
            said = door.rule(door, self)
            if said is None:
                self._pass_on()
                return
            self.send_response(said[0])
            self.send_header("Content-Length", str(len(said[1])))
            self.end_headers()
            self.wfile.write(said[1])

        def _pass_on(self) -> None:
            request = Request(door.behind + self.path, headers={"Accept": self.headers["Accept"]})
            try:
                with urlopen(request, timeout=60) as answer:
                    status, headers, body = answer.status, dict(answer.headers), answer.read()
            except HTTPError as exc:
                status, headers, body = exc.code, {}, exc.read()
            self.send_response(status)
            self.send_header("Content-Type", headers.get("Content-Type", ""))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # who is killed hangs up

    with Server(("127.0.0.1", 0), Handler) as server:
        door = Door(server.server_address[1], south.url)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield door
        server.shutdown()
        thread.join()


def fill(node: Node, *datasets: FileDataset) -> None:
    for ds in datasets:
        ingest.store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))


def root_of(node: Node) -> str:
    return f"{node.url}/dicom-web"


def held(relais: Run) -> dict[str, str]:
    """The Transfer Syntax of each instance."""
    rows = relais("find", "--level", "instance", "--limit", "0", "00083002")
    return {row["00080018"]["Value"][0]: row["00083002"]["Value"][0] for row in rows}


def various() -> list[FileDataset]:
    return [
        *a_series(5, StudyInstanceUID=THORAX),
        a_sr(StudyInstanceUID=THORAX, SeriesNumber=2),
        a_pdf(StudyInstanceUID=THORAX, SeriesNumber=3),
        a_ct(transfer_syntax=JPEG2000Lossless),
        a_multiframe(transfer_syntax=RLELossless),
    ]


def syntaxes_of(datasets: list[FileDataset]) -> dict[str, str]:
    return {str(ds.SOPInstanceUID): str(ds.file_meta.TransferSyntaxUID) for ds in datasets}


def test_another_relais_is_brought_whole_as_it_is_kept(south: Node, relais: Run) -> None:
    datasets = various()
    fill(south, *datasets)
    told = relais("pull", root_of(south), "--by", "web")
    assert (told["total"], told["complete"], told["instances"], told["received"]) == (3, 3, 9, 9)
    assert held(relais) == syntaxes_of(datasets)
    again = relais("pull", root_of(south), "--by", "web")
    assert (again["known"], again["received"]) == (3, 0)


def test_an_orthanc_is_brought_by_its_dicomweb_plugin(tmp_path: Path, relais: Run) -> None:
    datasets = various()
    settings = {"DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "RegisteredUsers": {"anna": "secret"}}
    with orthanc(tmp_path / "orthanc", dicomweb=True, AuthenticationEnabled=True, **settings) as server:
        for ds in datasets:
            server.post("/instances", part10(ds))
        (tmp_path / "relais.toml").write_text(
            f'[[peers]]\nname = "theirs"\nkind = "dicomweb"\nurl = "{server.url}/dicom-web"\n'
            'user = "anna"\npassword = "secret"\n'
        )
        assert relais("echo", "theirs")["answers"]
        told = relais("pull", "theirs")
        assert (told["complete"], told["instances"], told["received"], told["incomplete"]) == (3, 9, 9, {})
        assert held(relais) == syntaxes_of(datasets)
        server.post("/instances", part10(a_sr(StudyInstanceUID=THORAX, SeriesNumber=9)))
        again = relais("pull", "theirs")
        assert (again["known"], again["received"]) == (2, 1)


def test_a_second_run_brings_what_is_new_and_only_its_series(south: Node, door: Door, relais: Run) -> None:
    fill(south, *a_series(3, StudyInstanceUID=THORAX))
    relais("pull", door.root, "--by", "web")
    fill(south, a_sr(StudyInstanceUID=THORAX, SeriesNumber=9), *a_series(2))
    told = relais("pull", door.root, "--by", "web")
    assert (told["known"], told["complete"], told["received"]) == (0, 2, 3)
    assert len(held(relais)) == 6


def test_keys_select_as_in_find(south: Node, relais: Run) -> None:
    fill(south, a_ct(StudyDate="20200105", PatientID="A"), a_ct(StudyDate="20210105", PatientID="B"))
    by_web = (root_of(south), "--by", "web")
    assert relais("pull", *by_web, "StudyDate=20200101-20201231")["units"] == 1
    assert relais("pull", *by_web, "PatientID=B")["received"] == 1


def test_answers_come_page_by_page(south: Node, door: Door, relais: Run) -> None:
    """A server with a limit of its own, which is below what is asked for."""
    fill(south, *a_series(230))
    rule = door.rule

    def at_most_100(door: Door, handler: Any) -> tuple[int, bytes] | None:
        handler.path = handler.path.replace("limit=500", "limit=100")
        return rule(door, handler)

    door.rule = at_most_100
    told = relais("pull", door.root, "--by", "web")
    assert (told["complete"], told["instances"], told["received"]) == (1, 230, 230)
    assert sum("/instances?" in path for path in door.paths) == 3


def test_a_server_that_knows_no_offset_is_not_asked_for_ever(south: Node, door: Door) -> None:
    fill(south, *a_series(120))

    def without_offset(door: Door, handler: Any) -> None:
        handler.path = "&".join(part for part in handler.path.replace("500", "100").split("&") if "offset" not in part)

    door.rule = without_offset
    peer = DicomwebPeer(PeerSettings("theirs", kind="dicomweb", url=door.root))
    assert len(list(peer.search(Query(Level.IMAGE)))) == 100


def test_what_it_can_only_give_uncompressed_comes_so(south: Node, door: Door, relais: Run) -> None:
    fill(south, a_ct(transfer_syntax=JPEG2000Lossless))

    def refuses_what_is_stored(door: Door, handler: Any) -> tuple[int, bytes] | None:
        return (406, b"") if "transfer-syntax=*" in handler.headers["Accept"] else None

    door.rule = refuses_what_is_stored
    assert relais("pull", door.root, "--by", "web")["complete"] == 1
    assert set(held(relais).values()) == {str(ExplicitVRLittleEndian)}


def test_an_answer_that_breaks_off_is_asked_for_again(south: Node, door: Door, relais: Run) -> None:
    fill(south, *a_series(3))
    door.rule = cuts_once
    told = relais("pull", door.root, "--by", "web")
    assert (told["complete"], told["instances"], told["incomplete"]) == (1, 3, {})
    assert len(held(relais)) == 3


def cuts_once(door: Door, handler: Any) -> tuple[int, bytes] | None:
    path = handler.path
    if "?" in path or sum("?" not in one for one in door.paths) > 1:
        return None
    with urlopen(Request(door.behind + path, headers={"Accept": handler.headers["Accept"]}), timeout=60) as answer:
        body = answer.read()
        handler.send_response(200)
        handler.send_header("Content-Type", answer.headers["Content-Type"])
        handler.end_headers()
        handler.wfile.write(body[: len(body) * 2 // 3])
    handler.close_connection = True
    handler.send_response = handler.send_header = lambda *args: None  # what follows goes nowhere
    handler.end_headers = lambda: None
    return 200, b""


def test_what_cannot_be_had_is_named(south: Node, door: Door, relais: Run) -> None:
    series = a_series(2)
    fill(south, *series)
    door.rule = lambda door, handler: None if "?" in handler.path else (410, b"")
    told = relais("pull", door.root, "--by", "web", code=1)
    (left,) = told["incomplete"].values()
    assert left["missing"] == 2
    assert set(left["examples"]) == {str(ds.SOPInstanceUID) for ds in series}
    assert "HTTP status 410" in left["notes"][0]


def test_a_token_is_shown_and_read_anew(south: Node, door: Door, relais: Run, tmp_path: Path) -> None:
    fill(south, a_ct())
    token = tmp_path / "token"
    (tmp_path / "relais.toml").write_text(
        f'[[peers]]\nname = "cloud"\nkind = "dicomweb"\nurl = "{door.root}"\npassword_file = "{token}"\n'
    )

    def wants_a_token(door: Door, handler: Any) -> tuple[int, bytes] | None:
        return None if handler.headers.get("Authorization") == f"Bearer {token.read_text().strip()}" else (401, b"")

    door.rule = wants_a_token
    token.write_text("one\n")
    assert relais("pull", "cloud")["complete"] == 1
    token.write_text("another\n")
    assert relais("pull", "cloud", "--again")["complete"] == 1
    assert door.authorizations == {"Bearer one", "Bearer another"}


def test_who_is_refused_or_finds_nobody_hears_one_sentence(door: Door, relais: Run) -> None:
    door.rule = lambda door, handler: (403, b"")
    assert "refuses our user, password or token (HTTP status 403)" in relais("pull", door.root, "--by", "web", code=1)
    assert len(door.paths) == 1
    nobody = "http://127.0.0.1:1/dicom-web"
    assert f"{nobody} at {nobody} does not answer" in relais("pull", nobody, "--by", "web", code=1)
    with pytest.raises(Unavailable, match="does not answer as an origin server does"):
        door.rule = lambda door, handler: (200, b"<html></html>")
        DicomwebPeer(PeerSettings("theirs", kind="dicomweb", url=door.root)).echo()


def test_a_root_where_no_origin_server_is_has_nothing_to_be_complete(south: Node, door: Door, relais: Run) -> None:
    fill(south, a_ct())
    wrong = f"{door.root}/other"
    said = f"answered with HTTP status 404. There is no origin server at {wrong}."
    assert said in relais("pull", wrong, "--by", "web", code=1)
    with pytest.raises(Refused, match="HTTP status 404"):
        DicomwebPeer(PeerSettings("theirs", kind="dicomweb", url=wrong)).echo()
    assert len(door.paths) == 2


def test_what_is_not_there_has_no_series_and_a_page_that_is_not_there_is_no_end(south: Node, door: Door) -> None:
    fill(south, *a_series(120, StudyInstanceUID=THORAX))

    def has_one_page(door: Door, handler: Any) -> tuple[int, bytes] | None:
        handler.path = handler.path.replace("limit=500", "limit=100")
        return (404, b"") if "offset=100" in handler.path or "/studies/1.2.3/" in handler.path else None

    door.rule = has_one_page
    peer = DicomwebPeer(PeerSettings("theirs", kind="dicomweb", url=door.root))
    of = [Match(STUDY_INSTANCE_UID, MatchKind.SINGLE_VALUE, (uid,)) for uid in ("1.2.3", THORAX)]
    assert list(peer.search(Query(Level.SERIES, (of[0],)))) == []
    for matches in ((), (of[1],)):
        with pytest.raises(Unavailable, match="It had told 100 before"):
            list(peer.search(Query(Level.IMAGE, matches)))


def is_far_enough(process: "subprocess.Popen[bytes]", door: Door, asked: int) -> Callable[[], bool]:
    return lambda: process.poll() is not None or len(door.paths) >= asked


def test_a_pull_that_is_killed_again_and_again_ends_complete(
    south: Node, door: Door, relais: Run, environ: dict[str, str]
) -> None:
    series = [ds for _ in range(10) for ds in a_series(12)]
    fill(south, *series)
    door.rule = lambda door, handler: time.sleep(0.1)
    for _ in range(3):
        command = [sys.executable, "-m", "relais", "pull", door.root, "--by", "web"]
        asked = len(door.paths)
        process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert eventually(is_far_enough(process, door, asked + random.randint(4, 12)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    told = relais("pull", door.root, "--by", "web")
    assert (told["complete"], told["instances"], told["incomplete"]) == (10, 120, {})
    assert held(relais) == syntaxes_of(series)
