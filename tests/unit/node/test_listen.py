"""Ports, taken or refused."""

import select
import socket
from contextlib import ExitStack

import pytest

from relais.errors import Unavailable
from relais.node.listen import answers, free_port, listener, listeners


def test_port_zero_gives_a_free_port_that_accepts() -> None:
    with listener("127.0.0.1", 0, "dimse") as taken:
        port = taken.getsockname()[1]
        assert answers("127.0.0.1", port)
    assert not answers("127.0.0.1", port)


def test_a_port_in_use_is_refused_with_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable) as caught:
            listener("127.0.0.1", port, "dimse", patience_s=0.2)
    assert caught.value.message == (
        f"The dimse door cannot listen on 127.0.0.1:{port}: another program is using it. "
        "Set [dimse] host and port, or stop the other one."
    )


def test_a_port_that_is_shared_by_others_counts_as_in_use() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Unavailable):
            listener("127.0.0.1", other.getsockname()[1], "web", patience_s=0)


def test_an_address_of_another_machine_is_refused_with_a_sentence() -> None:
    with pytest.raises(Unavailable, match="this machine has no such address"):
        listener("192.0.2.1", 0, "web", patience_s=0)


def test_a_host_that_is_not_known_is_refused() -> None:
    with pytest.raises(Unavailable, match="The web door cannot listen"):
        listener("no-such-host.invalid", 8080, "web", patience_s=0)


def test_a_free_port_can_be_taken_afterwards() -> None:
    port = free_port("127.0.0.1", 0, "web")
    with listener("127.0.0.1", port, "web") as taken:
        assert taken.getsockname()[1] == port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", ""])
def test_sockets_that_share_a_port_get_every_connection_between_them(host: str) -> None:
    with ExitStack() as closing, listeners(host, 0, "web", 3) as taken:
        port = taken[0].getsockname()[1]
        assert [one.getsockname()[1] for one in taken] == [port] * 3
        assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in taken)
        clients = {closing.enter_context(socket.create_connection((host or "localhost", port))) for _ in range(60)}
        accepted: list[int] = []
        while len(accepted) < len(clients):
            ready, _, _ = select.select(taken, [], [], 60)
            assert ready
            for one in ready:
                closing.enter_context(one.accept()[0])
                accepted.append(taken.index(one))
        assert set(accepted) == {0, 1, 2}
    assert not answers("127.0.0.1", port)


def test_one_socket_shares_with_nobody() -> None:
    with listeners("127.0.0.1", 0, "web", 1) as taken:
        assert len(taken) == 1
        assert not taken[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def test_a_port_that_sockets_share_is_shared_with_no_other_node() -> None:
    with listeners("127.0.0.1", 0, "web", 2) as taken:
        port = taken[0].getsockname()[1]
        with pytest.raises(Unavailable, match="another program is using it"), listeners("127.0.0.1", port, "web", 2, 0):
            pass


def test_sockets_that_would_share_a_port_take_none_that_others_share() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with (
            pytest.raises(Unavailable, match="another program is using it"),
            listeners("127.0.0.1", other.getsockname()[1], "web", 2, 0),
        ):
            pass
