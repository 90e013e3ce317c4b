"""The DIMSE door: an application entity that listens. Knows when to open and close, not what is served."""

import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_network
from threading import Thread
from typing import Any, Protocol

from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.presentation import build_context

from relais.access.networks import is_in
from relais.archive import Archive
from relais.dicom.contexts import VERIFICATION
from relais.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from relais.dimse.association import NodeAssociation
from relais.dimse.room import Room
from relais.dimse.seats import Seats
from relais.dimse.services import NodeServices
from relais.dimse.settings import DimseSettings
from relais.dimse.stock import LISTEN_BACKLOG, Handler, Server
from relais.dimse.wire import proxied
from relais.dimse.wire.association import InlineNodeAssociation
from relais.dimse.wire.listener import Address, Limits, Listener, Welcome
from relais.peers import mended, tls
from relais.peers.registry import Registry

SILENT_CONNECTIONS = 256  # may be open besides the associations, until they ask for one or acse_timeout_s is over
LOOK_S = 0.05


class Door(Protocol):
    """What listens, whichever the engine."""

    @property
    def server_address(self) -> Any: ...

    @property
    def active_associations(self) -> Sequence[Any]: ...

    def serve_forever(self, look_s: float, /) -> None: ...

    def shutdown(self) -> None: ...


class DimseServer:
    """The door; start opens it. Its threads live in this process."""

    def __init__(self, settings: DimseSettings, archive: Archive, peers: Registry, seats: Seats | None = None) -> None:
        """*seats* are shared with the other processes behind the door; without any there are none."""
        self._settings = settings
        self._seats = seats or Seats(settings.max_associations)
        self._services = NodeServices(settings, archive, peers, self._seats)
        self._server: Door | None = None

    def start(self, sock: socket.socket | None = None) -> None:
        """Accept associations from now on: on *sock*, which is bound and may be shared, or on host and port.

        Raises OSError if the port is not to be had.
        """
        mended.settle()
        open_door = self._open_stock if self._settings.engine == "stock" else self._open_inline
        self._server = open_door(sock)
        Thread(target=self._server.serve_forever, args=(LOOK_S,), name="dimse-accept", daemon=True).start()

    def _open_inline(self, sock: socket.socket | None) -> Door:
        settings = self._settings
        limits = Limits(
            silent=SILENT_CONNECTIONS,
            threads=settings.max_associations + SILENT_CONNECTIONS,
            silent_s=settings.acse_timeout_s,
        )
        listening = sock or _listening(settings.host, settings.port)
        make = partial(InlineNodeAssociation, self._services, settings, Room(settings.workers))
        return Listener(listening, make, limits, _welcome(settings), self._seats)

    def _open_stock(self, sock: socket.socket | None) -> Door:
        settings = self._settings
        return _application_entity(settings).make_server(
            (settings.host, settings.port),
            contexts=[build_context(VERIFICATION)],  # what is supported is set per association
            server_class=Server,
            request_handler=Handler,
            services=self._services,
            room=Room(settings.workers),
            max_connections=settings.max_associations + SILENT_CONNECTIONS,
            given=sock,
            wrap=_wrap(settings),
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1]) if self._server else self._settings.port

    def stop(self, grace_s: float = 10.0) -> None:
        """Take no more associations, let requests end, and abort what is idle then or busy after *grace_s*."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        deadline = time.monotonic() + grace_s
        while associations := server.active_associations:
            is_over = time.monotonic() > deadline
            for assoc in associations:
                if is_over or not (isinstance(assoc, NodeAssociation) and assoc.is_busy):
                    assoc.abort(block=False)
            if is_over:
                break
            time.sleep(LOOK_S)


def _welcome(settings: DimseSettings) -> Welcome | None:
    """What comes before a connection is served: a balancer says whom it passes on, then TLS. None if neither does."""
    proxies, wrap = [ip_network(proxy) for proxy in settings.proxies], _wrap(settings)
    if not proxies and wrap is None:
        return None

    def welcome(connection: socket.socket, address: Address) -> tuple[socket.socket, Address]:
        if is_in(address[0], proxies):
            address = proxied.announced(connection) or address
        return (wrap(connection) if wrap else connection), address

    return welcome


def _wrap(settings: DimseSettings) -> Callable[[socket.socket], socket.socket] | None:
    """The TLS handshake with who has connected, in that connection's own thread and time limit; None without TLS."""
    if not settings.tls_certificate:
        return None
    context = tls.server_context(settings.tls_certificate, settings.tls_key, settings.tls_ca, settings.tls_client)
    return partial(context.wrap_socket, server_side=True)


def _application_entity(settings: DimseSettings) -> AE:
    ae = AE(settings.ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = settings.max_pdu
    ae.maximum_associations = settings.max_associations + SILENT_CONNECTIONS  # ours is counted by NodeServices
    ae.acse_timeout = settings.acse_timeout_s
    ae.dimse_timeout = settings.dimse_timeout_s
    ae.network_timeout = settings.network_timeout_s
    return ae


def _listening(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address, family=family, backlog=LISTEN_BACKLOG)
