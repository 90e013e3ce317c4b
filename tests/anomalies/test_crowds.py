"""Many who say nothing, or say it slowly, change nothing for the others."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from fixtures import upper_layer as ul
from fixtures.builders import a_ct, part10
from fixtures.giant import a_giant
from fixtures.served import Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually

PATIENCE_S = 24  # of the node in these tests, with a connection that does not become an association
QUICK_S = 20.0  # shorter than anybody is waited for; less than a hundredth of it on a machine with nothing else to do
SOON_S = 120.0  # for what must come to pass, however busy the machine is
HALF_A_REQUEST = b"GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"
A_BODY_TO_COME = (
    b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"
    b'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n'
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("crowds"), RELAIS_DIMSE__ACSE_TIMEOUT_S=str(PATIENCE_S))
    made.wait_until_ready()
    yield made
    put_away(made)


@pytest.fixture
def visitor(node: Served) -> Visitor:
    made = Visitor(node.dimse_port, node.web_port)
    assert made.store("web") == "200"
    return made


@contextmanager
def crowd(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """*count* connections that have *said* something, and say no more; nobody waits for what they might hear."""
    with ExitStack() as exit_all:
        members = [exit_all.enter_context(socket.create_connection(("127.0.0.1", port), 120)) for _ in range(count)]
        for member in members:
            member.sendall(said)
            member.setblocking(False)
        yield members


def slowest_s(act: Callable[[], bool], times: int = 20) -> float:
    took = []
    for _ in range(times):
        began = time.monotonic()
        assert act()
        took.append(time.monotonic() - began)
    return max(took)


def all_is_quick(visitor: Visitor) -> None:
    (uid, *_) = visitor.acknowledged
    assert slowest_s(visitor.echo) < QUICK_S
    assert slowest_s(lambda: visitor.find(uid)) < QUICK_S
    assert visitor.get("/health/ready")[0] == 200


def is_closed(member: socket.socket) -> bool:
    try:
        while member.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize("said", [b"", ul.associate_rq()[:40]], ids=["nothing", "half a request"])
def test_200_silent_connections_change_nothing_and_are_closed(node: Served, visitor: Visitor, said: bytes) -> None:
    with crowd(node.dimse_port, 200, said) as members:
        all_is_quick(visitor)
        assert visitor.store("dimse") == "0000"
        assert eventually(lambda: all(map(is_closed, members)), SOON_S)
        all_is_quick(visitor)


@pytest.mark.parametrize("said", [b"", HALF_A_REQUEST, A_BODY_TO_COME], ids=["nothing", "half a head", "half a body"])
def test_100_slow_http_clients_change_nothing(node: Served, visitor: Visitor, said: bytes) -> None:
    with crowd(node.web_port, 100, said):
        time.sleep(0.5)
        all_is_quick(visitor)
        assert visitor.store("web") == "200"
    all_is_quick(visitor)


def test_uploads_hold_their_share_of_threads_and_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"RELAIS_WEB__WORKERS": "1", "RELAIS_WEB__THREADS": "8", "RELAIS_WEB__MIN_UPLOAD_RATE": "1"}
    node = Served(tmp_path_factory.mktemp("uploads"), **settings)
    try:
        node.wait_until_ready()
        visitor = Visitor(node.dimse_port, node.web_port)
        assert visitor.store("dimse") == "0000"
        with crowd(node.web_port, 50, A_BODY_TO_COME) as members:
            assert eventually(lambda: any(map(is_refused, members)), SOON_S)
            all_is_quick(visitor)
            assert visitor.store("web") == "503"
            assert visitor.store("dimse") == "0000"
        assert eventually(lambda: visitor.store("web") == "200", SOON_S)
    finally:
        put_away(node)


def status_of(member: socket.socket) -> str:
    """The status of the answer that has come, without taking it; "" while there is none."""
    try:
        return member.recv(12, socket.MSG_PEEK).decode().removeprefix("HTTP/1.1 ")
    except OSError:
        return ""


def is_refused(member: socket.socket) -> bool:
    return status_of(member) == "503"


def drip(members: list[socket.socket]) -> bool:
    """Send one more byte of each body, if its connection is still there."""
    for member in members:
        with suppress(OSError):
            member.send(b"x")
    return True


def test_uploads_that_drip_or_stall_hold_their_threads_for_a_while_and_no_longer(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The limit is 64 kB/s here, so that the while is some four seconds. Six of the eight get a thread."""
    settings = {"RELAIS_WEB__WORKERS": "1", "RELAIS_WEB__THREADS": "8", "RELAIS_WEB__MIN_UPLOAD_RATE": str(2**16)}
    node = Served(tmp_path_factory.mktemp("drips"), **settings)
    try:
        node.wait_until_ready()
        visitor = Visitor(node.dimse_port, node.web_port)
        with crowd(node.web_port, 4, A_BODY_TO_COME) as stalled, crowd(node.web_port, 4, A_BODY_TO_COME) as dripping:
            everybody = [*stalled, *dripping]
            assert eventually(lambda: drip(dripping) and any(map(is_refused, everybody)), SOON_S)
            assert eventually(lambda: drip(dripping) and visitor.store("web") == "200", SOON_S)
            assert eventually(lambda: all(map(status_of, stalled)), SOON_S)
            assert set(map(status_of, stalled)) in ({"408"}, {"408", "503"})
            assert eventually(lambda: all(map(is_closed, everybody)), SOON_S)
        assert eventually(lambda: "upload cut off" in Path(node.errors).read_text(), SOON_S)
    finally:
        put_away(node)


