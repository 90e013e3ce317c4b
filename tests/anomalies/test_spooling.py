"""Two nodes on one bucket and one index, each with its own spool: what waits on one is not lost to the other."""

import io
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import FileDataset

from fixtures.builders import a_ct, part10
from fixtures.faulty import Faulty, damages_the_answer, faulty, resets, says, waits, writes
from fixtures.node import close_archive, make_archive
from fixtures.object_server import ObjectServer, storage_settings
from fixtures.waiting import eventually
from relais.access.principals import OPERATOR
from relais.archive import Archive, availability, delete, ingest, maintenance, retrieve, search
from relais.archive.integrity import Damaged, Lost, verified_chunks
from relais.archive.removal import Removal
from relais.archive.settings import OnConflict
from relais.archive.spooling import SharedRegister, move_spool
from relais.dicom.attributes import Level
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query
from relais.dicom.refs import InstanceRef, StudyRef
from relais.errors import Conflict, Elsewhere, Nearline, NotFound, OutOfResources, Unavailable
from relais.index import spooled
from relais.index.rows import InstanceFacts, Outcome
from relais.storage import open_store
from relais.storage.layout import fresh_token, instance_key
from relais.storage.s3 import parts
from relais.storage.s3.store import S3Store
from relais.web.app import create_app
from relais.web.settings import WebSettings

pytestmark = pytest.mark.own_store

MB = 1024 * 1024
TESTS = Path(__file__).parents[1]


def store(archive: Archive, ds: FileDataset) -> InstanceRef:
    return ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT)).ref


def read(archive: Archive, ref: InstanceRef) -> bytes:
    """The whole instance, which must be undamaged."""
    row = retrieve.instances(archive, OPERATOR, ref)[0]
    return b"".join(verified_chunks(archive, row, 0, always=True))


def objects(archive: Archive) -> S3Store:
    assert isinstance(archive.store, S3Store)
    return archive.store


@pytest.fixture
def north(door: Faulty, tmp_path: Path) -> Iterator[Archive]:
    settings = storage_settings(door.server, door.behind.make_bucket(), tmp_path / "north")
    archive = make_archive(tmp_path, storage=settings)
    yield archive
    close_archive(archive)


@pytest.fixture
def south_door(object_server: ObjectServer) -> Iterator[Faulty]:
    with faulty(object_server) as way:
        yield way


@pytest.fixture
def south(north: Archive, south_door: Faulty, tmp_path: Path) -> Iterator[Archive]:
    """The same archive from another machine: its own way to the bucket, its own spool."""
    bucket = objects(north).bucket._name
    settings = storage_settings(south_door.server, bucket, tmp_path / "south")
    other = open_store(settings, tmp_path, SharedRegister(north.db))
    yield Archive(north.db, other, north.pixels, north.policy, north.settings)
    other.close()


def test_what_one_node_stores_the_other_reads(north: Archive, south: Archive) -> None:
    ref = store(north, a_ct())
    assert read(south, ref) == read(north, ref)
    assert maintenance.check(south).is_sound


def test_what_waits_on_one_node_is_unavailable_to_the_other_and_never_lost(
    north: Archive, south: Archive, door: Faulty
) -> None:
    door.fail(resets)
    ref = store(north, a_ct())
    whole = read(north, ref)
    row = retrieve.instances(south, OPERATOR, ref)[0]
    for use in (south.store.open, south.store.size_bytes, lambda key: south.store.read_range(key, 0, 1)):
        with pytest.raises(Elsewhere):
            use(row.key)
    report = maintenance.check(south)
    assert (report.waiting, report.missing, report.is_sound) == ([row.key], [], True)
    assert "1 objects wait in" in report.spools[0]
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    assert move_spool(north)
    assert read(south, ref) == whole
    assert maintenance.check(south) == maintenance.check(north)
    assert not move_spool(north)
    assert spooled.by_node(north.db) == []


def test_what_is_really_gone_is_missing(north: Archive, south: Archive) -> None:
    ref = store(north, a_ct())
    key = retrieve.instances(north, OPERATOR, ref)[0].key
    objects(north).bucket.delete(key)
    for archive in (north, south):
        assert maintenance.check(archive).missing == [key]
        with pytest.raises(NotFound):
            archive.store.open(key)


