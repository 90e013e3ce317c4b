"""`relais serve`: takes the ports and the data directory, then supervises the processes behind them.

The doors' sockets belong to the supervisor: who connects while the process behind one is being restarted waits, and is
not refused.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from relais import private
from relais.archive.unfinished import require_restored
from relais.config import Config, not_heeded
from relais.db.database import require_driver
from relais.dimse.seats import table_bytes
from relais.errors import NodeError, Unavailable
from relais.node import listen, log, ready
from relais.node.opening import open_index
from relais.node.orders import Orders
from relais.node.supervisor import Child, Supervisor
from relais.storage import require_client
from relais.telemetry import metrics
from relais.telemetry.line import fields

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
LEDGERS = ("imports", "pulls")  # folders of relais.cli.importing and relais.cli.pull
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - see counters_directory
EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
BACKGROUND_AFTER_S = 2.0  # the doors open first
SUPERVISED = ("web", "background")  # besides the workers of the DIMSE door


def serve(config: Config, on_ready: Callable[[Config, str], None], samples: Path | None = None) -> int:
    """Run the node that *config* describes until it is told to end, and return its exit code.

    When it has been ready once, *samples* are stored if the archive is empty, and *on_ready* is told the configuration
    with the ports that were really taken, and a sentence about the samples ("" without any); not if it is told to end
    before. Raises Unavailable if a port, the data directory or the index cannot be had, or a package is missing.
    """
    require_driver(config.index)
    require_client(config.storage)
    require_restored(config.node.data_dir)
    log.configure(config.node.log_level)
    for sentence in not_heeded():
        logger.warning(sentence)
    if config.web.host in EVERY_ADDRESS and not config.node.public_url:
        logger.warning(fields(event="no public_url", urls_begin_with=config.public_url))
    with (
        data_directory(config),
        listen.listener(config.dimse.host, config.dimse.port, "dimse") as door,
        listen.listeners(config.web.host, config.web.port, "web", config.web.workers) as web_doors,
        counters_directory(config) as counters,
        tempfile.TemporaryFile(dir=counters) as seats,
    ):
        if not open_index(config.index):
            return 0
        _close_to_others(config)
        seats.truncate(table_bytes(config.dimse.max_associations, config.dimse.workers))
        config = replace(
            config,
            dimse=replace(config.dimse, port=door.getsockname()[1]),
            web=replace(config.web, port=web_doors[0].getsockname()[1]),
        )
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **metrics.prepare(counters)}
        web_fds = [one.fileno() for one in web_doors]
        orders = Orders(config, door.fileno(), str(samples or ""), seats.fileno(), web_fds=web_fds)
        was_ready, is_ending = threading.Event(), threading.Event()

        def begin_to_end() -> None:
            is_ending.set()
            for one in (door, *web_doors):
                one.close()

        def watch() -> None:
            about_samples = _watch(config, was_ready, is_ending, orders)
            if not is_ending.is_set():
                on_ready(config, about_samples)

        threading.Thread(target=watch, daemon=True, name="ready?").start()
        return Supervisor(
            [*_dimse_workers(orders, environment), *(_child(role, orders, environment) for role in SUPERVISED)],
            is_ready=was_ready.is_set,
            on_ending=begin_to_end,
            on_end=lambda pid: metrics.forget_process(counters, pid),
        ).run()


@contextmanager
def data_directory(config: Config) -> Iterator[None]:
    """Have the data directory for ourselves. Raises Unavailable if another node serves it or it cannot be written."""
    lock = config.run_dir / "lock"
    try:
        private.make_folder(config.run_dir)
        file = lock.open("a+")
    except OSError as exc:
        reason = exc.strerror or exc
        raise Unavailable(f"[node] data_dir {config.node.data_dir} cannot be used: {reason}.") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise Unavailable(f"Another node is serving [node] data_dir {config.node.data_dir}.") from exc
        yield


def _close_to_others(config: Config) -> None:
    """What an older version left open to every user of the machine, index and cache, is closed to others."""
    paths = [config.node.data_dir / name for name in LEDGERS]
    if not config.index.is_postgresql:
        paths += [config.index.path.with_name(config.index.path.name + end) for end in ("", "-wal", "-shm")]
    if config.archive.cache_dir:
        paths += Path(config.archive.cache_dir).glob("[0-9a-f][0-9a-f]")  # the folder itself may be of others, too
    for path in paths:
        try:
            if private.narrow(path):
                logger.warning(fields(event="closed to others", path=path))
        except OSError as exc:
            logger.warning(fields(event="open to others", path=path, error=exc.strerror))


@contextmanager
def counters_directory(config: Config) -> Iterator[Path]:
    """A folder of ours, always the same for one data directory, in memory where there is such a file system.

    Counters are written through mapped memory: on a full disk that would end the process, in memory it does not.
    Raises Unavailable if somebody else has a folder of that name.
    """
    digest = hashlib.sha256(str(config.node.data_dir).encode()).hexdigest()[:16]
    folder = Path(SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else tempfile.gettempdir())
    chosen = folder / f"relais-{os.getuid()}-{digest}"
    with suppress(FileExistsError):
        chosen.mkdir(mode=0o700)
    found = chosen.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Unavailable(f"{chosen} belongs to somebody else: remove it.")
    try:
        yield chosen
    finally:
        shutil.rmtree(chosen, ignore_errors=True)


def is_ready(config: Config) -> bool:
    """Whether the node at the web door's address says that it is ready.

    A web door that lets only holders of certificates in does not say it to us: that it sends us away must do for it.
    """
    try:
        url = f"{config.web_address}/health/ready"
        with urllib.request.urlopen(url, timeout=5, context=ready.asking()) as answer:  # noqa: S310 - our own door
            return bool(answer.status == 200)
    except (OSError, ValueError) as exc:  # of which URLError is one
        if not (config.web.tls_ca and ready.is_alert(getattr(exc, "reason", None) or exc)):
            return False
    try:
        ready.dimse(config)()
    except NodeError:
        return False
    return True


def _dimse_workers(orders: Orders, environment: dict[str, str]) -> Iterator[Child]:
    """Named dimse, dimse-2, ..."""
    assert orders.listener_fd is not None
    assert orders.seats_fd is not None
    for worker in range(orders.config.dimse.workers):
        name = "dimse" if worker == 0 else f"dimse-{worker + 1}"
        given = replace(orders, worker=worker).to_json()
        yield Child(name, _command("dimse"), given, environment, (orders.listener_fd, orders.seats_fd))


def _child(role: str, orders: Orders, environment: dict[str, str]) -> Child:
    child = Child(role, _command(role), orders.to_json(), environment, tuple(orders.web_fds) if role == "web" else ())
    if role == "background":
        child.start_at = time.monotonic() + BACKGROUND_AFTER_S
    return child


def _command(role: str) -> list[str]:
    return [sys.executable, "-P", "-m", "relais", "serve", "--role", role, "--parent", str(os.getpid())]


def _watch(config: Config, was_ready: threading.Event, is_ending: threading.Event, orders: Orders) -> str:
    """Wait until the node is ready, or ends; then have the samples stored, if there are any. What is said of them."""
    while not is_ready(config):
        if is_ending.wait(LOOK_EVERY_S):
            return ""
    was_ready.set()
    return _store_samples(orders, is_ending) if orders.samples else ""


def _store_samples(orders: Orders, is_ending: threading.Event) -> str:
    """Have a process of its own store the samples, unless the node ends before, and return its sentence.

    It is in a process group of its own: a terminal's Ctrl-C reaches only the supervisor.
    """
    process = subprocess.Popen(  # noqa: S603 - our own program
        _command("samples"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it died at once, and has said why
            process.stdin.write(orders.to_json())
            process.stdin.close()
        while process.poll() is None:
            if is_ending.wait(LOOK_EVERY_S):
                os.killpg(process.pid, signal.SIGKILL)
                return ""
        return process.stdout.read().strip()
