import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relais.storage.base import StoredObject
from relais.storage.digest import digest_of
from relais.storage.segment import BLOCK, Segment

SIZE = 32 * BLOCK
HEAD, BODY = b"head", b"body" * 2000


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    segment = Segment.create(tmp_path / "a", SIZE)
    yield segment
    segment.close()


def put(segment: Segment, key: str, body: bytes = BODY) -> int:
    place, written = write(segment, key, body)
    segment.sync(written)
    return place


def write(segment: Segment, key: str, body: bytes = BODY) -> tuple[int, int]:
    place = segment.reserve(len(HEAD + body))
    assert place is not None
    stored = StoredObject(len(HEAD + body), digest_of(body), digest_of(HEAD))
    return place, segment.write(place, key, len(HEAD), stored, HEAD + body)


def found(path: Path) -> dict[str, bytes]:
    segment = Segment.open(path)
    assert segment is not None
    try:
        return {record.key: b"".join(segment.chunks(record)) for record in segment.records()}
    finally:
        segment.close()


def test_records_are_found_again(segment: Segment, tmp_path: Path) -> None:
    assert not segment.is_used
    bodies = {"one": b"", "two": BODY, "three": b"x" * BLOCK}
    for key, body in bodies.items():
        put(segment, key, body)
    assert segment.is_used
    assert found(tmp_path / "a") == {key: HEAD + body for key, body in bodies.items()}


def test_a_full_segment_says_so(segment: Segment) -> None:
    assert segment.reserve(SIZE) is None
    assert segment.reserve(SIZE - 2 * BLOCK) == BLOCK
    assert segment.reserve(0) is None


@pytest.mark.parametrize("offset", [0, 20, 100, BLOCK, BLOCK + 2, BLOCK + 2000])
def test_a_torn_record_is_none_and_hides_no_other(segment: Segment, tmp_path: Path, offset: int) -> None:
    torn = put(segment, "torn" * 10)
    put(segment, "whole")
    with (tmp_path / "a").open("r+b") as file:
        file.seek(torn + offset)
        (byte,) = file.read(1)
        file.seek(torn + offset)
        file.write(bytes([byte ^ 1]))
    assert set(found(tmp_path / "a")) == {"whole"}


def test_what_is_stored_cannot_look_like_a_record(segment: Segment, tmp_path: Path) -> None:
    """Not even a copy of an earlier journal, block by block."""
    put(segment, "true")
    earlier = (tmp_path / "a").read_bytes()[BLOCK : 4 * BLOCK]
    segment.reset()
    put(segment, "carrier", bytes(BLOCK - len(HEAD)) + earlier)
    assert set(found(tmp_path / "a")) == {"carrier"}


def test_one_sync_serves_all_who_wrote_before_it_and_no_other(
    segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, may_go_on = 0, threading.Event()

    def slow(fd: int) -> None:
        nonlocal calls
        calls += 1
        may_go_on.wait(120)

    monkeypatch.setattr(os, "fdatasync", slow)
    first, beside = write(segment, "first")[1], write(segment, "beside")[1]
    threads = [threading.Thread(target=segment.sync, args=(first,))]
    threads[0].start()
    while not calls:
        time.sleep(0.001)
    late = [write(segment, f"late{number}")[1] for number in range(5)]  # it may have missed what they wrote
    threads += [threading.Thread(target=segment.sync, args=(written,)) for written in late]
    for thread in threads[1:]:
        thread.start()
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert calls == 2
    segment.sync(beside)
    assert calls == 2
    segment.sync(write(segment, "last")[1])
    assert calls == 3


def test_after_a_failed_sync_no_other_is_believed(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    written = write(segment, "one")[1]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(OSError, match="Input/output error"):
            segment.sync(written)
    with pytest.raises(OSError, match="earlier sync"):
        segment.sync(written)
    with pytest.raises(OSError, match="earlier sync"):
        segment.sync(write(segment, "two")[1])


def test_a_short_write_is_completed(segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, at: pwritev(fd, (b"".join(pieces)[:5000],), at))
    put(segment, "one")
    assert found(tmp_path / "a") == {"one": HEAD + BODY}


def test_after_a_reset_nothing_is_there(segment: Segment, tmp_path: Path) -> None:
    put(segment, "one")
    segment.reset()
    assert found(tmp_path / "a") == {}
    assert not segment.is_used
    again = Segment.open(tmp_path / "a")
    assert again is not None
    assert not again.is_used
    again.close()


def test_a_record_that_was_let_go_is_not_found(segment: Segment, tmp_path: Path) -> None:
    place = put(segment, "deleted")
    put(segment, "kept")
    segment.void(place)
    assert set(found(tmp_path / "a")) == {"kept"}


def test_what_is_no_segment_is_not_opened(tmp_path: Path) -> None:
    for content in (b"", b"RELAIS", bytes(BLOCK)):
        (tmp_path / "a").write_bytes(content)
        assert Segment.open(tmp_path / "a") is None


def test_a_segment_that_finds_no_room_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: memoryview, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        Segment.create(tmp_path / "a", SIZE)
    assert list(tmp_path.iterdir()) == []


def test_every_block_of_a_new_segment_was_written(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path / "a", SIZE)
    segment.close()
    assert (tmp_path / "a").stat().st_blocks * 512 >= SIZE