@pytest.mark.parametrize("remains", [None, b"", b"half"])
def test_what_is_gone_from_the_bucket_is_kept_again_when_it_comes_again(
    north: Archive, south: Archive, remains: bytes | None
) -> None:
    ds = a_ct()
    ref = store(north, ds)
    whole = read(north, ref)
    lose(north, ref, remains)
    assert store_again(south, ds) is Outcome.STORED
    assert read(north, ref)[-1000:] == whole[-1000:]
    while Removal(north).step():
        pass
    assert maintenance.check(north).is_sound
    assert len(list(north.store.iterate())) == 1
    assert store_again(north, ds) is Outcome.DUPLICATE


def lose(archive: Archive, ref: InstanceRef, remains: bytes | None) -> None:
    """Have the bucket hold *remains* of the instance, by another client."""
    bucket, key = objects(archive).bucket, retrieve.instances(archive, OPERATOR, ref)[0].key
    bucket.delete(key)
    if remains is not None:
        bucket.put(key, remains, is_new=True)


def store_again(archive: Archive, ds: FileDataset) -> Outcome:
    return ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT)).outcome


def test_what_comes_again_while_the_bucket_is_away_replaces_nothing(north: Archive, door: Faulty) -> None:
    ds = a_ct()
    key = retrieve.instances(north, OPERATOR, store(north, ds))[0].key
    for fault in (resets, says(500, "InternalError")):
        door.fail(fault)
        assert store_again(north, ds) is Outcome.DUPLICATE
        door.heal()
        assert eventually(lambda: not objects(north).presence.is_away)
    assert list(north.store.iterate()) == [key]


@pytest.mark.parametrize("is_away", [False, True], ids=["to the bucket", "to the spool"])
def test_what_waits_on_a_node_that_is_gone_is_kept_when_it_comes_again(
    north: Archive, south: Archive, door: Faulty, south_door: Faulty, is_away: bool
) -> None:
    ds = a_ct()
    door.fail(resets)
    ref = store(north, ds)
    shutil.rmtree(objects(north).spool.files.root)
    if is_away:
        south_door.fail(resets)
    assert store_again(south, ds) is Outcome.STORED
    assert read(south, ref).endswith(part10(ds)[-1000:])
    south_door.heal()
    assert eventually(lambda: not objects(south).presence.is_away)
    while move_spool(south):
        pass
    assert store_again(south, ds) is Outcome.DUPLICATE
    remove_all(south)
    report = maintenance.check(south)
    assert (report.is_sound, report.waiting, report.spools) == (True, [], [])
    assert len(list(south.store.iterate())) == 1


def test_what_waits_on_a_living_node_and_comes_again_to_another_is_kept_once(
    north: Archive, south: Archive, door: Faulty
) -> None:
    ds = a_ct()
    door.fail(resets)
    ref = store(north, ds)
    former = retrieve.instances(north, OPERATOR, ref)[0].key
    assert store_again(south, ds) is Outcome.STORED
    remove_all(south)
    assert objects(north).is_spooled(former)
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    while move_spool(north):
        pass
    remove_all(south)
    key = retrieve.instances(north, OPERATOR, ref)[0].key
    assert list(south.store.iterate()) == [key] != [former]
    assert read(north, ref) == read(south, ref)
    assert maintenance.check(south) == maintenance.check(north)
    assert maintenance.check(south).is_sound


