"""The same work in several processes at once, which begin together. Knows no work."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

START_S, END_S = 60.0, 900.0


def together(work: Callable[..., Any], shares: Sequence[tuple[Any, ...]]) -> list[Any]:
    """`work(ready, *share)` for every share, each in a process of its own; what they returned.

    The work calls `ready()` when all is prepared, and goes on when all are. Raises RuntimeError if one fails.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(shares)), context.Queue()
    workers = [context.Process(target=_share, args=(work, barrier, results, share), daemon=True) for share in shares]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=END_S) for _ in workers]
    for worker in workers:
        worker.join()
    if errors := [text for text, _ in found if text]:
        raise RuntimeError(next((text for text in errors if "BrokenBarrier" not in text), errors[0]))
    return [result for _, result in found]


def _share(work: Callable[..., Any], barrier: Barrier, results: Any, share: tuple[Any, ...]) -> None:
    try:
        results.put(("", work(lambda: barrier.wait(START_S), *share)))
    except Exception as exc:
        barrier.abort()
        results.put((f"{type(exc).__name__}: {exc}", None))
