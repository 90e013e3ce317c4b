"""Storage Commitment to what waits on one of two nodes: whichever is asked, or tells, the result is right."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from fixtures.commitment import ask as ask_for
from fixtures.commitment import asking, ear, references
from fixtures.committed import CALLER, peer_at
from fixtures.dimse_node import ENGINE
from fixtures.faulty import Faulty, resets
from fixtures.node import close_archive, make_archive
from fixtures.object_server import storage_settings
from fixtures.waiting import eventually
from relais.archive import Archive, commitment, ingest
from relais.archive.spooling import SharedRegister
from relais.dicom.origin import Channel, Origin
from relais.dimse.server import DimseServer
from relais.dimse.settings import DimseSettings
from relais.node.commitments import Commitments
from relais.peers.registry import Registry
from relais.storage import open_store
from relais.storage.s3.store import S3Store

pytestmark = pytest.mark.own_store


@pytest.fixture
def north(door: Faulty, tmp_path: Path) -> Iterator[Archive]:
    """The node that is cut off from the bucket."""
    settings = storage_settings(door.server, door.behind.make_bucket(), tmp_path / "north")
    archive = make_archive(tmp_path, storage=settings)
    door.fail(resets)
    yield archive
    close_archive(archive)


@pytest.fixture
def south(north: Archive, door: Faulty, tmp_path: Path) -> Iterator[Archive]:
    """The other node of the same archive."""
    assert isinstance(north.store, S3Store)
    settings = storage_settings(door.behind, north.store.bucket._name, tmp_path / "south")
    other = open_store(settings, tmp_path, SharedRegister(north.db))
    yield replace(north, store=other)
    other.close()


@pytest.fixture
def south_port(south: Archive) -> Iterator[int]:
    server = DimseServer(DimseSettings(port=0, engine=ENGINE), south, Registry([]))
    server.start()
    yield server.port
    server.stop(2)


def teller(archive: Archive, port: int) -> Commitments:
    return Commitments(archive, Registry([peer_at(port)]), lambda: False)


def make_due(archive: Archive, age_s: float = 0.0) -> None:
    """As if the time until the next attempt were over, and that of the request so long ago."""
    change = "UPDATE commitment SET due_at = 0, requested_at = requested_at - ?"
    archive.db.write(lambda tx: tx.execute(change, (age_s,)))


def test_what_another_node_has_is_not_called_lost_but_told_by_that_one(
    north: Archive, south: Archive, south_port: int
) -> None:
    waits, there = a_ct(), a_ct()
    for archive, ds in ((north, waits), (south, there)):
        ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    with ear(CALLER) as (taken, port):
        with asking(south_port, CALLER) as (assoc, here):
            assert ask_for(assoc, references(waits)).Status == 0
            assert here.heard(3) is None
            assert ask_for(assoc, references(there)).Status == 0
            event_type, told = here.heard() or (0, None)
            assert (event_type, told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == (1, there.SOPInstanceUID)
        make_due(south)
        assert eventually(teller(south, port).step)
        assert taken.told.empty()
        make_due(north)
        assert teller(north, port).step()
        event_type, told = taken.told.get(timeout=120)
        assert (event_type, told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == (1, waits.SOPInstanceUID)
    assert commitment.claim(north) == []


@pytest.mark.parametrize("retry_s", [604800.0, 0.0])
def test_what_stays_away_is_told_as_not_committed_to_after_a_while(
    north: Archive, south: Archive, south_port: int, retry_s: float
) -> None:
    ds = a_ct()
    ingest.store_part10(north, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    with ear(CALLER) as (taken, port):
        with asking(south_port, CALLER) as (assoc, here):
            assert ask_for(assoc, references(ds)).Status == 0
            assert here.heard(3) is None
        make_due(south, commitment.PATIENCE_S if retry_s else 0.0)
        south = replace(south, settings=replace(south.settings, commitment_retry_s=retry_s))
        assert teller(south, port).step()
        event_type, told = taken.told.get(timeout=120)
        assert (event_type, told.FailedSOPSequence[0].FailureReason) == (2, 0x0213)
    assert commitment.claim(south) == []