def test_what_moves_while_it_comes_again_to_another_node_leaves_nothing_behind(
    north: Archive, south: Archive, door: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other node keeps it between the look at what was deleted and the arrival in the bucket."""
    ds = a_ct()
    door.fail(resets)
    ref = store(north, ds)
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    move = S3Store.move

    def move_late(self: S3Store, key: str) -> None:
        assert store_again(south, ds) is Outcome.STORED
        remove_all(south)
        move(self, key)

    with monkeypatch.context() as patched:
        patched.setattr(S3Store, "move", move_late)
        assert move_spool(north)
    remove_all(north)
    assert list(south.store.iterate()) == [retrieve.instances(south, OPERATOR, ref)[0].key]
    assert maintenance.check(north).is_sound


def test_what_was_moved_before_the_other_node_keeps_it_again_goes(
    north: Archive, south: Archive, door: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the bucket after the other node has looked for it there, and before that one's row is there."""
    ds = a_ct()
    door.fail(resets)
    ref = store(north, ds)
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    look = ingest.look_at_kept

    def look_early(archive: Archive, facts: InstanceFacts) -> Lost:
        found = look(archive, facts)
        assert move_spool(north)
        return found

    monkeypatch.setattr(ingest, "look_at_kept", look_early)
    assert store_again(south, ds) is Outcome.STORED
    remove_all(south)
    assert list(south.store.iterate()) == [retrieve.instances(north, OPERATOR, ref)[0].key]
    assert maintenance.check(north).is_sound


@pytest.mark.parametrize("policy", [OnConflict.KEEP, OnConflict.REPLACE])
def test_another_data_set_for_what_waits_on_another_node_is_judged_as_ever(
    north: Archive, south: Archive, door: Faulty, policy: OnConflict
) -> None:
    ds = a_ct()
    door.fail(resets)
    ref = store(north, ds)
    former = retrieve.instances(north, OPERATOR, ref)[0].key
    south = replace(south, settings=replace(south.settings, on_conflict=policy))
    ds.PatientComments = "another one"
    if policy is OnConflict.KEEP:
        with pytest.raises(Conflict):
            store_again(south, ds)
        remove_all(south)
        assert read(north, ref)
        assert [row.key for row in retrieve.instances(south, OPERATOR, ref)] == [former]
    else:
        assert store_again(south, ds) is Outcome.REPLACED
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    while move_spool(north):
        pass
    remove_all(south)
    assert former in list(south.store.iterate())  # itself, or as history
    assert read(south, ref)
    assert maintenance.check(south).is_sound


def test_a_sweep_puts_what_it_finds_in_the_place_of_what_waits_on_another_node(
    north: Archive, south: Archive, door: Faulty
) -> None:
    """The other node was killed between its bytes and its row."""
    door.fail(resets)
    ref = store(north, a_ct())
    another = instance_key(ref, fresh_token())
    objects(south).bucket.put(another, read(north, ref), is_new=True)
    assert maintenance.sweep(south).indexed == 1
    assert retrieve.instances(south, OPERATOR, ref)[0].key == another
    assert read(south, ref)
    assert maintenance.check(south).is_sound


def remove_all(archive: Archive) -> None:
    """Remove what is condemned."""
    removal = Removal(archive)
    while removal.step():
        pass


def test_a_sweep_puts_what_it_finds_in_the_place_of_what_is_lost(north: Archive) -> None:
    """A store that was killed between its bytes and its row."""
    ds = a_ct()
    ref = store(north, ds)
    row = retrieve.instances(north, OPERATOR, ref)[0]
    another = instance_key(ref, fresh_token())
    objects(north).bucket.put(another, read(north, ref), is_new=True)
    lose(north, ref, None)
    assert maintenance.sweep(north).indexed == 1
    assert retrieve.instances(north, OPERATOR, ref)[0].key == another != row.key
    assert maintenance.check(north).is_sound


def test_what_could_not_be_read_is_not_called_missing(north: Archive, door: Faulty) -> None:
    ref = store(north, a_ct())
    key = retrieve.instances(north, OPERATOR, ref)[0].key
    door.fail(says(500, "InternalError"), method="GET", part=key[-12:])
    report = maintenance.check(north)
    assert (report.unread, report.missing, report.is_sound) == ([key], [], False)


def test_damage_is_noticed_where_the_whole_is_read(north: Archive, door: Faulty) -> None:
    ref = store(north, a_ct())
    door.fail(damages_the_answer, 1, "GET")
    with pytest.raises(Damaged):
        read(north, ref)
    assert read(north, ref)


def test_a_store_that_goes_away_while_much_comes_in_loses_nothing(north: Archive, south: Archive, door: Faulty) -> None:
    refs = []
    for number in range(30):
        if number == 8:
            door.fail(resets)
        if number == 22:
            door.heal()
            assert eventually(lambda: not objects(north).presence.is_away)
        refs.append(store(north, a_ct()))
    waiting = objects(north).waiting().objects
    assert 14 <= waiting < 30
    assert all(read(north, ref) for ref in refs)
    while move_spool(north):
        pass
    assert all(read(south, ref) for ref in refs)
    report = maintenance.check(south)
    assert (report.checked, report.is_sound, report.spools) == (30, True, [])


def test_what_was_deleted_while_it_waited_is_not_moved(north: Archive, south: Archive, door: Faulty) -> None:
    door.fail(resets)
    ref = store(north, a_ct())
    key = retrieve.instances(north, OPERATOR, ref)[0].key
    delete.delete(south, OPERATOR, StudyRef(ref.study_instance_uid))
    assert objects(north).is_spooled(key)
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    move_spool(north)
    assert list(north.store.iterate()) == []
    removal = Removal(south)
    while removal.step():
        pass
    assert list(south.store.iterate()) == []
    assert maintenance.check(south).is_sound


def test_a_deletion_while_the_store_is_away_is_done_when_it_is_back(north: Archive, door: Faulty) -> None:
    ref = store(north, a_ct())
    door.fail(resets)
    delete.delete(north, OPERATOR, StudyRef(ref.study_instance_uid))
    door.heal()
    assert list(north.store.iterate()) != []
    assert eventually(lambda: not objects(north).presence.is_away)
    removal = Removal(north)
    while removal.step():
        pass
    assert list(north.store.iterate()) == []


def test_a_full_spool_refuses_and_keeps_what_it_has(north: Archive, door: Faulty) -> None:
    door.fail(resets, method="PUT")
    kept = store(north, a_ct())
    objects(north).spool.bound_bytes = objects(north).waiting().size_bytes + 100
    with pytest.raises(OutOfResources, match="spool of this node is full"):
        store(north, a_ct())
    assert read(north, kept)
    assert maintenance.check(north).is_sound


def test_a_sweep_enters_what_a_crash_left_without_a_row(north: Archive, south: Archive) -> None:
    ds = a_ct()
    ref = InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    with north.store.begin(b"") as upload:
        upload.write(part10(ds))
        upload.commit(instance_key(ref, fresh_token()))
    assert maintenance.sweep(south).indexed == 1
    assert read(north, ref) == part10(ds)
    assert maintenance.sweep(south).indexed == 0


def test_a_large_instance_is_sent_while_it_comes_in(
    north: Archive, south: Archive, door: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", MB)
    monkeypatch.setattr(ingest, "EARLY_BYTES", MB)
    content = part10(a_ct(rows=1536, columns=1024))
    with ingest.receive_part10(north, Origin(Channel.IMPORT)) as receiving:
        for start in range(0, len(content), MB // 4):
            receiving.write(content[start : start + MB // 4])
        assert eventually(lambda: any("partNumber" in path for _, path in door.asked))
        stored = receiving.finish()
    assert not objects(north).is_spooled(retrieve.instances(north, OPERATOR, stored.ref)[0].key)
    assert read(south, stored.ref).endswith(content[2000:])
    assert len(list(north.store.iterate())) == 1
    assert objects(north).sweep(0) == 0


def test_the_index_can_be_made_anew_from_bucket_and_spool(north: Archive, door: Faulty) -> None:
    first = store(north, a_ct())
    door.fail(resets, method="PUT")
    second = store(north, a_ct())
    before = {ref: read(north, ref) for ref in (first, second)}
    door.heal()
    assert eventually(lambda: not objects(north).presence.is_away)
    assert maintenance.reindex(north).indexed == 2
    assert {ref: read(north, ref) for ref in (first, second)} == before


def test_slow_storage_is_found_by_readers_and_by_listings(north: Archive, south: Archive, door: Faulty) -> None:
    ref = store(north, a_ct())
    key = retrieve.instances(north, OPERATOR, ref)[0].key

    def all_say(availability: str | None) -> bool:
        """Of every level, each of which is a search of its own: what is noted between two shows in the later one."""
        return all(_availability(north, level) == availability for level in (Level.STUDY, Level.SERIES, Level.IMAGE))

    assert all_say(None)
    door.fail(says(403, "InvalidObjectState"), 1, method="GET", part=key[-12:])
    with pytest.raises(Nearline):
        read(north, ref)
    assert eventually(lambda: all_say("NEARLINE"))
    list(south.store.iterate())
    assert eventually(lambda: all_say(None))
    door.fail(writes(b"<StorageClass>STANDARD<", b"<StorageClass>GLACIER<"), method="GET", part="list-type")
    list(north.store.iterate())
    assert eventually(lambda: all_say("NEARLINE"))


def test_what_is_told_of_slow_storage_is_never_told_from_memory_for_long(
    north: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "FRESH_S", 0.1)
    client = create_app(north, WebSettings(), {}).test_client()
    series = store(north, a_ct()).series

    def told(**headers: str) -> tuple[int, list[str], str]:
        answer = client.get("/dicom-web/studies", headers=headers)
        values = answer.get_json(force=True)[0]["00080056"]["Value"] if answer.status_code == 200 else []
        return answer.status_code, values, answer.headers["ETag"]

    status, values, etag = told()
    assert (status, values) == (200, ["ONLINE"])
    assert told(**{"If-None-Match": etag})[0] == 304
    north.db.write(lambda tx: spooled.set_nearline(tx, series))
    for headers in ({}, {"If-None-Match": etag}):
        status, values, later = told(**headers)
        assert (status, values) == (200, ["NEARLINE"])
    north.db.write(lambda tx: spooled.set_nearline(tx, StudyRef("1.2.3").series("1.2.3.4")))
    north.db.write(lambda tx: spooled.set_online(tx, series))
    assert eventually(lambda: told()[1] == ["ONLINE"])
    assert told(**{"If-None-Match": later})[0] == 200
    north.db.write(lambda tx: spooled.set_online(tx, StudyRef("1.2.3").series("1.2.3.4")))
    assert told(**{"If-None-Match": etag})[0] == 304


def test_nothing_is_lost_when_the_mover_is_killed_again_and_again(
    north: Archive, south: Archive, door: Faulty, tmp_path: Path
) -> None:
    door.fail(resets)
    refs = [store(north, a_ct()) for _ in range(12)]
    whole = {ref: read(north, ref) for ref in refs}
    door.heal()
    bucket = objects(north).bucket._name
    door.fail(waits(0.1), method="PUT")  # more than a second in all: the first one is killed before its end
    kills = 0
    while objects(north).waiting().objects:
        mover = _mover(tmp_path, door.server.port, bucket)
        time.sleep(random.uniform(0.1, 0.6) * 1.5**kills)  # a busy machine gets on, too
        kills += mover.poll() is None
        mover.kill()  # no error if it has ended
        mover.wait()
        mover.stdout.close()
        assert all(read(north, ref) == whole[ref] for ref in refs)
    assert kills >= 1
    move_spool(north)
    assert {ref: read(south, ref) for ref in refs} == whole
    report = maintenance.check(south)
    assert (report.checked, report.is_sound, report.spools) == (12, True, [])


def _availability(archive: Archive, level: Level) -> str | None:
    """What a search says of the only thing there is; the doors say ONLINE where it says nothing."""
    (row,) = search.search(archive, OPERATOR, Query(level)).rows
    return str(row["00080056"]["Value"][0]) if "00080056" in row else None


MOVER = """
import sys
from pathlib import Path
from fixtures.node import make_archive
from fixtures.object_server import ObjectServer, storage_settings
from relais.archive.spooling import move_spool
folder, port, bucket = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
archive = make_archive(folder, storage=storage_settings(ObjectServer(port, folder), bucket, folder / "north"))
print("moving", flush=True)
while move_spool(archive):
    pass
"""


def _mover(folder: Path, port: int, bucket: str) -> "subprocess.Popen[bytes]":
    """Another process of the node, which has begun to move."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-c", MOVER, str(folder), str(port), bucket]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"moving\n"
    return process


def test_a_node_without_the_client_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("relais.storage.s3")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(Unavailable, match="pip install"):
        open_store(storage_settings(ObjectServer(1, tmp_path), "bucket", tmp_path), tmp_path)