def test_an_upload_that_is_slow_but_not_too_slow_is_taken_beside_one_that_stalls(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The limit is 16 kB/s: the stalled one is waited for some 16 s; who pauses for half as long is not too slow."""
    settings = {"RELAIS_WEB__WORKERS": "1", "RELAIS_WEB__MIN_UPLOAD_RATE": str(2**14)}
    node = Served(tmp_path_factory.mktemp("slow"), **settings)
    try:
        node.wait_until_ready()
        file = part10(a_ct(rows=1024, columns=1024))
        body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--b--\r\n"
        head = A_BODY_TO_COME.partition(b"Content-Length")[0] + f"Content-Length: {len(body)}\r\n\r\n".encode()
        with crowd(node.web_port, 1, A_BODY_TO_COME) as stalled, crowd(node.web_port, 1, head) as (slow,):
            slow.settimeout(SOON_S)
            began = time.monotonic()
            for number, at in enumerate(range(0, len(body), 2**15)):
                slow.sendall(body[at : at + 2**15])
                # seven times the rate that is asked for, and longer than the stalled one is waited for
                time.sleep(max(0.0, began + 0.3 * number - time.monotonic()))
            assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")
            assert eventually(lambda: all(map(is_closed, stalled)), SOON_S)
    finally:
        put_away(node)


def test_readers_that_stall_hold_their_threads_for_a_while_and_no_longer(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = {"RELAIS_WEB__WORKERS": "1", "RELAIS_WEB__THREADS": "8", "RELAIS_WEB__STALL_TIMEOUT_S": "2"}
    node = Served(tmp_path_factory.mktemp("stalls"), **settings)
    try:
        node.wait_until_ready()
        visitor, giant = Visitor(node.dimse_port, node.web_port), a_giant(40)
        assert visitor.store("web") == "200"
        assert giant.c_store(node.dimse_port) == 0
        with crowd(node.web_port, 8, asking_for_all_of(giant.study_instance_uid)):
            time.sleep(1)  # until all of them are being sent to
            assert eventually(lambda: visitor.get("/health/live")[0] == 200, SOON_S)
            assert visitor.store("web") == "200"
    finally:
        put_away(node)


class Dripping(threading.Thread):
    """Takes *size* bytes from each of *members* every tenth of a second, until it is stopped."""

    def __init__(self, members: list[socket.socket], size: int) -> None:
        super().__init__()
        self._members, self._size, self._is_over = members, size, threading.Event()
        self.taken = 0

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            for member in self._members:
                with suppress(OSError):
                    self.taken += len(member.recv(self._size))

    def __enter__(self) -> "Dripping":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()


def asking_for_all_of(study_instance_uid: str) -> bytes:
    accept = 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*'
    return f"GET /dicom-web/studies/{study_instance_uid} HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n\r\n".encode()


def test_100_readers_that_drip_change_nothing(node: Served, visitor: Visitor) -> None:
    giant = a_giant(20)
    assert giant.c_store(node.dimse_port) == 0
    with crowd(node.web_port, 100, asking_for_all_of(giant.study_instance_uid)) as members, Dripping(members, 1):
        time.sleep(1)
        all_is_quick(visitor)
        assert visitor.store("web") == "200"
    all_is_quick(visitor)


def test_readers_that_drip_hold_their_threads_for_a_while_and_no_longer(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each takes 10 kB/s, where 64 kB/s are asked for; one beside them takes up to 2.5 MB/s and gets it all."""
    settings = {"RELAIS_WEB__WORKERS": "1", "RELAIS_WEB__THREADS": "8", "RELAIS_WEB__STALL_TIMEOUT_S": "10"}
    node = Served(tmp_path_factory.mktemp("readers"), **settings, RELAIS_WEB__MIN_DOWNLOAD_RATE=str(2**16))
    try:
        node.wait_until_ready()
        visitor, giant = Visitor(node.dimse_port, node.web_port), a_giant(20)
        assert giant.c_store(node.dimse_port) == 0
        ask = asking_for_all_of(giant.study_instance_uid)
        with (
            crowd(node.web_port, 1, ask) as steady,
            Dripping(steady, 2**18) as reader,
            crowd(node.web_port, 7, ask) as members,
            Dripping(members, 1000),
        ):
            time.sleep(1)  # until all of them are being sent to
            assert eventually(lambda: visitor.get("/health/live")[0] == 200, SOON_S)
            assert visitor.store("web") == "200"
            assert eventually(lambda: Path(node.errors).read_text().count("answer cut off") == 7, SOON_S)
            assert eventually(lambda: reader.taken > 20 * 2**20, SOON_S)
    finally:
        put_away(node)


@pytest.mark.slow
def test_a_silent_http_connection_is_closed_within_30_s(node: Served) -> None:
    for said in (b"", HALF_A_REQUEST):
        with crowd(node.web_port, 10, said) as members:
            assert eventually(lambda: all(map(is_closed, members)), 31)


@pytest.mark.slow
def test_an_idle_kept_alive_connection_is_closed_in_the_end(node: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.web_port, timeout=120)
    try:
        connection.request("GET", "/health/live")
        assert connection.getresponse().read()
        connection.sock.setblocking(False)
        assert eventually(lambda: is_closed(connection.sock), 35)
    finally:
        connection.close()
