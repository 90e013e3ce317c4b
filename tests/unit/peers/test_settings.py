from typing import Any

import pytest

from relais.peers.settings import PeerSettings

GOOD: dict[str, Any] = {"name": "south", "ae_title": "SOUTH", "host": "10.0.0.2", "port": 104}


def test_a_peer_may_do_everything_but_delete_by_default() -> None:
    assert PeerSettings(**GOOD).may == ("store", "search", "retrieve", "move")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("name", "", "name must not be empty"),
        ("kind", "carrier pigeon", "kind must be one of: dimse"),
        ("ae_title", "", "ae_title must have 1 to 16"),
        ("host", "", "host"),
        ("port", 0, "port must be from 1 to 65535"),
        ("may", ("store", "fly"), "not fly"),
        ("timeout_s", 0, "timeout_s must be more than 0"),
        ("networks", ("10.1.0.0/16", "10.1.2.3/16"), "networks must hold .* not 10.1.2.3/16"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        PeerSettings(**GOOD | {name: value})
