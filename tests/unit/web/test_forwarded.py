"""X-Forwarded-For: believed of our own balancers, and only the part that they wrote."""

from ipaddress import ip_network

import pytest

from relais.web.forwarded import caller

PROXIES = [ip_network("10.0.0.0/24"), ip_network("::1")]


@pytest.mark.parametrize(
    ("peer", "said", "who"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.8", "192.0.2.7"),  # nobody's balancer
        ("10.0.0.1", "192.0.2.8", "192.0.2.8"),
        ("10.0.0.1", "1.2.3.4, 192.0.2.8", "192.0.2.8"),  # 1.2.3.4 is what the caller claims
        ("10.0.0.1", "1.2.3.4, 192.0.2.8, 10.0.0.2", "192.0.2.8"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("", "192.0.2.8", ""),
    ],
)
def test_who_asks(peer: str, said: str, who: str) -> None:
    assert caller(peer, said, PROXIES) == who
