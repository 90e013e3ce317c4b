"""Addresses and the networks they are in."""

from ipaddress import ip_network

from relais.access.networks import is_in


def test_a_balancer_is_known_by_its_network() -> None:
    networks = [ip_network("10.0.0.0/24"), ip_network("::1")]
    assert is_in("10.0.0.9", networks)
    assert is_in("::ffff:10.0.0.9", networks)
    assert is_in("::1", networks)
    assert not is_in("10.0.1.9", networks)
    assert not is_in("10.0.0.9", [])
    assert not is_in("no address", networks)
