"""kill -9 of any process of a serving node, or of all, while many senders store: nothing acknowledged is lost."""

import os
import random
import signal
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from fixtures.crowd import Crowd
from fixtures.places import node_environ, wait_until_settled
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais import config
from relais.archive import Archive, maintenance
from relais.index import lookup
from relais.node import compose

CHILDREN = ("dimse", "dimse-2", "web", "worker", "background")
LONG_S = 300.0  # for what must come to pass, however busy the machine is
AT_WORK = 50  # instances acknowledged: less would not be worth the kills
KILLS_PER_START = 3  # of children; one that dies often is started again later and later


def kill_child(node: Served, victim: str) -> None:
    """Kill one child, or an HTTP worker, of a node that goes on."""
    with suppress(ProcessLookupError, IndexError):  # it may be dead already, or not be started yet
        pids = node.workers() if victim == "worker" else [node.child(victim)]
        os.kill(random.choice(pids), signal.SIGKILL)


def start(folder: Path, engine: str, former: Served | None = None) -> Served:
    """A node whose DIMSE door runs on *engine*; on the data of the *former*, and on its ports."""
    node = Served(folder, RELAIS_DIMSE__ENGINE=engine, **(former.ports if former else {}))
    node.wait_until_ready()
    return node


def end_hard(node: Served, chance: random.Random) -> None:
    """Kill the supervisor only, or every process."""
    if chance.random() < 0.5:
        node.kill()
    else:
        node.process.kill()
        node.process.wait()
    assert eventually(lambda: node.pids() == [], LONG_S)


def check(archive: Archive, crowd: Crowd) -> None:
    """Everything acknowledged is there and unchanged; index and storage agree after a sweep."""
    for uid, digest in crowd.acknowledged.items():
        (row,) = lookup.by_sop_uids(archive.db, [uid])
        with archive.store.open(row.key) as stream:
            stream.seek(row.layout.dataset_offset)
            assert sha256(stream.read()).digest() == digest
    assert maintenance.sweep(archive, upload_age_s=0).unreadable == 0
    report = maintenance.check(archive)
    assert report.is_sound, report


def crash(folder: Path, engine: str, rounds: int, seed: int) -> Crowd:
    """Kill *rounds* times, at random moments; the crowd that was there meanwhile."""
    chance = random.Random(seed)
    node = start(folder, engine)
    crowd = Crowd(node.dimse_port, node.web_port)
    kills = 0
    try:
        for _ in range(rounds):
            time.sleep(chance.uniform(0.05, 0.7))
            if kills < KILLS_PER_START and chance.random() < 0.7:
                kill_child(node, chance.choice(CHILDREN))
                kills += 1
            else:
                end_hard(node, chance)
                node, kills = start(folder, engine, node), 0
        assert eventually(node.is_ready, LONG_S)
        assert eventually(lambda: len(crowd.acknowledged) > AT_WORK, LONG_S)
    finally:
        crowd.stop()
        put_away(node)
    wait_until_settled(folder / "data")
    given = config.load(None, node_environ(folder / "data")).config
    with compose.archive_of(given) as archive:
        check(archive, crowd)
    return crowd


@pytest.mark.parametrize(("engine", "rounds"), [("inline", 15), ("stock", 10)])
def test_nothing_acknowledged_is_lost_in_kills_of_a_serving_node(tmp_path: Path, engine: str, rounds: int) -> None:
    crowd = crash(tmp_path, engine, rounds, seed=5)
    assert crowd.refused == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["inline", "stock"])
@pytest.mark.parametrize("seed", range(10))
def test_nothing_acknowledged_is_lost_in_many_kills_of_a_serving_node(tmp_path: Path, engine: str, seed: int) -> None:
    assert crash(tmp_path, engine, 10, seed).refused == []
