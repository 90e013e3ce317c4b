"""The pool of pixel workers under bad frames and busy callers: a request fails, never the pool."""

import logging
import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.builders import part10
from fixtures.images import JPEG, an_image, compressed, encode, part10_split, texture
from fixtures.pooled import FRAME, HEADER, NATIVE, PIXELS, processes, slow_frame
from fixtures.process import worked_s
from fixtures.waiting import eventually
from relais.dicom import uids
from relais.errors import InvalidDataSet, InvalidRequest, NodeError, NotAcceptable, NotFound, TooLarge, Unavailable
from relais.pixels.settings import PixelSettings
from relais.pixels.workers import PixelWorkers, RenderRequest, Window, can_transcode

PNG = RenderRequest("image/png")


@pytest.fixture
def workers() -> Iterator[PixelWorkers]:
    with_pool = PixelWorkers(PixelSettings(workers=2, timeout_s=120))
    yield with_pool
    with_pool.close()


def works(pool: PixelWorkers, worked_before_s: float) -> bool:
    """Whether the only worker has worked for a moment since then: it is in the midst of a slow frame."""
    (pid,) = processes(pool)
    return worked_s(pid) > worked_before_s + 0.03


def test_frames_are_decoded_and_shown(workers: PixelWorkers) -> None:
    assert workers.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()
    assert workers.decode(HEADER, JPEG + "80", encode(PIXELS, JPEG + "80", 8)) == PIXELS.tobytes()
    shown = workers.render(HEADER, NATIVE, FRAME, RenderRequest("image/png", window=Window(1, 1)), frame_number=1)
    assert Image.open(BytesIO(shown)).size == PIXELS.shape[::-1]


def test_files_are_decoded_shown_and_transcoded(workers: PixelWorkers, tmp_path: Path) -> None:
    path = tmp_path / "in.dcm"
    path.write_bytes(part10(compressed(an_image(PIXELS), JPEG + "70", encode(PIXELS, JPEG + "70", 8))))
    assert workers.decode_file(path, 1) == PIXELS.tobytes()
    assert workers.render_file(path, 1, PNG).startswith(b"\x89PNG")
    with workers.transcode(path, NATIVE) as out:
        assert out.read().endswith(PIXELS.tobytes())
    assert can_transcode(JPEG + "70")
    assert not can_transcode(JPEG + "100")


def test_errors_of_a_worker_arrive_as_what_they_are(workers: PixelWorkers, tmp_path: Path) -> None:
    missing = tmp_path / "no.dcm"
    whole = tmp_path / "in.dcm"
    whole.write_bytes(part10(an_image(PIXELS)))
    with pytest.raises(InvalidDataSet, match="bytes where"):
        workers.decode(HEADER, NATIVE, b"")
    with pytest.raises(NotAcceptable):
        workers.decode(HEADER, JPEG + "100", FRAME)
    with pytest.raises(NotFound):
        workers.decode_file(whole, 2)
    with pytest.raises(InvalidRequest):
        workers.render(HEADER[:400], NATIVE, FRAME, PNG)
    with pytest.raises(Unavailable):
        workers.decode_file(missing, 1)
    with pytest.raises(Unavailable):
        workers.transcode(missing, NATIVE)
    assert len(processes(workers)) == 1  # none of them cost a worker


def test_a_warm_worker_is_used_again(workers: PixelWorkers) -> None:
    workers.decode(HEADER, NATIVE, FRAME)
    (first,) = processes(workers)
    for _ in range(5):
        workers.decode(HEADER, NATIVE, FRAME)
    assert processes(workers) == [first]


