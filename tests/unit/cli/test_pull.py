"""`relais pull` from a whole node as the other one."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from select import select
from socket import create_connection
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from fixtures.builders import a_ct, a_multiframe, a_series, a_sr, part10, uid
from fixtures.places import node_environ
from fixtures.process import is_locked
from fixtures.waiting import eventually
from relais.access.principals import OPERATOR
from relais.archive import delete, ingest
from relais.config import load
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import StudyRef
from relais.dicom.rejection_note import Reason
from relais.node import compose
from relais.node.inline import Node

Run = Callable[..., Any]


def node_of(folder: Path, ae_title: str, **more: str) -> Node:
    """A whole node that knows a peer HERE."""
    environ = node_environ(folder, RELAIS_DIMSE__AE_TITLE=ae_title, **more)
    (folder.parent / "empty.toml").touch()
    return Node(load(folder.parent / "empty.toml", environ).config)


@pytest.fixture
def south(tmp_path: Path) -> Iterator[Node]:
    with node_of(tmp_path / "south", "SOUTH") as node:
        yield node


@pytest.fixture
def peer(south: Node) -> str:
    return f"SOUTH@127.0.0.1:{south.config.dimse.port}"


def fill(node: Node, *datasets: Any) -> None:
    for ds in datasets:
        ingest.store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))


def test_everything_comes_and_is_compared(south: Node, peer: str, relais_json: Run) -> None:
    thorax, knee = uid("thorax"), uid("knee")
    fill(south, *a_series(5, StudyInstanceUID=thorax), a_sr(StudyInstanceUID=thorax), a_ct(StudyInstanceUID=knee))
    told = relais_json("pull", peer)
    assert (told["units"], told["complete"], told["instances"], told["received"]) == (2, 2, 7, 7)
    assert told["received_bytes"] > 7 * 2048
    assert len(relais_json("find", "--level", "instance")) == 7


def test_each_transfer_syntax_comes_as_it_is_kept(south: Node, peer: str, relais_json: Run, tmp_path: Path) -> None:
    study = uid("mixed")
    fill(
        south,
        a_ct(StudyInstanceUID=study),
        a_ct(StudyInstanceUID=study, transfer_syntax="1.2.840.10008.1.2"),
        a_ct(StudyInstanceUID=study, transfer_syntax=JPEG2000Lossless),
        a_multiframe(StudyInstanceUID=study, transfer_syntax=RLELossless),
    )
    assert relais_json("pull", peer)["complete"] == 1
    syntaxes = [row["00083002"]["Value"][0] for row in relais_json("find", "--level", "instance", "00083002")]
    assert sorted(syntaxes).count(str(RLELossless)) == 1
    assert JPEG2000Lossless in syntaxes
    assert len(syntaxes) == 4


def test_a_second_run_asks_only_for_what_is_new(south: Node, peer: str, relais_json: Run) -> None:
    thorax, knee = uid("thorax"), uid("knee")
    series = a_series(3, StudyInstanceUID=thorax)
    fill(south, *series, a_ct(StudyInstanceUID=knee))
    relais_json("pull", peer)
    again = relais_json("pull", peer)
    assert (again["known"], again["received"], again["instances"]) == (2, 0, 4)
    late = a_ct(StudyInstanceUID=thorax, SeriesInstanceUID=series[0].SeriesInstanceUID)
    fill(south, late, *a_series(2, StudyInstanceUID=thorax))
    third = relais_json("pull", peer)
    assert (third["known"], third["complete"]) == (1, 2)
    assert 3 <= third["received"] <= 6  # series that lack something come as a whole
    assert len(relais_json("find", "--level", "instance")) == 7


def test_the_summary_tells_what_came_and_what_was_here(south: Node, peer: str, relais: Run, tmp_path: Path) -> None:
    knee, series = a_ct(), a_series(3)
    (tmp_path / "1.dcm").write_bytes(part10(series[0]))
    fill(south, knee)
    relais("pull", peer)
    relais("import", tmp_path / "1.dcm")
    other = a_ct(StudyInstanceUID=series[0].StudyInstanceUID)
    fill(south, series[0], other)
    told = relais("pull", peer).stdout
    assert told.startswith("2 of 2 complete (1 were before).\nOf the others 1 instances came now, ")
    assert told.endswith("; 1 were here already.\n")
    assert relais("pull", peer).stdout == "2 of 2 complete (2 were before).\n"


def test_what_was_deleted_here_comes_again_only_when_asked_for(
    south: Node, peer: str, relais_json: Run, config_file: Path
) -> None:
    study = uid("deleted")
    fill(south, *a_series(3, StudyInstanceUID=study))
    relais_json("pull", peer)
    with compose.archive_of(load(config_file, {"RELAIS_ACCESS__DELETE": "true"}).config) as archive:
        delete.delete(archive, OPERATOR, StudyRef(study), Reason.RETENTION_EXPIRED)
    assert relais_json("pull", peer)["received"] == 0
    assert relais_json("pull", peer, "--again")["received"] == 3


def test_keys_select_as_in_find(south: Node, peer: str, relais_json: Run, relais: Run) -> None:
    fill(south, a_ct(StudyDate="20200105", PatientID="A"), a_ct(StudyDate="20210105", PatientID="B"))
    assert relais_json("pull", peer, "StudyDate=20200101-20201231")["units"] == 1
    assert relais_json("pull", peer, "PatientID=B")["received"] == 1
    assert "cannot select studies" in relais("pull", peer, "Modality=CT", code=1).output
    assert "neither a keyword" in relais("pull", peer, "Nonsense=1", code=2).output


def test_with_move_the_running_node_receives(south: Node, tmp_path: Path, config_file: Path, relais_json: Run) -> None:
    with node_of(tmp_path / "data", "HERE") as here:
        theirs = tmp_path / "mover.toml"
        theirs.write_text(
            f'[node]\ndata_dir = "{tmp_path / "mover"}"\n[dimse]\nport = 0\nae_title = "MOVER"\n[web]\nport = 0\n'
            f'[[peers]]\nname = "here"\nae_title = "HERE"\nhost = "127.0.0.1"\nport = {here.config.dimse.port}\n'
        )
        config_file.write_text(
            config_file.read_text().replace(
                "[dimse]\nport = 0", f'[dimse]\nport = {here.config.dimse.port}\nae_title = "HERE"'
            )
        )
        with Node(load(theirs, {}).config) as mover:
            fill(mover, *a_series(4))
            told = relais_json("pull", f"MOVER@127.0.0.1:{mover.config.dimse.port}", "--by", "move")
    assert (told["complete"], told["received"], told["incomplete"]) == (1, 4, {})


def test_move_needs_the_node_to_run(peer: str, relais: Run, config_file: Path) -> None:
    config_file.write_text(config_file.read_text().replace("port = 0", "port = 1", 1))
    assert "must be running" in relais("pull", peer, "--by", "move", code=1).output


def test_what_is_refused_here_is_named_and_the_exit_code_says_so(
    south: Node, peer: str, relais_json: Run, relais: Run, config_file: Path
) -> None:
    small, large = a_ct(), a_ct(rows=512, columns=512)
    fill(south, small, large)
    with config_file.open("a") as file:
        file.write("[archive]\nmax_instance_bytes = 100000\n")
    told = relais_json("pull", peer, code=1)
    assert (told["units"], told["complete"], told["stopped"]) == (2, 1, "")
    left = told["incomplete"][large.StudyInstanceUID]
    assert left["examples"] == [large.SOPInstanceUID]
    assert "at most 100000 bytes" in " ".join(left["notes"])
    said = relais("pull", peer, code=1).stdout
    assert f"Not complete: {large.StudyInstanceUID}: 1 missing." in said
    assert "1 of 2 complete (1 were before)" in said


@contextmanager
def doorkeeper(port: int, lets_in: int) -> Iterator[int]:
    """A port before *port* that lets so many connections in, one after another, and breaks off all others."""
    left = [lets_in]

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            left[0] -= 1
            if left[0] < 0:
                return
            with create_connection(("127.0.0.1", port)) as inside:
                ends = {self.request: inside, inside: self.request}
                while data := (end := select(list(ends), [], [])[0][0]).recv(65536):
                    ends[end].sendall(data)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def test_of_a_study_that_could_not_be_fetched_the_instances_are_counted(
    south: Node, relais_json: Run, relais: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer tells its studies and then answers no more: it was "1 missing", and the record had "all" for a UID."""
    monkeypatch.setattr("relais.archive.pull.PATIENCE_S", (0.0,))
    series = a_series(8)
    fill(south, *series)
    study = series[0].StudyInstanceUID
    with doorkeeper(south.config.dimse.port, 1) as port:
        (left,) = relais_json("pull", f"SOUTH@127.0.0.1:{port}", code=1)["incomplete"].items()
    assert left[0] == study
    assert (left[1]["missing"], left[1]["instances"], left[1]["examples"]) == (8, 8, [])
    with doorkeeper(south.config.dimse.port, 1) as port:
        said = relais("pull", f"SOUTH@127.0.0.1:{port}", code=1).stdout
    assert f"Not complete: {study}: all of 8 missing. SOUTH@127.0.0.1:{port} at " in said


