"""What node.http_server relies on in granian beyond its public interface, and that nobody else does.

pyproject.toml names the versions that it was seen to hold for: a newer one has to pass this before anything else.
"""

import inspect
import re
import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from granian._granian import SocketHolder
from granian.server.common import AbstractServer
from granian.server.mp import MPServer, WorkerProcess

import relais
from relais.node import http_server

ROOT = Path(relais.__file__).parent


def test_it_is_a_version_that_was_looked_at() -> None:
    assert version("granian").startswith("2.8.")


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (MPServer, "_init_shared_socket", ["self"]),
        (MPServer, "_drop_shared_socket", ["self"]),
        (MPServer, "_spawn_worker", ["self", "idx", "target", "callback_loader"]),
        (AbstractServer, "_respawn_workers", ["self", "workers", "spawn_target", "target_loader", "delay"]),
    ],
)
def test_what_we_override_is_there_and_has_its_parameters(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_workers_are_made_one_by_one_from_what_we_set_and_load_before_they_accept() -> None:
    assert "((self._ssp, self._shd), self._sso)" in inspect.getsource(MPServer._spawn_worker)
    for owner, name in ((AbstractServer, "_spawn_workers"), (AbstractServer, "_respawn_workers")):
        assert "self._spawn_worker(idx=idx, target=" in inspect.getsource(getattr(owner, name))
    wrapped = inspect.getsource(WorkerProcess.wrap_target)
    assert wrapped.index("callback_loader()") < wrapped.index("target(worker_id, callback, sock")


def test_sockets_are_let_go_before_workers_are_told_to_end() -> None:
    source = inspect.getsource(AbstractServer.shutdown)
    assert source.index("_drop_shared_socket()") < source.index("_stop_workers()")


def test_a_socket_is_held_by_its_number_and_not_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        holder = SocketHolder(listening.fileno(), False, *http_server.QUEUE)
        assert holder.get_fd() == listening.fileno()
        assert not holder.is_uds()
        del holder
        assert listening.getsockname()[1]


def test_nothing_of_granian_is_known_elsewhere() -> None:
    knowing = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.py")
        if re.search(r"import.*granian|granian.*import", path.read_text())
    ]
    assert knowing == [Path("node/http_server.py")]
