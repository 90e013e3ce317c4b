"""Whether the node can do its work: both doors accept, index and storage answer. Asked by /health/ready.

The web door answers for itself by answering. A DIMSE door that rejects one association too many answers too: to be
taken out of service then would break what it is doing. A full disk is no reason either: what is kept can still be read,
and a store that cannot be made durable is refused one by one. An object store that is away is one only when the spool
has no more room either.
"""

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

from relais.access.networks import is_in
from relais.archive import Archive
from relais.config import Config
from relais.dimse.wire import proxied
from relais.errors import OutOfResources, Unavailable
from relais.node import clock, mounted
from relais.node.remembered import Check, Remembered
from relais.peers.association import Rejected
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings
from relais.peers.tls import Secure
from relais.storage.spooling import Spooling

GOOD_FOR_S = 1.0  # an answer is given again for this long: asking costs strangers nothing, so it must cost us little
ECHO_TIMEOUT_S = 3.0
LIMIT_S = 4.0  # for one part: a balancer that waits for 5 seconds still hears which one it is


def checks(config: Config, archive: Archive) -> Mapping[str, Check]:
    """One check by part."""
    found: dict[str, Check] = {
        "dimse": dimse(config),
        "index": _index(config, archive),
        "storage": lambda: _storage_answers(archive),
    }
    return {name: Remembered(check, GOOD_FOR_S, LIMIT_S) for name, check in found.items()}


def dimse(config: Config) -> Check:
    """Whether the DIMSE door answers."""
    return _handshake(config) if config.dimse.tls_certificate else _echo(config)


def asking() -> ssl.SSLContext:
    """What our own doors are asked with, whatever certificate they show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # with 1.3 a door sends away after the handshake, maybe unheard
    return context


def is_alert(exc: BaseException | None) -> bool:
    """Whether a door that speaks TLS has sent us away: it may want a certificate that is not ours to have."""
    return isinstance(exc, ssl.SSLError) and "ALERT" in (exc.reason or "")


def _host(config: Config) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(config.dimse.host, config.dimse.host)  # noqa: S104


def _handshake(config: Config) -> Check:
    """Whether the door speaks TLS."""
    context, introduce = asking(), _introduce(config)

    def shake_hands() -> None:
        try:
            with socket.create_connection((_host(config), config.dimse.port), ECHO_TIMEOUT_S) as connection:
                context.wrap_socket(introduce(connection)).close()
        except ssl.SSLError as exc:
            if not is_alert(exc):
                raise Unavailable("The DIMSE door does not speak TLS.") from exc
        except OSError as exc:
            raise Unavailable("The DIMSE door does not answer.") from exc

    return shake_hands


def _introduce(config: Config) -> Secure:
    """Say that we call for ourselves, where our own address is one of those from which balancers call."""
    proxies = [ip_network(proxy) for proxy in config.dimse.proxies]

    def introduce(connection: socket.socket) -> socket.socket:
        if is_in(connection.getsockname()[0], proxies):
            connection.sendall(proxied.FOR_ITSELF)
        return connection

    return introduce


def _echo(config: Config) -> Check:
    title = config.dimse.ae_title
    own = PeerSettings(name="own", ae_title=title, host=_host(config), port=config.dimse.port, timeout_s=ECHO_TIMEOUT_S)
    door = DimsePeer(own, title, _introduce(config))

    def echo() -> None:
        with suppress(Rejected):
            door.echo()

    return echo


def _index(config: Config, archive: Archive) -> Check:
    """Whether the index answers, and is the one that lies where it should: files that are gone answer, too."""
    path = config.index.path
    opened = None if config.index.is_postgresql else _identity(path)

    def answers() -> str | None:
        said = clock.ahead(archive.db)
        if opened and _identity(path) != opened:
            raise Unavailable(f"The index {path} was moved, removed or replaced under the node: start the node again.")
        return said

    return answers


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _storage_answers(archive: Archive) -> str | None:
    """Start an upload and leave it: it leaves no trace. A folder that is away is no full disk."""
    mounted.require(archive.db, archive.store)
    try:
        with archive.store.begin(b"ready?") as upload:
            upload.write(b"yes")
    except OutOfResources:
        archive.store.free_bytes()
    return archive.store.require_ready() if isinstance(archive.store, Spooling) else None