def test_of_a_study_that_broke_off_what_is_here_is_not_missing(
    south: Node, peer: str, relais_json: Run, relais: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relais.archive.pull.PATIENCE_S", (0.0,))
    series = a_series(8)
    fill(south, *series[:3])
    assert relais_json("pull", peer)["received"] == 3
    fill(south, *series[3:])
    with doorkeeper(south.config.dimse.port, 1) as port:
        said = relais("pull", f"SOUTH@127.0.0.1:{port}", code=1).stdout
    assert f"Not complete: {series[0].StudyInstanceUID}: 5 of 8 missing." in said


def test_a_peer_that_is_away_is_said_to_be(relais: Run) -> None:
    assert "NOBODY@127.0.0.1:1" in relais("pull", "NOBODY@127.0.0.1:1", code=1).output


@pytest.mark.parametrize("by", ["get", "web"])
def test_a_password_in_a_url_is_refused_and_not_shown(relais: Run, tmp_path: Path, by: str) -> None:
    told = relais("pull", "http://rosa:s3cret@127.0.0.1:1", "--by", by, code=2)
    assert "rosa:********@127.0.0.1:1" in told.output
    assert "s3cret" not in told.output
    assert not [path for path in tmp_path.rglob("*") if "s3cret" in path.name]  # a ledger is called as its peer is


@pytest.mark.parametrize("option", [("--rate", "fast"), ("--between", "8-9h"), ("--rate", "0/s")])
def test_what_cannot_be_a_pace_is_told(peer: str, relais: Run, option: tuple[str, str]) -> None:
    assert "like" in relais("pull", peer, *option, code=2).output


def test_a_rate_slows_it_down(south: Node, peer: str, relais_json: Run) -> None:
    fill(south, *(a_ct(rows=256, columns=256) for _ in range(4)))
    began = time.monotonic()
    told = relais_json("pull", peer, "--rate", "300 kB/s")
    assert told["received_bytes"] > 520_000
    assert 1.2 < time.monotonic() - began < 120


def is_at_work(data_dir: Path) -> bool:
    """Whether a pull from SOUTH has its ledger."""
    return any(map(is_locked, (data_dir / "pulls").rglob("SOUTH*")))


def test_two_pulls_from_one_peer_at_once_are_refused(
    south: Node, peer: str, relais: Run, config_file: Path, tmp_path: Path
) -> None:
    fill(south, *(a_ct() for _ in range(3)))
    slow = subprocess.Popen(
        [sys.executable, "-m", "relais", "pull", peer, "--rate", "1 studies/min"],
        env=os.environ | {"RELAIS_CONFIG": str(config_file)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: is_at_work(tmp_path / "data"))
        assert "same work already" in relais("pull", peer, code=1).output
    finally:
        slow.kill()
        slow.wait()


def test_killed_at_random_it_goes_on_and_is_complete(
    south: Node, peer: str, relais_json: Run, config_file: Path, tmp_path: Path
) -> None:
    fill(south, *(ds for n in range(12) for ds in a_series(8, StudyInstanceUID=uid(f"killed {n}"))))
    dice = random.Random(5)
    for _ in range(3):
        victim = subprocess.Popen(
            [sys.executable, "-m", "relais", "pull", peer, "--parallel", "2"],
            env=os.environ | {"RELAIS_CONFIG": str(config_file)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert eventually(lambda victim=victim: victim.poll() is not None or is_at_work(tmp_path / "data"))
        time.sleep(dice.uniform(0.0, 1.0))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    told = relais_json("pull", peer, "--parallel", "2")
    assert (told["units"], told["complete"], told["instances"]) == (12, 12, 96)
    assert len(relais_json("find", "--level", "instance", "--limit", "0")) == 96
    assert relais_json("check")["checked"] == 96


def test_a_key_pressed_ends_it_soon(south: Node, peer: str, config_file: Path, tmp_path: Path) -> None:
    fill(south, a_ct(rows=512, columns=512))
    victim = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "relais", "pull", peer, "--rate", "1kB/s"],
        env=os.environ | {"RELAIS_CONFIG": str(config_file)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert eventually(lambda: is_at_work(tmp_path / "data"))
    time.sleep(1)  # or sooner: it is at work for ten minutes
    victim.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = victim.communicate(timeout=300)
    assert time.monotonic() - began < 180  # it would take ten minutes
    assert (victim.returncode, said.decode().splitlines()[-1]) == (1, "Aborted!")
