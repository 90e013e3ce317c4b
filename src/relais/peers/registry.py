"""The peers of this node, by name and by AE title. Knows settings, not how to speak to anybody."""

from collections.abc import Iterator, Sequence

from relais.errors import InvalidRequest, NotFound
from relais.peers.base import Peer
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings


class Registry:
    """The configured peers that speak DIMSE. *calling_ae_title* is how we call ourselves when we speak to them.

    Raises ValueError if two peers share a name or an AE title: neither could be told from the other.
    """

    def __init__(self, settings: Sequence[PeerSettings] = (), calling_ae_title: str = "RELAIS") -> None:
        dimse = [peer for peer in settings if peer.is_dimse]
        self._others = {peer.name: peer.kind for peer in settings if not peer.is_dimse}
        self._peers = {peer.name: DimsePeer(peer, calling_ae_title) for peer in dimse}
        self._names = {peer.ae_title: peer.name for peer in dimse}
        if len(self._peers | self._others) < len(settings):
            raise ValueError("two peers have the same name")
        if len(self._names) < len(dimse):
            raise ValueError("two peers have the same ae_title")

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def get(self, name: str) -> Peer:
        """The peer called *name*. Raises NotFound, and InvalidRequest for one of another kind."""
        if name in self._others:
            raise InvalidRequest(f"{name} is a peer of kind {self._others[name]}: this cannot be done with it.")
        try:
            return self._peers[name]
        except KeyError:
            raise NotFound(f"There is no peer called {name}.") from None

    def by_ae_title(self, ae_title: str) -> Peer | None:
        """The peer with that AE title, None without one. Spaces around it mean nothing (PS3.5 6.2)."""
        name = self._names.get(ae_title.strip())
        return None if name is None else self._peers[name]
