"""The writers' lock: one at a time, free again when its holder dies."""

import subprocess
import sys
import threading
from pathlib import Path

from relais.db.lock import WritersLock

A_HOLDER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_one_waits_for_the_other(tmp_path: Path) -> None:
    first, second = WritersLock(tmp_path / "index.sqlite"), WritersLock(tmp_path / "index.sqlite")
    order: list[str] = []

    def wait() -> None:
        with second:
            order.append("second")

    with first:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    first.close()
    second.close()


def test_a_dead_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite.lock"
    holder = subprocess.Popen([sys.executable, "-c", A_HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    lock = WritersLock(tmp_path / "index.sqlite")
    with lock:
        pass
    lock.close()
