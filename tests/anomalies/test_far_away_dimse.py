"""C-GET and C-MOVE from an object store behind a slow line: read side by side, sent in order, within bounds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import FileDataset
from pynetdicom import evt

from fixtures.builders import a_series, dataset_bytes
from fixtures.dimse_node import DimseNode
from fixtures.faulty import Faulty, SlowLine, damages_the_answer, faulty
from fixtures.object_server import ObjectServer, storage_settings
from fixtures.pynetdicom_scu import UNCOMPRESSED, Inbox, scu, storage_scp
from fixtures.retrieving import CT, EVERYTHING, GET, MOVE, an_identifier, node_with
from relais.access.principals import OPERATOR
from relais.archive import retrieve
from relais.dicom.refs import StudyRef
from relais.peers.readahead import AHEAD

pytestmark = pytest.mark.own_store

COUNT = 24


@dataclass
class Far:
    """A node with a series in a store behind *door*, and its peer DESTINATION."""

    node: DimseNode
    door: Faulty
    series: list[FileDataset]
    inbox: Inbox

    def keys(self) -> list[str]:
        ref = StudyRef(self.series[0].StudyInstanceUID)
        return [row.key for row in retrieve.instances(self.node.archive, OPERATOR, ref)]

    @property
    def came(self) -> list[str]:
        return [one.sop_instance_uid for one in self.inbox.received]


@pytest.fixture
def far(object_server: ObjectServer, tmp_path: Path) -> Iterator[Far]:
    inbox, series = Inbox(), a_series(COUNT)
    with faulty(object_server) as door, storage_scp(EVERYTHING, inbox) as port:
        settings = storage_settings(door.server, door.behind.make_bucket(), tmp_path)
        with node_with(tmp_path, series, port, archive_settings={"storage": settings}) as node:
            yield Far(node, door, series, inbox)


def by_get(far: Far) -> int:
    """The final status of a C-GET for the series."""
    handlers = [(evt.EVT_C_STORE, far.inbox.take)]
    with scu(far.node.port, [(GET, UNCOMPRESSED), (CT, UNCOMPRESSED)], as_scp=[CT], handlers=handlers) as assoc:
        *_, (status, _) = assoc.send_c_get(an_identifier("SERIES", far.series[0]), GET)
    return int(status.Status)


def by_move(far: Far) -> int:
    """That of a C-MOVE to DESTINATION."""
    with scu(far.node.port, [(MOVE, UNCOMPRESSED)]) as assoc:
        *_, (status, _) = assoc.send_c_move(an_identifier("SERIES", far.series[0]), "DESTINATION", MOVE)
    return int(status.Status)


@pytest.mark.parametrize("how", [by_get, by_move])
def test_what_is_far_away_is_read_side_by_side_and_sent_in_order(far: Far, how: Callable[[Far], int]) -> None:
    line = SlowLine(at_once=2)
    far.door.fail(line, method="GET")
    assert how(far) == 0x0000
    assert far.came == [ds.SOPInstanceUID for ds in far.series]
    assert [one.dataset for one in far.inbox.received] == [dataset_bytes(ds) for ds in far.series]
    assert 2 <= line.most <= AHEAD + 1
    assert line.begun == COUNT


@pytest.mark.parametrize("how", [by_get, by_move])
def test_a_damaged_object_far_away_fails_alone(far: Far, how: Callable[[Far], int]) -> None:
    far.door.fail(damages_the_answer, method="GET", part=far.keys()[3][-12:])
    assert how(far) == 0xB000
    assert far.came == [ds.SOPInstanceUID for number, ds in enumerate(far.series) if number != 3]


def test_what_is_too_large_to_be_fetched_beforehand_is_sent_too(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "WHOLE_BYTES", 1)
    assert by_get(far) == 0x0000
    assert [one.dataset for one in far.inbox.received] == [dataset_bytes(ds) for ds in far.series]
