"""`relais serve` on a real object store that goes away, as an operator sees it."""

import re
from pathlib import Path

import pytest
import requests
from pydicom import FileDataset

from fixtures.builders import a_ct, part10
from fixtures.faulty import faulty, resets
from fixtures.object_server import ObjectServer, environment, storage_settings
from fixtures.served import Served, put_away
from fixtures.waiting import eventually

pytestmark = pytest.mark.own_store
LONG_S = 300.0  # for what must come to pass, however busy the machine is


def stow(node: Served, content: bytes) -> int:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return requests.post(f"{node.url}/dicom-web/studies", body, headers={"Content-Type": kind}, timeout=120).status_code


def spooled(node: Served) -> float:
    found = re.search(r"^relais_spool_objects (\S+)$", requests.get(f"{node.url}/metrics", timeout=120).text, re.M)
    return float(found.group(1)) if found else -1.0


def note(node: Served) -> str:
    ready = requests.get(f"{node.url}/health/ready", timeout=120).json()
    return str(ready.get("notes", {}).get("storage", ""))


def study(node: Served, ds: FileDataset) -> bytes:
    """The study of *ds*; nothing while the object store is said to be away."""
    found = requests.get(f"{node.url}/dicom-web/studies/{ds.StudyInstanceUID}", timeout=120)
    assert found.status_code in {200, 503}
    return found.content


@pytest.mark.parametrize("is_killed", [False, True], ids=["living", "killed"])
def test_a_node_whose_store_goes_away_takes_what_comes_and_moves_it_later(
    object_server: ObjectServer, tmp_path: Path, is_killed: bool
) -> None:
    instances = [a_ct() for _ in range(6)]
    with faulty(object_server) as door:
        bucket = object_server.make_bucket()
        told = environment(storage_settings(door.server, bucket, tmp_path))
        node = Served(tmp_path, **told)
        try:
            node.wait_until_ready()
            assert stow(node, part10(instances[0])) == 200
            door.fail(resets)
            assert [stow(node, part10(ds)) for ds in instances[1:]] == [200] * 5
            assert eventually(lambda: "waits in the spool" in note(node), LONG_S)
            assert eventually(node.is_ready, LONG_S)
            assert eventually(lambda: spooled(node) == 5, LONG_S)
            if is_killed:
                node.kill()
            door.heal()
            if is_killed:
                node = Served(tmp_path, **told)
                node.wait_until_ready()
            client = object_server.client()
            assert eventually(lambda: client.list_objects_v2(Bucket=bucket)["KeyCount"] == 6, LONG_S)
            assert eventually(lambda: spooled(node) == 0, LONG_S)
            assert all(eventually(lambda ds=ds: ds.PixelData in study(node, ds), LONG_S) for ds in instances)
            assert eventually(lambda: note(node) == "", LONG_S)
        finally:
            put_away(node)
