"""A hundred who ask for much and read nothing cost less than 100 MB (and hold up nobody: see test_crowds)."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from pydicom import Dataset

from fixtures.builders import a_ct, part10
from fixtures.giant import a_giant
from fixtures.process import MB, resident_bytes
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from fixtures.web import multipart_body, path

pytestmark = pytest.mark.files("what lies far away is read ahead for each reader, up to 16 MB")

READERS = 100
MOST_BYTES = 100 * MB
TAKEN_BYTES = 64 * 1024  # what the kernel of a reader takes for it
ACCEPT = (
    'Accept: multipart/related; type="application/dicom"; transfer-syntax=*, '
    'multipart/related; type="application/octet-stream"; transfer-syntax=*'
)
BOUNDARY = "the-boundary"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    """A fresh one, whose memory nobody has stretched, and which has done what a start brings."""
    made = Served(tmp_path, RELAIS_WEB__STALL_TIMEOUT_S="3600")
    made.wait_until_ready()
    assert eventually(made.has_settled, 120)
    yield made
    put_away(made)


def one_large_instance(node: Served) -> str:
    giant = a_giant(40)
    assert giant.stow(node.web_port) == 200
    return f"/studies/{giant.study_instance_uid}"


def one_large_frame(node: Served) -> str:
    mammogram = a_ct(rows=4096, columns=4096)
    store(node, [mammogram])
    return f"{path(mammogram)}/frames/1"


def many_instances(node: Served) -> str:
    first = a_ct(rows=512, columns=512)
    study, series = first.StudyInstanceUID, first.SeriesInstanceUID
    more = [a_ct(rows=512, columns=512, StudyInstanceUID=study, SeriesInstanceUID=series) for _ in range(29)]
    store(node, [first, *more])
    return f"/studies/{study}"


def store(node: Served, instances: Sequence[Dataset]) -> None:
    body = multipart_body([part10(ds) for ds in instances], BOUNDARY)
    content_type = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    stored = requests.post(f"{node.url}/dicom-web/studies", body, headers={"Content-Type": content_type}, timeout=300)
    assert stored.status_code == 200


class Memory:
    """What the web workers have in memory."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.last = [0]

    def bytes(self) -> int:
        return sum(map(resident_bytes, self.pids))

    def is_steady(self) -> bool:
        """Whether it has not grown by more than a MB since each of the last ten looks."""
        self.last = [*self.last, self.bytes()][-10:]
        return len(self.last) == 10 and max(self.last) - min(self.last) < MB


KINDS: dict[str, Callable[[Served], str]] = {
    "one large instance": one_large_instance,
    "one large frame": one_large_frame,
    "many instances": many_instances,
}


@pytest.mark.parametrize("kind", KINDS)
def test_100_who_read_nothing_of_what_they_asked_for_cost_less_than_100_mb(node: Served, kind: str) -> None:
    resource = KINDS[kind](node)
    assert eventually(lambda: len(node.workers()) == 2, 120)
    memory = Memory(node.workers())
    assert eventually(memory.is_steady, 120, every_s=0.3)
    before = memory.bytes()
    with ExitStack() as closing:
        for _ in range(READERS):
            reader = closing.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TAKEN_BYTES)
            reader.settimeout(300)
            reader.connect(("127.0.0.1", node.web_port))
            reader.sendall(f"GET /dicom-web{resource} HTTP/1.1\r\nHost: localhost\r\n{ACCEPT}\r\n\r\n".encode())
            assert reader.recv(12) == b"HTTP/1.1 200"  # it is being sent its answer
        assert eventually(memory.is_steady, 120, every_s=0.3)
        assert memory.bytes() - before < MOST_BYTES
