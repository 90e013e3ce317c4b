"""Puts the parts together as the configuration says. Knows every part's constructor, and no process or signal."""

from collections.abc import Iterator
from contextlib import contextmanager

from relais import private
from relais.access.tokens import Tokens
from relais.archive import Archive
from relais.archive.spooling import SharedRegister
from relais.archive.unfinished import require_restored
from relais.config import Config
from relais.db.database import Database
from relais.dimse.seats import Seats
from relais.dimse.server import DimseServer
from relais.node import ready
from relais.node.http_server import Application
from relais.peers.registry import Registry
from relais.pixels.workers import PixelWorkers
from relais.storage import open_store
from relais.ui import pages
from relais.ui.facts import NodeFacts
from relais.web import authentication
from relais.web.app import create_app


def open_archive(config: Config) -> Archive:
    """The archive that *config* describes; folders and index are made where there are none.

    Raises Unavailable where a backup is only half restored.
    """
    require_restored(config.node.data_dir)
    private.make_folder(config.node.data_dir)
    db = Database(config.index)
    return Archive(
        db=db,
        store=open_store(config.storage, config.node.data_dir, SharedRegister(db)),
        pixels=PixelWorkers(config.pixels),
        policy=config.policy,
        settings=config.archive,
    )


@contextmanager
def archive_of(config: Config) -> Iterator[Archive]:
    """`open_archive`, closed afterwards."""
    archive = open_archive(config)
    try:
        yield archive
    finally:
        close(archive)


def close(archive: Archive) -> None:
    """Commit what is still to be written and let go of processes and files."""
    archive.pixels.close()
    archive.store.close()
    archive.db.close()


def registry(config: Config) -> Registry:
    """The configured peers."""
    return Registry(config.peers, config.dimse.ae_title)


def dimse_server(config: Config, archive: Archive, seats: Seats | None = None) -> DimseServer:
    """The DIMSE door, not yet open."""
    return DimseServer(config.dimse, archive, registry(config), seats)


def web_application(config: Config, archive: Archive) -> Application:
    """The web door and the pages."""
    app = create_app(archive, config.web, ready.checks(config, archive), public_url=config.public_url)
    authentication.register(app, Tokens(config.tokens), config.access.mode)
    dimse = config.dimse
    pages.install(app, archive, NodeFacts(config.node.name, dimse.ae_title, dimse.host, dimse.port, config.public_url))
    return app
