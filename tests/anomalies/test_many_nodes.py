"""Two nodes of one archive behind a balancer, each killed in the midst of work: nothing acknowledged is lost.

Index in PostgreSQL, objects in a real object store, HAProxy as in conf/haproxy.cfg, `relais serve` twice.
"""

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from fixtures import haproxy, object_server
from fixtures.crowd import BROKEN, Crowd
from fixtures.engines import POSTGRESQL, index_url
from fixtures.object_server import ObjectServer, storage_settings
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais import config
from relais.access.principals import OPERATOR
from relais.archive import feed, maintenance
from relais.index import lookup
from relais.index.rows import kept_of
from relais.node import compose

pytestmark = [pytest.mark.own_index, pytest.mark.own_store]
LONG_S = 300.0  # for what must come to pass, however busy the machine is
LOOPBACK = '["127.0.0.1"]'


class Nodes:
    """Two nodes on one index and one bucket; one that was killed comes back on its own folder and ports."""

    def __init__(self, folder: Path, server: ObjectServer) -> None:
        self._folder = folder
        storage = object_server.environment(storage_settings(server, server.make_bucket(), folder))
        shared = {"RELAIS_INDEX__URL": index_url(folder, POSTGRESQL), **storage}
        self.environ = {**shared, "RELAIS_DIMSE__PROXIES": LOOPBACK, "RELAIS_WEB__PROXIES": LOOPBACK}
        self.served = [self._start(number) for number in range(2)]

    def wait_until_ready(self) -> None:
        for node in self.served:
            node.wait_until_ready()

    def kill(self, number: int) -> None:
        """Every process at once, as when the machine goes away."""
        self.served[number].kill()

    def come_back(self, number: int) -> None:
        former = self.served[number]
        self.served[number] = self._start(number, former.ports)
        self.served[number].wait_until_ready()

    def put_away(self) -> None:
        for node in self.served:
            put_away(node)

    def _start(self, number: int, ports: Mapping[str, str] | None = None) -> Served:
        folder = self._folder / f"node-{number}"
        folder.mkdir(exist_ok=True)
        return Served(folder, **(ports or {}), **self.environ)


class Follower:
    """Reads the change feed through the balancer, whichever node answers, and never goes back."""

    def __init__(self, port: int) -> None:
        self._port, self._is_over = port, threading.Event()
        self.revisions: list[int] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(LONG_S)

    def _run(self) -> None:
        while not self._is_over.is_set():
            with suppress(*BROKEN):
                self._read()
            time.sleep(0.05)

    def _read(self) -> None:
        seen = self.revisions[-1] if self.revisions else 0
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request("GET", f"/api/changes?since={seen}&limit=1000")
            answer = connection.getresponse()
            if answer.status == 200:
                self.revisions += [change["rev"] for change in json.loads(answer.read())["changes"]]


@pytest.fixture
def nodes(tmp_path: Path, object_server: ObjectServer) -> Iterator[Nodes]:
    made = Nodes(tmp_path, object_server)
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.put_away()


@contextmanager
def at_work(nodes: Nodes, folder: Path) -> Iterator[tuple[Crowd, Follower]]:
    """Senders by DIMSE and HTTP and a reader of the change feed, all through the balancer."""
    with haproxy.before(nodes.served, folder) as balancer, ExitStack() as stack:
        assert eventually(lambda: answers(balancer.web_port), LONG_S)
        crowd = Crowd(balancer.dimse_port, balancer.web_port)
        stack.callback(crowd.stop)
        follower = Follower(balancer.web_port)
        stack.callback(follower.stop)
        yield crowd, follower


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with suppress(*BROKEN), closing(connection):
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    return False


def gains(crowd: Crowd, count: int, while_doing: Callable[[], None] = lambda: None) -> bool:
    """Whether *count* more are acknowledged after something was done."""
    while_doing()
    before = len(crowd.acknowledged)
    return eventually(lambda: len(crowd.acknowledged) >= before + count, LONG_S)


def check(nodes: Nodes, crowd: Crowd, follower: Follower) -> None:
    """Everything acknowledged is there and unchanged, whichever node is asked, and the feed told it all, once."""
    for node in nodes.served:
        with compose.archive_of(config.load(None, node.environ).config) as archive:
            kept = {row.ref.sop_instance_uid: row.digest for row in lookup.by_sop_uids(archive.db, crowd.acknowledged)}
            assert kept == {uid: kept_of(digest) for uid, digest in crowd.acknowledged.items()}
    with compose.archive_of(config.load(None, nodes.served[0].environ).config) as archive:
        assert maintenance.sweep(archive, upload_age_s=0).unreadable == 0
        report = maintenance.check(archive)  # every byte against its digest
        assert report.is_sound, report
        told = feed.changes(archive, OPERATOR, 0, 1_000_000).changes
    revisions = [change.revision for change in told]
    assert follower.revisions == revisions[: len(follower.revisions)]
    assert {change.ref.sop_instance_uid for change in told} >= set(crowd.acknowledged)


def test_either_of_two_nodes_may_be_killed_in_the_midst_of_work(nodes: Nodes, tmp_path: Path) -> None:
    with at_work(nodes, tmp_path) as (crowd, follower):
        for number in (0, 1):
            assert gains(crowd, 20)
            assert gains(crowd, 20, lambda number=number: nodes.kill(number))
            assert gains(crowd, 20, lambda number=number: nodes.come_back(number))
    for node in nodes.served:
        assert node.stop() == 0
    check(nodes, crowd, follower)


def test_a_node_that_ends_politely_breaks_nothing(nodes: Nodes, tmp_path: Path) -> None:
    """Rolling upgrade: one node after the other is stopped and started again, and nobody is refused for long."""
    with at_work(nodes, tmp_path) as (crowd, follower):
        for number in (0, 1):
            assert gains(crowd, 10)
            os.kill(nodes.served[number].process.pid, signal.SIGTERM)
            assert nodes.served[number].process.wait(LONG_S) == 0
            assert gains(crowd, 10)
            nodes.come_back(number)
            assert eventually(nodes.served[number].is_ready, LONG_S)
        assert gains(crowd, 10)
    for node in nodes.served:
        node.stop()
    check(nodes, crowd, follower)
