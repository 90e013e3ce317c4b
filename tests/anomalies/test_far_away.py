"""An object store behind a slow line: what is asked for is read side by side, in order, within bounds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import pytest
from pydicom import Dataset, FileDataset, dcmread
from werkzeug.test import Client, TestResponse

from fixtures.builders import a_multiframe, a_series, part10
from fixtures.faulty import DELAY_S, Answered, Asked, Faulty, Forward, SlowLine, damages_the_answer, says
from fixtures.node import close_archive, make_archive
from fixtures.object_server import storage_settings
from fixtures.waiting import eventually
from relais.access.principals import OPERATOR
from relais.archive import Archive, ahead, documents, ingest, maintenance, retrieve
from relais.archive.integrity import Damaged
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import SeriesRef
from relais.dicomweb import multipart
from relais.index.rows import InstanceRow
from relais.storage.settings import RestoreTier
from relais.web.app import create_app
from relais.web.settings import WebSettings

pytestmark = pytest.mark.own_store

COUNT = 24


@pytest.fixture
def archive(door: Faulty, tmp_path: Path) -> Iterator[Archive]:
    settings = storage_settings(door.server, door.behind.make_bucket(), tmp_path)
    archive = make_archive(tmp_path, storage=settings)
    yield archive
    close_archive(archive)


@pytest.fixture
def series(archive: Archive) -> list[FileDataset]:
    found = a_series(COUNT)
    for ds in found:
        store(archive, ds)
    return found


@pytest.fixture
def line(door: Faulty, series: list[FileDataset]) -> SlowLine:
    """From when the series is stored on."""
    line = SlowLine()
    door.fail(line, method="GET")
    return line


@pytest.fixture
def gathering(line: SlowLine) -> SlowLine:
    """The same, where much is to be asked for at once."""
    line.at_once = ahead.AT_ONCE // 2
    return line


@pytest.fixture
def client(archive: Archive) -> Client:
    return Client(create_app(archive, WebSettings(), {}), TestResponse)


def store(archive: Archive, ds: FileDataset) -> None:
    ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))


def rows_of(archive: Archive, series: list[FileDataset]) -> list[InstanceRow]:
    ref = SeriesRef(series[0].StudyInstanceUID, series[0].SeriesInstanceUID)
    return retrieve.instances(archive, OPERATOR, ref)


def url_of(ds: Dataset) -> str:
    return f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"


def parts_of(answer: TestResponse) -> list[bytes]:
    """The content of each part."""
    boundary = str(answer.mimetype_params["boundary"])
    found: list[bytes] = []
    for event in multipart.events([answer.data], boundary):
        if isinstance(event, multipart.PartBegins):
            found.append(b"")
        elif isinstance(event, multipart.PartData):
            found[-1] += event.data
    return found


def numbers_of(files: list[bytes]) -> list[int]:
    return [int(dcmread(BytesIO(file)).InstanceNumber) for file in files]


def is_side_by_side(line: SlowLine) -> bool:
    return ahead.AT_ONCE // 2 <= line.most <= ahead.AT_ONCE


def wait_until_still(line: SlowLine) -> None:
    assert eventually(lambda: not line.now)


def test_a_series_is_read_side_by_side_and_sent_in_order(
    client: Client, series: list[FileDataset], gathering: SlowLine
) -> None:
    answer = client.get(url_of(series[0]), headers={"Accept": 'multipart/related; type="application/dicom"'})
    assert numbers_of(parts_of(answer)) == list(range(1, COUNT + 1))
    assert answer.content_length == len(answer.data)
    assert is_side_by_side(gathering)
    assert gathering.begun == COUNT


def test_a_zip_is_read_side_by_side(client: Client, series: list[FileDataset], gathering: SlowLine) -> None:
    answer = client.get(url_of(series[0]), headers={"Accept": "application/zip"})
    with ZipFile(BytesIO(answer.data)) as found:
        files = [found.read(name) for name in sorted(found.namelist())]
    assert numbers_of(files) == list(range(1, COUNT + 1))
    assert is_side_by_side(gathering)


def test_metadata_are_made_side_by_side(client: Client, series: list[FileDataset], gathering: SlowLine) -> None:
    answer = client.get(f"{url_of(series[0])}/metadata", headers={"Accept": "application/dicom+json"})
    assert [one["00200013"]["Value"] for one in answer.json or ()] == [[n] for n in range(1, COUNT + 1)]
    assert is_side_by_side(gathering)


def test_metadata_are_made_beforehand_side_by_side(archive: Archive, gathering: SlowLine) -> None:
    assert documents.make_missing(archive) is not None
    assert is_side_by_side(gathering)
    assert gathering.begun == COUNT


def test_frames_are_read_side_by_side_and_sent_in_order(client: Client, archive: Archive, gathering: SlowLine) -> None:
    ds = a_multiframe(frames=COUNT)
    store(archive, ds)
    asked = ",".join(map(str, range(COUNT, 0, -1)))
    url = f"{url_of(ds)}/instances/{ds.SOPInstanceUID}/frames/{asked}"
    answer = client.get(url, headers={"Accept": 'multipart/related; type="application/octet-stream"'})
    assert [part[0] for part in parts_of(answer)] == list(range(COUNT, 0, -1))
    assert is_side_by_side(gathering)


def test_who_goes_away_has_nothing_more_read(archive: Archive, series: list[FileDataset], line: SlowLine) -> None:
    bodies = retrieve.part10s(archive, rows_of(archive, series))
    assert len(b"".join(bodies[0].chunks)) == bodies[0].length
    del bodies
    wait_until_still(line)
    time.sleep(2 * DELAY_S)  # whatever might still begin
    assert line.begun <= 1 + ahead.AT_ONCE


def test_a_damaged_object_breaks_the_answer_where_its_turn_is(
    archive: Archive, series: list[FileDataset], door: Faulty
) -> None:
    rows = rows_of(archive, series)
    door.fail(damages_the_answer, method="GET", part=rows[3].key[-12:])
    bodies = retrieve.part10s(archive, rows)
    for body in bodies[:3]:
        assert len(b"".join(body.chunks)) == body.length
    with pytest.raises(Damaged):
        b"".join(bodies[3].chunks)


def test_no_more_is_held_than_the_bound_however_slowly_it_is_taken(
    archive: Archive, series: list[FileDataset], line: SlowLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(archive, series)
    monkeypatch.setattr(ahead, "HELD_BYTES", 2 * min(row.size_bytes for row in rows))
    found = ahead.each(archive, lambda row: row.key, rows, lambda row: row.size_bytes)
    assert list(islice(found, 2)) == [row.key for row in rows[:2]]
    assert list(found) == [row.key for row in rows[2:]]
    bodies = retrieve.part10s(archive, rows)
    b"".join(bodies[0].chunks)
    wait_until_still(line)
    assert line.most <= 2


def test_large_ones_among_small_ones_are_sent_in_order(
    archive: Archive, door: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = a_series(COUNT)
    for ds in series[::3]:
        ds.ImageComments = "large" * 1000
    for ds in series:
        store(archive, ds)
    door.fail(SlowLine(), method="GET")
    rows = rows_of(archive, series)
    bound = min(row.size_bytes for row in rows) + 1000
    assert [row.size_bytes > bound for row in rows] == [number % 3 == 0 for number in range(COUNT)]
    monkeypatch.setattr(retrieve, "WHOLE_BYTES", bound)
    whole = [b"".join(body.chunks) for body in retrieve.part10s(archive, rows)]
    assert numbers_of(whole) == list(range(1, COUNT + 1))


@dataclass
class Glacier:
    """What of the objects lies in slow storage, as S3 has it: their keys, and what was asked to be restored."""

    slow: set[str]
    asked: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked, forward: Forward) -> Answered:
        key = asked.path.partition("?")[0].partition("/archive/")[2]
        if asked.method == "POST":
            assert asked.path.endswith("?restore")
            assert b"<Days>3</Days>" in asked.body
            assert b"<Tier>Bulk</Tier>" in asked.body
            is_first, _ = key not in self.asked, self.asked.append(key)
            return Answered(202, {}, b"") if is_first else says(409, "RestoreAlreadyInProgress")(asked, forward)
        if key in self.slow:
            return says(403, "InvalidObjectState")(asked, forward)
        answered = forward(asked)
        if "list-type" not in asked.path:
            return answered
        listed = answered.body.replace(b"<StorageClass>STANDARD<", b"<StorageClass>DEEP_ARCHIVE<")
        return Answered(200, {**answered.headers, "Content-Length": str(len(listed))}, listed)


@pytest.fixture
def restoring(door: Faulty, tmp_path: Path) -> Iterator[Archive]:
    settings = storage_settings(
        door.server, door.behind.make_bucket(), tmp_path, restore_days=3, restore_tier=RestoreTier.BULK
    )
    archive = make_archive(tmp_path, storage=settings)
    yield archive
    close_archive(archive)


def in_glacier(archive: Archive, door: Faulty) -> tuple[list[FileDataset], Glacier]:
    series = a_series(3)
    for ds in [*series, a_series(1)[0]]:
        store(archive, ds)
    glacier = Glacier({row.key for row in rows_of(archive, series)})
    door.fail(glacier, method="GET")
    door.fail(glacier, method="POST", part="?restore")
    return series, glacier


def test_who_wants_to_read_a_series_in_slow_storage_has_all_of_it_fetched(restoring: Archive, door: Faulty) -> None:
    series, glacier = in_glacier(restoring, door)
    client = Client(create_app(restoring, WebSettings(), {}), TestResponse)
    for _ in range(3):
        answer = client.get(url_of(series[0]), headers={"Accept": 'multipart/related; type="application/dicom"'})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3600")
    assert eventually(lambda: len(glacier.asked) == 3)
    assert set(glacier.asked) == glacier.slow
    glacier.slow.clear()
    answer = client.get(url_of(series[0]), headers={"Accept": 'multipart/related; type="application/dicom"'})
    assert numbers_of(parts_of(answer)) == [1, 2, 3]


def test_a_frame_in_slow_storage_is_fetched_too(restoring: Archive, door: Faulty) -> None:
    series, glacier = in_glacier(restoring, door)
    client = Client(create_app(restoring, WebSettings(), {}), TestResponse)
    answer = client.get(f"{url_of(series[0])}/instances/{series[0].SOPInstanceUID}/frames/1")
    assert answer.status_code == 503
    assert eventually(lambda: set(glacier.asked) == glacier.slow)


def test_what_only_checks_has_nothing_fetched(restoring: Archive, door: Faulty) -> None:
    _, glacier = in_glacier(restoring, door)
    assert len(maintenance.check(restoring).nearline) == 3
    documents.make_missing(restoring)
    assert glacier.asked == []


def test_without_the_setting_nothing_is_fetched(archive: Archive, client: Client, door: Faulty) -> None:
    series, glacier = in_glacier(archive, door)
    assert client.get(f"{url_of(series[0])}/instances/{series[0].SOPInstanceUID}").status_code == 503
    assert glacier.asked == []


def test_what_could_not_be_asked_for_is_asked_for_when_it_is_wanted_again(restoring: Archive, door: Faulty) -> None:
    series, glacier = in_glacier(restoring, door)
    door.rules.clear()
    door.fail(says(500, "InternalError"), 2, method="POST")
    door.fail(glacier)
    url = f"{url_of(series[0])}/instances/{series[0].SOPInstanceUID}"
    client = Client(create_app(restoring, WebSettings(), {}), TestResponse)

    def is_asked_for() -> bool:
        assert client.get(url).status_code == 503
        return set(glacier.asked) == glacier.slow

    assert eventually(is_asked_for)


def test_a_check_reads_side_by_side_and_names_what_is_damaged(
    archive: Archive, door: Faulty, series: list[FileDataset], gathering: SlowLine
) -> None:
    assert maintenance.check(archive).checked == COUNT
    assert is_side_by_side(gathering)
    door.heal()
    third = rows_of(archive, series)[2].key
    door.fail(damages_the_answer, method="GET", part=third[-12:])
    assert maintenance.check(archive).damaged == [third]


def test_a_new_index_is_made_of_objects_read_side_by_side(
    archive: Archive, series: list[FileDataset], gathering: SlowLine
) -> None:
    before = [(row.key, row.digest, row.stored_at) for row in rows_of(archive, series)]
    assert maintenance.reindex(archive) == maintenance.Rebuilt(indexed=COUNT)
    assert is_side_by_side(gathering)
    assert [(row.key, row.digest, row.stored_at) for row in rows_of(archive, series)] == before
