"""An import in several processes, each of which takes its share of the files. Knows processes and sums, no files."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from relais.cli.intake import Summary
from relais.errors import NodeError, Unavailable

TOLD_S = 0.2  # between one word of a process about how far it is and the next
BLOCK = 64  # files that stay together: those of one series mostly follow each other
ENDED = "A process of the import ended too early. The same command goes on from where it was."

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """Share *number*, from 0, *of* so many: blocks of files in turn."""

    number: int = 0
    of: int = 1

    def mine(self, files: Iterable[T]) -> Iterator[T]:
        """Those of *files* that are in it. All who share must see them in the same order."""
        return (file for at, file in enumerate(files) if at // BLOCK % self.of == self.number)


Tell = Callable[[Summary], None]
Work = Callable[[Share, Tell], Summary]


@dataclass(frozen=True, slots=True)
class _Done:
    """The last word of a process."""

    summary: Summary


def side_by_side(jobs: int, work: Work, tell: Tell) -> Summary:
    """What *jobs* processes make of *work*, which can be pickled, each of its share. All of them end with this one.

    Raises what one of them raised, when the others are done, and Unavailable if one was killed.
    """
    context = multiprocessing.get_context("spawn")
    said: dict[Connection, Summary | _Done | NodeError] = {}
    with ExitStack() as keep:
        for number in range(jobs):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(sender, work, Share(number, jobs)), daemon=True)
            with _keys_waiting():
                process.start()
            sender.close()  # ours: once its own is closed it has ended
            keep.callback(process.join)
            keep.callback(process.terminate)
            said[receiver] = Summary()
        for _ in _words(said):
            tell(_total(said.values()))
    for last in said.values():
        if not isinstance(last, _Done):
            raise last if isinstance(last, NodeError) else Unavailable(ENDED)
    return _total(said.values())


@contextmanager
def _keys_waiting() -> Iterator[None]:
    """Let a key that is pressed wait; for a process that is started meanwhile it waits until that can say more."""
    resource_tracker.ensure_running()  # which lets keys through again
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _words(said: dict[Connection, Summary | _Done | NodeError]) -> Iterator[None]:
    """Take what the processes say, until none is left."""
    left = list(said)
    while left:
        for receiver in wait(left):
            assert isinstance(receiver, Connection)
            try:
                said[receiver] = receiver.recv()
            except EOFError:
                receiver.close()
                left.remove(receiver)
            yield


def _work(sender: Connection, work: Work, share: Share) -> None:
    """One process. A key that is pressed is for who started it, and ends it with him."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    last = 0.0

    def tell(summary: Summary) -> None:
        nonlocal last
        if time.monotonic() - last >= TOLD_S:
            sender.send(summary)
            last = time.monotonic()

    try:
        sender.send(_Done(work(share, tell)))
    except NodeError as exc:
        sender.send(exc)
    except BrokenPipeError:
        pass  # who started us is gone


def _total(said: Iterable[Summary | _Done | NodeError]) -> Summary:
    """All of them in one."""
    total = Summary()
    for one in said:
        summary = one.summary if isinstance(one, _Done) else one
        if isinstance(summary, Summary):
            total.add(summary)
    return total
