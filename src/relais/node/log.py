"""Where log lines go and how they look: one line each, `key=value`, on stderr. The only handler of the program."""

import logging
import os
import sys
import time
import traceback
from functools import lru_cache

from relais.telemetry import context
from relais.telemetry.line import fields, one_line

# Other people's libraries, and from which level on they are heard, unless debugging. What peers do wrong on the wire is
# told by the door itself, in one line.
FOREIGN = {
    "pynetdicom": "WARNING",
    "pynetdicom.acse": "CRITICAL",
    "pynetdicom.dul": "CRITICAL",
    "pynetdicom.transport": "CRITICAL",
    "pydicom": "ERROR",
    "py.warnings": "ERROR",  # of pydicom above all, with values that may be a patient's
    "psycopg": "ERROR",  # what the server refused is told by whoever asked
    "werkzeug": "WARNING",
    "_granian": "WARNING",
    "urllib3": "ERROR",  # what it tries again is told by whoever asked, if it fails in the end
    "PIL": "WARNING",
}


class LineFormatter(logging.Formatter):
    """`at=... level=... from=... pid=...`, the ids of the work at hand, the message; tracebacks stay on the line."""

    def format(self, record: logging.LogRecord) -> str:
        at = f"{_second(int(record.created))}.{int(record.msecs):03d}Z"
        head = {"at": at, "level": record.levelname.lower(), "from": record.name, "pid": os.getpid()}
        line = f"{fields(**head, **context.current())} {one_line(record.getMessage())}"
        if record.exc_info:
            line += " traceback=" + one_line("".join(traceback.format_exception(*record.exc_info)).strip())
        return line


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def configure(level: str) -> None:
    """Send everything from *level* ("info", ...) on to stderr. Replaces what was configured before."""
    logging._srcfile = None  # no line says where in the source or in which thread: Python's logging howto, Optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name, heard_from in FOREIGN.items():
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else heard_from)
