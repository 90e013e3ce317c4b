"""The pool of pixel workers: whoever needs a frame decoded, rendered or transcoded asks here. Knows no codec.

Nothing is decoded in the process that asks. Workers are started when needed, reused, and ended when idle. A request
that makes its worker crash, hang or run out of memory is one failed request; the next one finds a fresh worker.

Safe with many threads. After a fork the child has an empty pool of its own.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

from relais import errors
from relais.errors import Internal, NodeError, TooLarge, Unavailable, out_of_resources
from relais.pixels.process import Buffer, WorkerProcess
from relais.pixels.request import (
    BLENDING_STATE,
    SHOWN_STATES,
    AppliedState,
    Overlaid,
    RenderRequest,
    Viewport,
    Window,
    to_fields,
)
from relais.pixels.settings import PixelSettings
from relais.pixels.syntaxes import ENCODABLE, Shape, can_encode, can_transcode

__all__ = [
    "BLENDING_STATE",
    "ENCODABLE",
    "SHOWN_STATES",
    "TAG_BYTES",
    "AppliedState",
    "FramePlace",
    "Overlaid",
    "PixelWorkers",
    "RenderRequest",
    "Shape",
    "Viewport",
    "Window",
    "can_encode",
    "can_transcode",
]

logger = logging.getLogger(__name__)

MAX_ANIMATION_FRAMES = 4096
TAG_BYTES = 4  # of the Pixel Data, at the end of a header

_CLOSING_S = 5.0  # for callers to notice that their worker is gone


class FramePlace(NamedTuple):
    """Frame *frame_number*, counted from 1, of a Part 10 file: *pieces* are the (offset, length) of its bytes.

    *header_bytes* is the length of the file up to its Pixel Data, whose tag is the end of it.
    """

    header_bytes: int
    pieces: tuple[tuple[int, int], ...]
    transfer_syntax_uid: str
    frame_number: int


class PixelWorkers:
    """Every method raises InvalidDataSet for pixels that cannot be decoded, TooLarge beyond a limit of the settings,
    NotAcceptable for what is not decoded or shown at all, Unavailable if no worker is free in time or after close."""

    def __init__(self, settings: PixelSettings) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._idle: list[WorkerProcess] = []
        self._workers: set[WorkerProcess] = set()
        self._started = 0
        self._is_kept = False

    def render(
        self,
        header: bytes,
        transfer_syntax_uid: str,
        frame: bytes,
        request: RenderRequest,
        *,
        frame_number: int = 1,
        state: AppliedState | None = None,
    ) -> bytes:
        """*frame* as an image file, by the presentation state *state* if there is one.

        *header* is the Part 10 file up to its Pixel Data, whose tag is the end of it, *frame* the native bytes or the
        bitstream of one frame; *frame_number*, counted from 1, finds its functional groups.
        """
        fields = {"task": "render", "request": to_fields(request), "frame_number": frame_number}
        if state is None:
            return self._ask_about_frame(fields, header, transfer_syntax_uid, frame)
        fields |= self._state_fields(state, len(header))
        return self._ask_about_frame(fields, header, transfer_syntax_uid, frame, state.part10)

    def decode(self, header: bytes, transfer_syntax_uid: str, frame: bytes, *, frame_number: int = 1) -> bytes:
        """*frame* as native little endian bytes, as it stands in an Explicit VR Little Endian Data Set, unpadded."""
        fields = {"task": "decode", "frame_number": frame_number}
        return self._ask_about_frame(fields, header, transfer_syntax_uid, frame)

    def encode(self, header: bytes, transfer_syntax_uid: str, frame: bytes, *, target_uid: str) -> bytes:
        """*frame* as a bitstream of *target_uid*, unpadded. Raises NotAcceptable if the image is none for it."""
        fields = {"task": "encode", "target": target_uid}
        return self._ask_about_frame(fields, header, transfer_syntax_uid, frame)

    def render_at(
        self, path: Path, place: FramePlace, request: RenderRequest, state: AppliedState | None = None
    ) -> bytes:
        """The frame at *place* in the file *path*, as `render` shows it; it does not go through this process."""
        self._check_sizes(place.header_bytes, sum(length for _, length in place.pieces))
        fields = {"task": "render_at", "path": str(path.absolute()), "request": to_fields(request), **place._asdict()}
        if state is None:
            return self._ask(fields)
        return self._ask(fields | self._state_fields(state, 0), (state.part10,))

    def render_file(
        self, path: Path, frame_number: int, request: RenderRequest, state: AppliedState | None = None
    ) -> bytes:
        """One frame of a Part 10 file as an image file. Raises NotFound beyond the last frame."""
        fields = {"task": "render_file", "request": to_fields(request), "frame_number": frame_number}
        if state is not None:
            fields |= self._state_fields(state, 0)
        return self._ask(fields | {"path": str(path.absolute())}, (state.part10,) if state else ())

    def blend_files(
        self, path: Path, frame_number: int, over: Overlaid | None, request: RenderRequest, state: AppliedState
    ) -> bytes:
        """*over* laid over one frame of a Part 10 file by a blending presentation state, as an image file."""
        fields = {"task": "blend", "request": to_fields(request), "frame_number": frame_number}
        fields |= {"path": str(path.absolute()), "over": None}
        if over is not None:
            fields["over"] = asdict(over) | {"path": str(over.path.absolute())}
        return self._ask(fields | self._state_fields(state, 0), (state.part10,))

    def animate_file(self, path: Path, frame_numbers: Sequence[int], request: RenderRequest) -> bytes:
        """Frames of a Part 10 file, in the order of their numbers, as one animated GIF. Raises NotFound, TooLarge."""
        if len(frame_numbers) > MAX_ANIMATION_FRAMES:
            raise TooLarge(f"An animation has at most {MAX_ANIMATION_FRAMES} frames.")
        fields = {"task": "animate", "request": to_fields(request), "frame_numbers": list(frame_numbers)}
        longest_s = self._settings.file_timeout_s
        return self._ask(fields | {"path": str(path.absolute())}, longest_s=longest_s)

    def decode_file(self, path: Path, frame_number: int) -> bytes:
        """One frame of a Part 10 file as native little endian bytes. Raises NotFound beyond the last frame."""
        return self._ask({"task": "decode_file", "path": str(path.absolute()), "frame_number": frame_number})

    def encode_file(self, path: Path, frame_number: int, target_uid: str) -> bytes:
        """One frame of a Part 10 file as a bitstream of *target_uid*, as `encode`."""
        fields = {"task": "encode_file", "frame_number": frame_number, "target": target_uid}
        return self._ask(fields | {"path": str(path.absolute())})

    def transcode(self, path: Path, target_transfer_syntax_uid: str) -> BinaryIO:
        """The Part 10 file *path* in another Transfer Syntax: uncompressed, or one that is encoded here.

        It is a file without a name, to be read from its beginning and closed: nothing is left of it if we are killed.
        """
        fields = {"task": "transcode", "target": target_transfer_syntax_uid, "path": str(path.absolute())}
        with ExitStack() as stack:
            with out_of_resources():
                made = stack.enter_context(TemporaryFile())
            out = f"/proc/{os.getpid()}/fd/{made.fileno()}"  # for the worker, which is another process of ours
            self._ask(fields | {"out": out}, longest_s=self._settings.file_timeout_s)
            stack.pop_all()
        return made

    def close(self) -> None:
        """End all workers, busy ones too; their callers get Unavailable."""
        with self._changed:
            self._closing.set()
            while self._idle:
                self._drop(self._idle.pop())
            for worker in self._workers:
                worker.kill()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._started, timeout=_CLOSING_S)

    def _ask_about_frame(
        self, fields: dict[str, Any], header: bytes, transfer_syntax_uid: str, frame: bytes, rest: bytes = b""
    ) -> bytes:
        self._check_sizes(len(header), len(frame))
        fields = fields | {"header_bytes": len(header), "transfer_syntax_uid": transfer_syntax_uid}
        return self._ask(fields, (header, frame, rest))

    def _check_sizes(self, header_bytes: int, frame_bytes: int) -> None:
        if header_bytes > self._settings.max_header_bytes:
            raise TooLarge(f"{header_bytes} bytes before Pixel Data are more than the limit.")
        if frame_bytes > self._settings.max_frame_bytes:
            raise TooLarge(f"A frame of {frame_bytes} bytes is larger than the limit.")

    def _state_fields(self, state: AppliedState, header_bytes: int) -> dict[str, Any]:
        if len(state.part10) + header_bytes > self._settings.max_header_bytes:
            raise TooLarge(f"A presentation state of {len(state.part10)} bytes is larger than the limit.")
        return {"state_bytes": len(state.part10), "sop_instance_uid": state.sop_instance_uid}

    def _ask(self, fields: dict[str, Any], parts: Sequence[Buffer] = (), longest_s: float | None = None) -> bytes:
        worker = self._borrow()
        timeout_s = self._settings.timeout_s
        try:
            answer = worker.ask(fields, parts, timeout_s, longest_s or timeout_s)
        except BaseException as exc:
            self._discard(worker)
            if self._closing.is_set():
                raise Unavailable("The node is closing.") from exc
            logger.warning("A pixel worker was ended: task %s: %s", fields["task"], exc)
            raise
        if "retire" in answer.fields:
            self._discard(worker)
        else:
            self._give_back(worker)
        if "error" in answer.fields:
            raise _error_of(answer.fields, fields["task"])
        return bytes(answer.body)

    def _borrow(self) -> WorkerProcess:
        """An idle worker, else a new one, else the next to become idle."""
        if self._pid != os.getpid():
            self._forget()
        deadline = time.monotonic() + self._settings.queue_timeout_s
        with self._changed:
            while not self._closing.is_set():
                while self._idle:
                    worker = self._idle.pop()
                    if worker.is_alive:
                        return worker
                    self._drop(worker)
                if self._started < self._settings.workers:
                    self._started += 1
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Unavailable("All pixel workers are busy; try again later.")
            if self._closing.is_set():
                raise Unavailable("The node is closing.")
        return self._start()

    def _start(self) -> WorkerProcess:
        try:
            worker = WorkerProcess(self._settings)
        except BaseException:
            with self._changed:
                self._started -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._workers.add(worker)
            if self._closing.is_set():
                self._drop(worker)
                raise Unavailable("The node is closing.")
            if not self._is_kept:
                self._is_kept = True
                threading.Thread(target=self._keep, name="pixel-keeper", daemon=True).start()
        return worker

    def _give_back(self, worker: WorkerProcess) -> None:
        worker.idle_since = time.monotonic()
        with self._changed:
            if self._closing.is_set():
                self._drop(worker)
            else:
                self._idle.append(worker)
                self._changed.notify()

    def _discard(self, worker: WorkerProcess) -> None:
        with self._changed:
            self._drop(worker)

    def _drop(self, worker: WorkerProcess) -> None:
        """End and uncount a worker that is not idle. The lock is held."""
        worker.end()
        self._workers.discard(worker)
        self._started -= 1
        self._changed.notify_all()

    def _keep(self) -> None:
        """End workers that have been idle for long, or died meanwhile, so that none is left unwaited for."""
        while not self._closing.wait(max(0.05, self._settings.idle_s / 4)):
            with self._changed:
                limit = time.monotonic() - self._settings.idle_s
                for worker in [one for one in self._idle if one.idle_since < limit or not one.is_alive]:
                    self._idle.remove(worker)
                    self._drop(worker)
                if not self._workers:
                    self._is_kept = False
                    return

    def _forget(self) -> None:
        """What the parent of this process started is the parent's."""
        for worker in self._workers:
            worker.forget()
        self._pid, self._started, self._is_kept = os.getpid(), 0, False
        self._changed, self._closing = threading.Condition(), threading.Event()  # a lost thread may hold the old lock
        self._idle, self._workers = [], set()


def _error_of(fields: dict[str, Any], task: str) -> NodeError:
    """The NodeError that a worker named. A worker that names another thing is not believed."""
    if "detail" in fields:
        logger.warning("A pixel worker met an unexpected error: task %s: %s", task, str(fields["detail"])[:200])
    kind = getattr(errors, str(fields["error"]), None)
    if not (isinstance(kind, type) and issubclass(kind, NodeError)):
        return Internal("A pixel worker gave an unknown answer.")
    return kind(str(fields.get("message"))[:500])
