"""Results of Storage Commitment (PS3.4 J) that are told later: who asked is called, again and again."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.builders import a_ct
from fixtures.commitment import PROPOSAL, ask, ear, references
from fixtures.committed import CALLER, audited, due, keep, peer_at, teller, waiting
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.engines import only_sqlite
from fixtures.ports import free_port
from fixtures.pynetdicom_scu import UNCOMPRESSED, scu
from fixtures.upper_layer import fresh_uid
from fixtures.waiting import eventually
from relais.archive import Archive, commitment
from relais.peers.settings import PeerSettings


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


def make_due(archive: Archive) -> None:
    """As if the time until the next attempt were over."""
    archive.db.write(lambda tx: tx.execute("UPDATE commitment SET due_at = 0"))


def test_a_requester_that_is_gone_is_called(node: DimseNode) -> None:
    """PS3.4 J.3.3: on a new association, on which the SCP proposes itself as SCP."""
    information = references(*keep(node, a_ct()), a_ct())
    with ear(CALLER) as (taken, port):
        with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
            assert ask(assoc, information).Status == 0
        assert eventually(lambda: teller(node, peer_at(port)).step())
        event_type, told = taken.told.get(timeout=120)
    assert event_type == 2
    assert told.TransactionUID == information.TransactionUID
    assert waiting(node) == []


def test_a_requester_that_goes_on_with_other_things_is_called(node: DimseNode) -> None:
    information = references(*keep(node, a_ct()))
    with ear(CALLER) as (taken, port), scu(node.port, [PROPOSAL, ("1.2.840.10008.1.1", UNCOMPRESSED)]) as assoc:
        assert ask(assoc, information).Status == 0
        assert assoc.send_c_echo().Status == 0
        settings = PeerSettings("away", "PYNETDICOM", "127.0.0.1", port)
        assert eventually(lambda: teller(node, settings).step())
        assert taken.told.get(timeout=120)[0] == 1


def test_a_requester_that_is_away_is_called_again_later_and_later(node: DimseNode) -> None:
    port = free_port()
    information = references(*keep(node, a_ct()))
    with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
        assert ask(assoc, information).Status == 0
    tries = teller(node, peer_at(port))
    assert eventually(tries.step)
    assert not tries.step()  # not now
    for attempts in range(2, 5):
        make_due(node.archive)
        began_at = time.time()
        assert tries.step()
        ended_at = time.time()
        assert waiting(node) == [(information.TransactionUID, attempts)]
    with node.archive.db.read() as connection:
        [due_at] = connection.execute("SELECT due_at FROM commitment").fetchone()
    assert began_at + 40 <= due_at <= ended_at + 40
    make_due(node.archive)
    with ear(CALLER, port) as (taken, _):
        assert tries.step()
        assert taken.told.get(timeout=120)[0] == 1
    assert waiting(node) == []


def test_a_requester_that_refuses_what_it_is_told_is_told_again(node: DimseNode) -> None:
    with ear(CALLER) as (taken, port):
        with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
            assert ask(assoc, references(*keep(node, a_ct()))).Status == 0
        taken.status = 0x0110
        tries = teller(node, peer_at(port))
        assert eventually(tries.step)
        assert len(waiting(node)) == 1
        taken.status = 0
        make_due(node.archive)
        assert tries.step()
        assert waiting(node) == []
        assert taken.told.qsize() == 2


def test_requests_survive_a_restart(tmp_path: Path) -> None:
    with dimse_node(tmp_path / "node") as node:
        information = references(*keep(node, a_ct()))
        with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
            assert ask(assoc, information).Status == 0
            assoc.abort()
        assert eventually(lambda: due(node) == 1)
    with dimse_node(tmp_path / "node") as node, ear(CALLER) as (taken, port):
        assert teller(node, peer_at(port)).step()
        assert taken.told.get(timeout=120)[1].TransactionUID == information.TransactionUID


def test_a_teller_that_died_loses_its_claim_after_a_while(node: DimseNode) -> None:
    with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
        assert ask(assoc, references(*keep(node, a_ct()))).Status == 0
    assert eventually(lambda: bool(commitment.claim(node.archive)))
    assert commitment.claim(node.archive) == []  # claimed, and then nothing was heard of the claimant
    make_due(node.archive)
    assert len(commitment.claim(node.archive)) == 1


def test_a_result_that_was_put_off_while_the_clock_was_ahead_is_told_now(
    node: DimseNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
        assert ask(assoc, references(*keep(node, a_ct()))).Status == 0
    assert eventually(lambda: due(node) == 1)
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: now() + 365 * 86_400)
        assert commitment.claim(node.archive)  # by a teller that dies
    [claimed] = commitment.claim(node.archive)
    commitment.postpone(node.archive, [replace(claimed, attempts=20)], "it is away")
    assert commitment.claim(node.archive) == []  # put off for as long as anything is


@only_sqlite("it reads EXPLAIN QUERY PLAN")
@pytest.mark.parametrize("statement", [commitment.NEXT, commitment.CLAIM])
def test_what_is_due_is_found_by_indexes(node: DimseNode, statement: str) -> None:
    values = {"now": 0, "latest": 0, "requester": CALLER, "limit": 1, "until": 0}
    with node.archive.db.read() as connection:
        plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]
    assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step], plan


def test_several_results_are_told_on_one_association(node: DimseNode) -> None:
    [ds] = keep(node, a_ct())
    uids = [fresh_uid() for _ in range(3)]
    for transaction_uid in uids:
        with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
            assert ask(assoc, references(ds, transaction_uid=transaction_uid)).Status == 0
    assert eventually(lambda: due(node) == 3)
    with ear(CALLER) as (taken, port):
        assert teller(node, peer_at(port)).step()
        assert [taken.told.get(timeout=120)[1].TransactionUID for _ in uids] == uids


def test_nobody_tells_an_unknown_requester_and_after_a_week_nobody_tries(tmp_path: Path) -> None:
    with dimse_node(tmp_path / "node", archive_settings={"commitment_retry_s": 3600}) as node:
        with scu(node.port, [PROPOSAL], calling=CALLER) as assoc:
            assert ask(assoc, references(*keep(node, a_ct()))).Status == 0
        tries = teller(node)
        assert eventually(tries.step)
        assert len(waiting(node)) == 1
        node.archive.db.write(lambda tx: tx.execute("UPDATE commitment SET requested_at = requested_at - 3601"))
        make_due(node.archive)
        assert tries.step()
        assert waiting(node) == []
        assert "given_up" in audited(node)[-1][2]
