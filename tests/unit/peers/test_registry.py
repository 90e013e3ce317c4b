import pytest

from relais.errors import InvalidRequest, NotFound
from relais.peers.registry import Registry
from relais.peers.settings import PeerSettings

NORTH = PeerSettings("north", "NORTH", "127.0.0.1", 104)
SOUTH = PeerSettings("south", "SOUTH", "127.0.0.1", 104)


def test_peers_are_found_by_name_and_by_ae_title() -> None:
    registry = Registry([NORTH, SOUTH])
    assert registry.get("north").name == "north"
    found = registry.by_ae_title(" SOUTH ")
    assert found is not None
    assert found.name == "south"
    assert [peer.name for peer in registry] == ["north", "south"]


def test_who_is_not_configured_is_not_there() -> None:
    registry = Registry([NORTH])
    assert registry.by_ae_title("SOUTH") is None
    assert registry.by_ae_title("north") is None
    with pytest.raises(NotFound, match="south"):
        registry.get("south")


def test_two_peers_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Registry([NORTH, PeerSettings("north", "OTHER", "127.0.0.1", 104)])
    with pytest.raises(ValueError, match="same ae_title"):
        Registry([NORTH, PeerSettings("other", "NORTH", "127.0.0.1", 104)])


def test_an_orthanc_is_none_of_those_that_speak_dimse() -> None:
    old, older = (PeerSettings(name, kind="orthanc", url="http://127.0.0.1:8042") for name in ("old", "older"))
    registry = Registry([NORTH, old, older])
    assert [peer.name for peer in registry] == ["north"]
    with pytest.raises(InvalidRequest, match="kind orthanc"):
        registry.get("old")
    with pytest.raises(ValueError, match="same name"):
        Registry([NORTH, PeerSettings("north", kind="orthanc", url="http://127.0.0.1:8042")])