def test_many_threads_share_few_workers(workers: PixelWorkers) -> None:
    frames = [np.full_like(PIXELS, value) for value in range(64)]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda one: workers.decode(HEADER, NATIVE, one.tobytes()), frames))
    assert found == [one.tobytes() for one in frames]
    assert len(processes(workers)) <= 2


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_frame_that_crashes_its_decoder_is_one_failed_request(
    workers: PixelWorkers, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The decoder is made to crash from outside, while it works."""
    workers.decode(HEADER, NATIVE, FRAME)
    before, frame = worked_s(processes(workers)[0]), slow_frame()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(workers.decode, *frame)
        assert eventually(lambda: works(workers, before))
        os.kill(processes(workers)[0], number)
        with caplog.at_level(logging.WARNING), pytest.raises(InvalidDataSet, match="decoder fail"):
            asked.result()
    assert "task decode" in caplog.text
    assert workers.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()


def test_a_worker_that_the_kernel_kills_for_its_memory_was_too_large(workers: PixelWorkers) -> None:
    workers.decode(HEADER, NATIVE, FRAME)
    before, frame = worked_s(processes(workers)[0]), slow_frame()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(workers.decode, *frame)
        assert eventually(lambda: works(workers, before))
        os.kill(processes(workers)[0], signal.SIGKILL)
        with pytest.raises(TooLarge):
            asked.result()


def test_a_worker_that_died_while_idle_is_replaced_unnoticed(workers: PixelWorkers) -> None:
    workers.decode(HEADER, NATIVE, FRAME)
    (first,) = processes(workers)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not any(worker.is_alive for worker in list(workers._workers)))
    assert workers.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()
    assert processes(workers) != [first]


def test_a_frame_that_takes_too_long_is_given_up() -> None:
    pool = PixelWorkers(PixelSettings(workers=1, timeout_s=0.2))
    try:
        with pytest.raises(TooLarge, match="too long"):
            pool.decode(*slow_frame())
        assert processes(pool) == []
        assert eventually(lambda: decodes(pool))
    finally:
        pool.close()


def decodes(pool: PixelWorkers) -> bool:
    """Whether a small frame is decoded in time; on a busy machine the next one is."""
    with suppress(TooLarge):
        return pool.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()
    return False


def test_a_whole_file_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """Each frame is quick enough; all of them are not."""
    path = tmp_path / "in.dcm"
    frames = np.stack([texture(12, rows=256, columns=256)] * 40)
    bitstreams = [encode(frames[0], JPEG + "90", 12)] * 40
    path.write_bytes(part10(compressed(an_image(frames, frames=True, BitsStored=12), JPEG + "90", *bitstreams)))
    for limits, is_done in (({"timeout_s": 30.0}, True), ({"timeout_s": 30.0, "file_timeout_s": 0.05}, False)):
        pool = PixelWorkers(PixelSettings(workers=1, **limits))  # type: ignore[arg-type]
        try:
            if is_done:
                pool.transcode(path, NATIVE).close()
            else:
                with pytest.raises(TooLarge):
                    pool.transcode(path, NATIVE)
        finally:
            pool.close()


def test_a_frame_that_needs_too_much_memory_is_refused_and_its_worker_retired() -> None:
    pool = PixelWorkers(PixelSettings(workers=1, memory_mb=512, max_frame_pixels=1 << 30, max_frame_mb=2048))
    try:
        header, _ = part10_split(an_image(PIXELS, Rows=20000, Columns=20000))
        pool.decode(HEADER, NATIVE, FRAME)
        (first,) = processes(pool)
        with pytest.raises(NodeError):
            pool.render(header, JPEG + "70", _huge_jpeg(), PNG)
        assert pool.decode(HEADER, NATIVE, FRAME) == PIXELS.tobytes()
        assert processes(pool) != [first]
    finally:
        pool.close()


def _huge_jpeg() -> bytes:
    """A tiny bitstream of 20000 x 20000."""
    small = bytearray(encode(PIXELS, JPEG + "70", 8))
    at = small.index(b"\xff\xc3")
    small[at + 5 : at + 9] = (20000).to_bytes(2, "big") * 2
    return bytes(small)


def test_what_is_larger_than_a_limit_never_reaches_a_worker() -> None:
    pool = PixelWorkers(PixelSettings(max_frame_mb=1, max_header_mb=1))
    with pytest.raises(TooLarge, match="before Pixel Data"):
        pool.decode(bytes(2 << 20), NATIVE, b"")
    with pytest.raises(TooLarge, match="frame"):
        pool.decode(HEADER, NATIVE, bytes(2 << 20))
    assert processes(pool) == []


def test_who_waits_too_long_for_a_worker_is_told_to_come_again() -> None:
    pool = PixelWorkers(PixelSettings(workers=1, queue_timeout_s=0.2))
    try:
        with ThreadPoolExecutor(1) as thread:
            slow = thread.submit(pool.decode, *slow_frame())
            assert eventually(lambda: processes(pool))
            with pytest.raises(Unavailable, match="busy"):
                pool.decode(HEADER, NATIVE, FRAME)
            pool.close()
            with pytest.raises(Unavailable, match="closing"):
                slow.result()
    finally:
        pool.close()


def test_mutated_frames_never_cost_more_than_themselves(workers: PixelWorkers) -> None:
    """A thousand of them, in every family, with a frame in between that must come out right."""
    chance = random.Random(20)
    families = [JPEG + end for end in ("70", "80", "90", "110", "201")] + [uids.RLE_LOSSLESS]
    good = {uid: encode(PIXELS, uid, 8) for uid in families}
    for count in range(1000):
        uid = chance.choice(families)
        data = bytearray(good[uid])
        for _ in range(chance.choice((1, 2, 5))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.1:
            del data[chance.randrange(len(data)) :]
        try:
            assert len(workers.decode(HEADER, uid, bytes(data))) == PIXELS.nbytes
        except NodeError as refused:
            assert isinstance(refused, InvalidDataSet | TooLarge)
        if count % 100 == 0:
            assert workers.decode(HEADER, uid, good[uid]) == PIXELS.tobytes()


def test_mutated_headers_are_refused_with_a_sentence(workers: PixelWorkers) -> None:
    chance = random.Random(21)
    for _ in range(500):
        data = bytearray(HEADER)
        for _ in range(chance.choice((1, 2, 5))):
            data[chance.randrange(132, len(data))] = chance.randrange(256)
        try:
            workers.render(bytes(data), NATIVE, FRAME, PNG)
        except NodeError as refused:
            assert refused.message.endswith(".")
            assert not isinstance(refused, Unavailable)
