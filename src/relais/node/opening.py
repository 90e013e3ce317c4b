"""The index opened once before anything is started, in a process of its own: what that loads and holds goes with it.

So what is wrong with it is one sentence, as a port that is taken is, and not one of each process that needs it.
"""

import os
import signal
from typing import NoReturn

from relais.db.database import Database
from relais.db.settings import IndexSettings
from relais.errors import NodeError, Unavailable
from relais.node.lifeline import end_with_parent
from relais.node.signals import ENDING, Signals


def open_index(settings: IndexSettings) -> bool:
    """Have the index made or migrated, and return whether that came to its end: not if we are told to end before.

    Raises Unavailable if the index cannot be used. Call it in the main thread, before there is another one.
    """
    readable, writable = os.pipe()
    parent_pid = os.getpid()
    with os.fdopen(readable, "rb") as saying, Signals() as signals:
        pid = os.fork()
        if not pid:
            _open(settings, writable, parent_pid)
        os.close(writable)
        has_ended = False
        while not has_ended and not signals.is_ending():
            signals.wait()
            has_ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        if not has_ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        said = saying.read().decode()
    if said:
        raise Unavailable(said)
    return True


def _open(settings: IndexSettings, told: int, parent_pid: int) -> NoReturn:
    """In the process of its own: open the index and end, without closing it: that would move all of its log.

    What is no NodeError is left to those who open it next: it is told with its traceback there.
    """
    try:
        for number in ENDING:  # a terminal's Ctrl-C reaches both: the parent heeds it
            signal.signal(number, signal.SIG_IGN)
        end_with_parent(parent_pid)
        Database(settings)
    except NodeError as exc:
        os.write(told, exc.message.encode())
    finally:
        os._exit(0)
