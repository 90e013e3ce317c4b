"""The peers of this node, by name and by AE title. Knows settings, not how to speak to anybody."""

from collections.abc import Iterator, Sequence

from relais.errors import NotFound
from relais.peers.base import Peer
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings


class Registry:
    """The configured peers. *calling_ae_title* is how we call ourselves when we speak to them.

    Raises ValueError if two peers share a name or an AE title: neither could be told from the other.
    """

    def __init__(self, settings: Sequence[PeerSettings] = (), calling_ae_title: str = "RELAIS") -> None:
        self._peers = {peer.name: DimsePeer(peer, calling_ae_title) for peer in settings}
        self._names = {peer.ae_title: peer.name for peer in settings}
        if len(self._peers) < len(settings):
            raise ValueError("two peers have the same name")
        if len(self._names) < len(settings):
            raise ValueError("two peers have the same ae_title")

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def get(self, name: str) -> Peer:
        """The peer called *name*. Raises NotFound."""
        try:
            return self._peers[name]
        except KeyError:
            raise NotFound(f"There is no peer called {name}.") from None

    def by_ae_title(self, ae_title: str) -> Peer | None:
        """The peer with that AE title, None without one. Spaces around it mean nothing (PS3.5 6.2)."""
        name = self._names.get(ae_title.strip())
        return None if name is None else self._peers[name]
