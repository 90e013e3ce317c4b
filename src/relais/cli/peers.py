"""`relais peers` and `relais echo`: who we know, and whether they answer."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relais.cli.common import config_of, config_option, json_option, print_json, print_table
from relais.config import Config, masked
from relais.errors import NodeError, NotFound, Unavailable
from relais.peers.base import Peer
from relais.peers.dicomweb import DicomwebPeer
from relais.peers.dimse import DimsePeer
from relais.peers.registry import Registry
from relais.peers.settings import PeerSettings

if TYPE_CHECKING:
    from relais.peers.orthanc import OrthancPeer


@click.command()
@click.argument("peer")
@config_option
@json_option
def echo(peer: str, config_file: Path | None, as_json: bool) -> None:
    """Ask PEER whether it answers (by C-ECHO or by HTTP).

    PEER is a name from the configuration or AE_TITLE@HOST:PORT.
    """
    milliseconds = _echo(config_of(config_file), peer)
    if as_json:
        print_json({"peer": peer, "answers": True, "ms": milliseconds})
    else:
        click.echo(f"{peer} answered in {milliseconds} ms.")


@click.command(short_help="List the configured peers; ask whether they answer.")
@click.option("--echo", "with_echo", is_flag=True, help="Ask whether they answer; exit code 1 if one does not.")
@config_option
@json_option
def peers(with_echo: bool, config_file: Path | None, as_json: bool) -> None:
    """List the configured peers: how to reach them and what they may do here."""
    config = config_of(config_file)
    found = [
        {
            "name": settings.name,
            "kind": settings.kind,
            "ae_title": settings.ae_title,
            "address": f"{settings.host}:{settings.port}" if settings.is_dimse else masked(settings.url),
            "may": list(settings.may) if settings.is_dimse else [],
            **({"answers": _answer(config, settings.name)} if with_echo else {}),
        }
        for settings in config.peers
    ]
    if as_json:
        print_json(found)
    elif found:
        print_table(list(found[0]), [[_cell(value) for value in peer.values()] for peer in found])
    else:
        click.echo("No peers are configured. Add [[peers]] to the configuration file.")
    if any(peer.get("answers", "yes") != "yes" for peer in found):
        raise SystemExit(1)


def peer_of(config: Config, name: str) -> Peer:
    """The peer called *name*, or the one at an address written as AE_TITLE@HOST:PORT. Raises NotFound for others."""
    ae_title, at, where = name.partition("@")
    host, colon, port = where.rpartition(":")
    if at and colon and port.isdecimal():
        try:
            settings = PeerSettings(name=name, ae_title=ae_title, host=host.strip("[]"), port=int(port))
        except ValueError as exc:
            raise click.BadParameter(f"{masked(name)}: {exc}") from exc
        return DimsePeer(settings, config.dimse.ae_title)
    if all(peer.name != name for peer in config.peers):
        known = ", ".join(peer.name for peer in config.peers) or "none"
        called = masked(name)
        raise NotFound(
            f"There is no peer called {called} (configured: {known}), and it is no AE_TITLE@HOST:PORT either."
        )
    return Registry(config.peers, config.dimse.ae_title).get(name)


def orthanc_of(config: Config, name: str, parallel: int = 1) -> "OrthancPeer | None":
    """The Orthanc called *name*, or at that URL; None if *name* is neither. Raises Unavailable if it cannot be used."""
    settings = next((peer for peer in config.peers if peer.name == name and peer.kind == "orthanc"), None)
    if name.startswith(("http://", "https://")):
        settings = _at(name, "orthanc")
    if settings is None:
        return None
    try:
        from relais.peers.orthanc import OrthancPeer  # noqa: PLC0415 - its library is optional
    except ImportError as exc:
        raise Unavailable("An Orthanc needs the package orthanc-api-client: pip install 'relais[orthanc]'.") from exc
    return OrthancPeer(settings, parallel)


def dicomweb_of(config: Config, name: str, *, is_by_web: bool = False) -> DicomwebPeer | None:
    """The DICOMweb origin server called *name*, or at that URL if it *is_by_web*; None if *name* is neither."""
    settings = next((peer for peer in config.peers if peer.name == name and peer.kind == "dicomweb"), None)
    if is_by_web and name.startswith(("http://", "https://")):
        settings = _at(name, "dicomweb")
    return None if settings is None else DicomwebPeer(settings)


def check_url(name: str) -> None:
    """Raises BadParameter if *name* is the URL of a peer and cannot be: before it is shown, or a file called so."""
    if name.startswith(("http://", "https://")):
        _at(name, "orthanc")


def _at(url: str, kind: str) -> PeerSettings:
    try:
        return PeerSettings(name=url, kind=kind, url=url)
    except ValueError as exc:
        raise click.BadParameter(f"{masked(url)}: {exc}") from exc


def _echo(config: Config, name: str) -> float:
    peer = dicomweb_of(config, name) or orthanc_of(config, name) or peer_of(config, name)
    started = time.perf_counter()
    peer.echo()
    return round((time.perf_counter() - started) * 1000, 1)


def _answer(config: Config, name: str) -> str:
    try:
        _echo(config, name)
    except NodeError as exc:
        return exc.message
    return "yes"


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
