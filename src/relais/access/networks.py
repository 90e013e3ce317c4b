"""Addresses and the networks they are in. Knows IP, not who is there."""

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse(text: str) -> Address | None:
    """The address *text*, without its zone; that of IPv4 where it is mapped into IPv6. None if it is no address."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_in(text: str, networks: Sequence[Network]) -> bool:
    """Whether the address *text* is in one of *networks*; what is no address is in none."""
    found = parse(text)
    return found is not None and any(found in network for network in networks)
