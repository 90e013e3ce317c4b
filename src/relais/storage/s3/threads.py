"""Threads of each process that uses them, for what is asked of the object store beside other work. Knows no store."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """At most *count* of them in a process, made when they are first needed there: they do not survive a fork."""

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._lock = threading.Lock()
        self._made: tuple[int, ThreadPoolExecutor | None] = (0, None)

    def submit(self, work: Callable[..., T], *args: object) -> Future[T]:
        """Have *work* done as soon as one of them is free."""
        with self._lock:
            if self._made[0] != os.getpid() or self._made[1] is None:
                self._made = (os.getpid(), ThreadPoolExecutor(self._count, thread_name_prefix=self._name))
            assert self._made[1] is not None
            return self._made[1].submit(work, *args)

    def close(self) -> None:
        """Begin nothing more of what was submitted. What is submitted afterwards makes them anew."""
        with self._lock:
            (process, threads), self._made = self._made, (0, None)
        if threads is not None and process == os.getpid():
            threads.shutdown(wait=False, cancel_futures=True)
