"""The program of a pixel worker: requests come on standard input, answers go to standard output. Knows no pool.

Started by pixels.process as `python -m relais.pixels.worker SETTINGS`. It bounds its own memory and time, ends when its
parent does, and answers every request with a body or with the name of a NodeError and a sentence.
"""

import contextlib
import json
import os
import resource
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from relais import errors
from relais.pixels import wire
from relais.pixels.settings import MEGABYTE, PixelSettings

if TYPE_CHECKING:
    from relais.pixels.tasks import Tasks

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_GRACE_S = 5  # the parent ends us first; this is for when it cannot


def main() -> None:
    """Answer requests until standard input ends."""
    settings = PixelSettings(**json.loads(sys.argv[1]))
    answers = _own_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which then ends us
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (settings.memory_mb * MEGABYTE,) * 2)
    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from relais.pixels.tasks import Tasks  # noqa: PLC0415 - numpy and the codecs count within the limits

    _silence_stderr()
    _send(answers, wire.Message({"ready": True}))
    _serve(Tasks(settings), settings, answers)


def _serve(tasks: "Tasks", settings: PixelSettings, answers: int) -> None:
    def progress() -> None:
        _alarm(settings.timeout_s)
        _send(answers, wire.Message({"progress": True}))

    # The header and the frame have limits of their own; the pool has checked them.
    max_body_bytes = settings.max_header_bytes + settings.max_frame_bytes
    while True:
        request = wire.receive(_read_exactly, max_body_bytes)
        _alarm(settings.timeout_s)
        answer = _answer(tasks, request, progress)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, answer)


def _answer(tasks: "Tasks", request: wire.Message, progress: Callable[[], None]) -> wire.Message:
    try:
        return wire.Message({"ok": True}, tasks.run(request, progress))
    except errors.NodeError as exc:
        return wire.Message({"error": _kind_of(exc), "message": exc.message})
    except MemoryError:
        return wire.Message({"error": "TooLarge", "message": "The frame needs too much memory.", "retire": True})
    except OSError as exc:
        return wire.Message({"error": "Unavailable", "message": "A file cannot be used.", "detail": _where(exc)})
    except Exception as exc:  # decoders of hostile bytes raise anything; what it was goes to the log
        return wire.Message({"error": "InvalidDataSet", "message": "The image is damaged.", "detail": _where(exc)})


def _kind_of(exc: errors.NodeError) -> str:
    """Its name, or that of the nearest ancestor that the pool knows."""
    return next(kind.__name__ for kind in type(exc).__mro__ if kind.__module__ == errors.__name__)


def _where(exc: Exception) -> str:
    """Kind and place, without the text: that may hold what is in the Data Set."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(exc).__name__} at {place}"


def _alarm(timeout_s: float) -> None:
    """End this process, even inside a codec, should a frame take longer and nobody be there to end it."""
    signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)


def _end_with_parent() -> None:
    poller = select.poll()
    poller.register(_STDIN, 0)  # POLLHUP comes unasked, when the last writer is gone
    poller.poll()
    os._exit(0)


def _own_stdout() -> int:
    """Standard output for us alone: what a library prints goes to standard error."""
    answers = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    return answers


def _silence_stderr() -> None:
    """From here on codecs only have complaints about the bytes of strangers, at length."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, _STDOUT)
    os.dup2(sink, _STDERR)
    os.close(sink)


def _read_exactly(length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = os.readv(_STDIN, [view])
        if not count:
            os._exit(0)  # the parent has closed the pipe
        view = view[count:]
    return data


def _send(answers: int, message: wire.Message) -> None:
    for part in (wire.prefix(message.fields, len(message.body)), message.body):
        view = memoryview(part)
        while view:
            view = view[os.write(answers, view) :]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, wire.BrokenPipe):
        main()
