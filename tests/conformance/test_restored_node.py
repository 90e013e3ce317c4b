"""Two nodes, the second made from a backup of the first while that was working: every door gives the same answers."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from fixtures.builders import a_ct, a_series, part10
from fixtures.engines import index_environ
from fixtures.ports import free_port
from relais import config
from relais.access.principals import OPERATOR
from relais.archive import backup, delete, ingest, maintenance, restoring
from relais.archive.delete import Reason
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import StudyRef
from relais.node import inline
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings
from relais.storage import open_store

SAMPLES = Path(__file__).parents[2] / "sample_dicom"
SERVICE, STUDY_INSTANCE_UID = "/dicom-web", 0x0020000D
ANY_FILE = 'multipart/related; type="application/dicom"; transfer-syntax=*'
BOUNDARY = re.compile(rb"boundary=[^;\s]+|--[^\r\n]{8,}(?=\r\n|--)")


def config_of(folder: Path, **more: str) -> config.Config:
    environ = {
        **more,
        "RELAIS_NODE__DATA_DIR": str(folder),
        "RELAIS_DIMSE__PORT": "0",
        "RELAIS_WEB__PORT": str(free_port()),
        **index_environ(folder),
    }
    return config.load(None, environ).config


@dataclass
class Doors:
    """What a node says when it is asked. Its own address, and what the second one cannot have, are taken out."""

    node: inline.Node

    def get(self, path: str, accept: str = "*/*") -> tuple[int, bytes]:
        request = urllib.request.Request(self.node.url + path, headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        return status, BOUNDARY.sub(b"", body.replace(self.node.url.encode(), b""))

    def found(self, path: str) -> list[Any]:
        """A search, in an order of its own."""
        status, body = self.get(f"{SERVICE}{path}")
        assert status == 200, body
        return sorted(json.loads(body), key=json.dumps)

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])

    def c_find(self, level: Level, *matches: Match) -> list[str]:
        peer = PeerSettings("node", "RELAIS", "127.0.0.1", self.node.config.dimse.port)
        return sorted(json.dumps(row) for row in DimsePeer(peer, "TEST").search(Query(level, matches, all_keys=True)))


@dataclass(frozen=True)
class Pair:
    """A node, the one that was made from its backup, and the studies that were deleted."""

    north: Doors
    south: Doors
    gone: list[str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("restored")
    with inline.Node(config_of(folder / "north")) as north:
        archive = north.archive
        for path in sorted(SAMPLES.rglob("*.dcm")):
            with path.open("rb") as file:
                ingest.store_part10(archive, file, Origin(Channel.IMPORT))
        gone = []
        for reason in (Reason.NONE, Reason.QUALITY):
            with ingest.receive_part10(archive, Origin(Channel.DIMSE, "192.0.2.1", "CT1", "RELAIS")) as receiving:
                receiving.write(part10(a_ct()))
                study = receiving.finish().ref.study_instance_uid
            delete.delete(archive, OPERATOR, StudyRef(study), reason)
            gone.append(study)
        assert backup.make(archive, folder / "disk").manifest.is_whole
        wanted = config_of(folder / "south")
        store = open_store(wanted.storage)
        restoring.restore(folder / "disk", store, wanted.index, wanted.node.data_dir)
        store.close()
        with inline.Node(wanted) as south:
            yield Pair(Doors(north), Doors(south), gone)


@pytest.mark.parametrize("path", ["/patients", "/studies", "/series", "/instances"])
def test_searches_find_the_same(pair: Pair, path: str) -> None:
    found = pair.south.found(f"{path}?includefield=all")
    assert found == pair.north.found(f"{path}?includefield=all")
    assert len(found) > 1


def test_c_find_finds_the_same(pair: Pair) -> None:
    for level in (Level.PATIENT, Level.STUDY):
        found = pair.south.c_find(level)
        assert found == pair.north.c_find(level)
        assert len(found) > 1
    for study in pair.north.found("/studies"):
        match = Match(STUDY_INSTANCE_UID, MatchKind.SINGLE_VALUE, (study["0020000D"]["Value"][0],))
        found = pair.south.c_find(Level.SERIES, match)
        assert found == pair.north.c_find(Level.SERIES, match)
        assert found


def test_every_instance_comes_as_the_same_bytes_with_the_same_metadata(pair: Pair) -> None:
    studies = [study["0020000D"]["Value"][0] for study in pair.north.found("/studies")]
    for uid in studies:
        path = f"{SERVICE}/studies/{uid}"
        assert pair.south.get(path, ANY_FILE) == pair.north.get(path, ANY_FILE)
        metadata = pair.south.get(f"{path}/metadata", "application/dicom+json")
        assert metadata == pair.north.get(f"{path}/metadata", "application/dicom+json")
        assert metadata[0] == 200
        thumbnail = pair.south.get(f"{path}/thumbnail")
        assert thumbnail == pair.north.get(f"{path}/thumbnail")
    assert len(studies) > 5


def test_what_was_deleted_is_gone_in_both(pair: Pair) -> None:
    for uid in pair.gone:
        for doors in (pair.north, pair.south):
            assert doors.get(f"{SERVICE}/studies/{uid}/metadata")[0] == 410


def test_the_change_feed_has_the_same_lines_under_another_name(pair: Pair) -> None:
    north, south = (doors.json("/api/changes?limit=10000") for doors in (pair.north, pair.south))
    assert north["feed"] != south["feed"]
    assert {**north, "feed": ""} == {**south, "feed": ""}
    assert len(south["changes"]) == south["latest"] > 100


def test_rejection_notes_are_the_same(pair: Pair) -> None:
    north, south = (doors.json("/api/rejections") for doors in (pair.north, pair.south))
    assert north == south
    assert len(south) > 0


def test_the_second_node_is_sound(pair: Pair) -> None:
    assert maintenance.check(pair.south.node.archive).is_sound
    assert maintenance.sweep(pair.south.node.archive) == maintenance.Swept()


def test_no_answer_of_the_lost_node_is_taken_for_one_of_the_restored(tmp_path: Path) -> None:
    """RFC 9110 8.8.1: the revisions behind the backup are given out again, for something else."""
    kept, lost, new = a_series(3)
    study = f"{SERVICE}/studies/{kept.StudyInstanceUID}"
    resources = (f"{study}/metadata", f"{study}/instances", "/dicom-web/studies?includefield=00201208")
    wanted = [
        config_of(tmp_path / name, RELAIS_NODE__PUBLIC_URL="https://pacs.example.org") for name in ("lost", "new")
    ]
    with inline.Node(wanted[0]) as node:
        store(node, kept)
        backup.make(node.archive, tmp_path / "disk")
        store(node, lost)
        before = {resource: validator(node, resource) for resource in resources}
        assert [validator(node, resource, etag) for resource, etag in before.items()] == [""] * len(before)
    objects = open_store(wanted[1].storage)
    restoring.restore(tmp_path / "disk", objects, wanted[1].index, wanted[1].node.data_dir)
    objects.close()
    with inline.Node(wanted[1]) as node:
        store(node, new)
        assert all(validator(node, resource, etag) for resource, etag in before.items())


def store(node: inline.Node, ds: Dataset) -> None:
    with ingest.receive_part10(node.archive, Origin(Channel.DIMSE, "192.0.2.1", "CT1", "RELAIS")) as receiving:
        receiving.write(part10(ds))
        receiving.finish()


def validator(node: inline.Node, path: str, known: str = '"none"') -> str:
    """The ETag of what is at *path*, "" if that is still what was *known*."""
    address = f"http://127.0.0.1:{node.config.web.port}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers={"If-None-Match": known})) as answer:
            return str(answer.headers["ETag"])
    except urllib.error.HTTPError as error:
        assert error.status == 304
        return ""
