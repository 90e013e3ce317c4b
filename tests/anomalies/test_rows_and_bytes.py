"""Never a row without bytes: a store that fails at the moment in which a sweep comes across its object."""

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures import strace
from fixtures.builders import a_ct, part10
from fixtures.engines import only_sqlite
from fixtures.node import close_archive, make_archive
from fixtures.waiting import eventually
from relais.access import audit
from relais.archive import Archive, ingest, maintenance, registration
from relais.archive.removal import Removal
from relais.dicom.origin import Channel, Origin
from relais.errors import NodeError, OutOfResources, Unavailable
from relais.index import statistics

ORIGIN = Origin(Channel.IMPORT)
TESTS = Path(__file__).parents[1]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path)
    yield made
    close_archive(made)


@pytest.fixture
def sweeper(archive: Archive, tmp_path: Path) -> Iterator[Archive]:
    """The same archive as another process holds it."""
    other = make_archive(tmp_path)
    yield other
    close_archive(other)


def store(archive: Archive) -> ingest.Stored:
    return ingest.store_part10(archive, io.BytesIO(part10(a_ct())), ORIGIN)


def refuse(*args: object) -> None:
    """As SQLite does where the disk is full."""
    raise OutOfResources


def is_settled(archive: Archive) -> bool:
    """Whether index and storage agree, and nothing waits to be removed."""
    while Removal(archive).step():
        pass
    return maintenance.check(archive).is_sound


def keys(archive: Archive) -> list[str]:
    return list(archive.store.iterate())


def swept_before(
    archive: Archive, sweeper: Archive, monkeypatch: pytest.MonkeyPatch, name: str
) -> "list[maintenance.Swept]":
    """Have *sweeper* sweep whenever *archive* calls *name* of its store."""
    found: list[maintenance.Swept] = []
    call: Callable[[str], object] = getattr(archive.store, name)

    def later(key: str) -> object:
        found.append(maintenance.sweep(sweeper))
        return call(key)

    monkeypatch.setattr(archive.store, name, later)
    return found


def test_a_store_that_finds_no_room_for_its_row_leaves_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full, pytest.raises(OutOfResources):
        full.setattr(audit, "write", refuse)
        store(archive)
    assert keys(archive) == []
    assert is_settled(archive)


def test_a_sweep_before_the_bytes_of_a_failed_store_are_removed(
    archive: Archive, sweeper: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = swept_before(archive, sweeper, monkeypatch, "delete")
    with monkeypatch.context() as full, pytest.raises(OutOfResources):
        full.setattr(audit, "write", refuse)
        store(archive)
    assert [each.indexed for each in swept] == [0]
    assert is_settled(archive)
    assert keys(archive) == []


def test_a_sweep_that_has_looked_before_the_store_failed(
    archive: Archive, sweeper: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is inside its transaction, and has seen that the file is there, when the bytes are given up."""
    looked, has_failed, size_bytes = threading.Event(), threading.Event(), sweeper.store.size_bytes

    def look(key: str) -> int:
        size = size_bytes(key)
        looked.set()
        has_failed.wait(1)  # a store that waits for the sweep goes on later
        return size

    monkeypatch.setattr(sweeper.store, "size_bytes", look)
    sweep = threading.Thread(target=maintenance.sweep, args=(sweeper,))

    def refuse_while_swept(*args: object) -> None:
        sweep.start()
        raise OutOfResources

    def give_up_later(*what: Any) -> None:
        assert looked.wait(120)
        give_up(*what)

    give_up = registration.give_up
    with monkeypatch.context() as full, pytest.raises(OutOfResources):
        full.setattr(audit, "write", refuse_while_swept)
        full.setattr(registration, "give_up", give_up_later)
        store(archive)
    has_failed.set()
    sweep.join()
    assert is_settled(archive)


@pytest.mark.files("their folder is synced")
def test_a_sweep_while_the_folder_of_an_object_cannot_be_synced(
    archive: Archive, sweeper: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object has its name and was seen under it, but its store failed."""

    def fail(folder: str) -> None:
        if any(Path(folder).glob("*.dcm")):
            assert maintenance.sweep(sweeper).indexed == 1
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken, pytest.raises(OutOfResources):
        broken.setattr(archive.store, "_sync_folder", fail)
        store(archive)
    assert is_settled(archive)
    assert statistics.statistics(archive.db).instances == 1


def test_what_is_compared_with_the_kept_one_is_there_while_it_is_compared(
    archive: Archive, sweeper: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = a_ct()
    ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN)
    swept = swept_before(archive, sweeper, monkeypatch, "open")
    ds.PatientComments = "another"
    with pytest.raises(NodeError):
        ingest.store_part10(archive, io.BytesIO(part10(ds)), ORIGIN)
    assert swept
    assert is_settled(archive)
    assert len(keys(archive)) == 1


def test_while_the_index_cannot_be_written_no_bytes_pile_up(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives first cannot be given up either; it waits. What comes after it is refused before its bytes."""
    with monkeypatch.context() as full:
        full.setattr(archive.db._process().group, "write", refuse)
        for _ in range(5):
            with pytest.raises(Unavailable):
                store(archive)
        assert len(keys(archive)) == 1
    assert store(archive).ref
    assert eventually(lambda: is_settled(archive) and len(keys(archive)) == 1, 120)


@only_sqlite("its log")
def test_a_commit_whose_sync_failed_never_comes_back_without_its_bytes(archive: Archive, tmp_path: Path) -> None:
    """SQLite finds the whole commit in its log when the process is gone, although it told us that it had failed."""
    store(archive)
    wal = tmp_path / "index.sqlite-wal"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FOLDER": str(tmp_path)}
    inject = [strace.program(), "-f", "-o", tmp_path / "log", "-P", wal, "-e", "trace=fsync,fdatasync"]
    inject += ["-e", "inject=fsync,fdatasync:error=EIO:when=1+"]
    command = [*inject, sys.executable, TESTS / "anomalies/dying_sender.py"]
    close_archive(archive)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert "refused" in done.stdout, done.stderr
    assert "INJECTED" in (tmp_path / "log").read_text()
    maintenance.sweep(archive)
    assert is_settled(archive)
