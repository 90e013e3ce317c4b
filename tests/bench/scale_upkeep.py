"""What an operator waits for at 980,000 studies, each in a process of its own: time, memory and size. Knows verbs.

Memory is the most that the process held, its interpreter and modules among it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from relais.db.database import Database
from relais.db.settings import IndexSettings
from relais.index import portable, statistics

Report = dict[str, Any]


def _recount(db: Database, _: Path) -> Report:
    """The nightly proof of all counters."""
    return {"differences": len(statistics.recount(db))}


def _snapshot(db: Database, path: Path) -> Report:
    """The part of a backup that grows with the index: the snapshot of it. Objects are copied besides, each once."""
    portable.save(db, path)
    return {"bytes": path.stat().st_size}


WORK: dict[str, Callable[[Database, Path], Report]] = {"recount": _recount, "snapshot": _snapshot}


def measured(work: str, url: str, folder: Path) -> Report:
    """Seconds and MB that *work* takes on the index at *url*, and what it tells."""
    command = [sys.executable, __file__, work, url, str(folder / work)]
    return dict(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=WORK)
    parser.add_argument("url")
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    with closing(Database(IndexSettings(url=options.url))) as db:
        started = time.perf_counter()
        found = WORK[options.work](db, options.path)
        found["s"] = round(time.perf_counter() - started, 1)
    found["mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
