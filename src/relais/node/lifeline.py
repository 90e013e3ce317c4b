"""A process that must not outlive the one that started it. Knows process ids, not what the processes do."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_EVERY_S = 0.2


def end_with_parent(parent_pid: int) -> None:
    """From now on this process is killed when *parent_pid*, which started it, is gone, however that one ended.

    Nothing that was acknowledged is lost: that holds for kill -9 at any moment, so there is no point in draining for
    a node that is dead already, and its ports are free at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent_pid,), daemon=True, name="lifeline").start()
    if os.getppid() != parent_pid:  # it died before we were listening
        os._exit(1)


def _watch(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)
