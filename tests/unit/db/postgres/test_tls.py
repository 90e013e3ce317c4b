"""A PostgreSQL server that speaks TLS: whom we trust, and what an operator is told whose certificates do not fit."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from fixtures import certificates
from fixtures.ports import free_port
from fixtures.postgres import PostgresServer
from fixtures.waiting import eventually
from relais.db.database import Database
from relais.db.postgres import failures
from relais.db.postgres.connection import Server
from relais.db.settings import IndexSettings
from relais.errors import Unavailable

LONG_S = 3600.0  # nobody waits for a server that he does not trust


class Secured:
    """A server with TLS at 127.0.0.1, whose certificate is for this address."""

    def __init__(self, folder: Path) -> None:
        self.world = certificates.world(folder)
        self.port = free_port()
        self.server = PostgresServer(port=self.port)
        for name, source in (("cert", self.world.node.certificate), ("key", self.world.node.key)):
            path = self.server.folder / f"server.{name}"
            shutil.copyfile(source, path)
            path.chmod(0o600)
            shutil.chown(path, self.server.folder.owner(), self.server.folder.group())
            self.server.tell(f"ALTER SYSTEM SET ssl_{name}_file = '{path}'")
        self.server.tell("ALTER SYSTEM SET ssl = on")
        self.server.tell("SELECT pg_reload_conf()")
        assert eventually(lambda: self.says(host="127.0.0.1", sslmode="require") is None)

    def says(self, host: str, **parameters: object) -> str | None:
        """What somebody is told who opens the index with these *parameters* of its URL; None if he can."""
        url = f"postgresql://relais@{host}:{self.port}/migrated?{urlencode(parameters, quote_via=quote)}"
        try:
            with closing(Database(IndexSettings(url=url, busy_timeout_s=LONG_S))):
                return None
        except Unavailable as exc:
            return exc.message


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    made = Secured(tmp_path_factory.mktemp("tls"))
    yield made
    made.server.remove()


def test_who_is_vouched_for_is_trusted(secured: Secured) -> None:
    ca = secured.world.ca.certificate
    assert secured.says("127.0.0.1", sslmode="verify-full", sslrootcert=ca) is None


def test_certificates_that_do_not_fit_are_told_as_such_and_at_once(secured: Secured, tmp_path: Path) -> None:
    ca, stranger = secured.world.ca.certificate, secured.world.stranger.certificate
    for host, mode, path in (
        ("127.0.0.1", "verify-full", stranger),  # another authority
        ("localhost", "verify-full", ca),  # a name that is not in it
        ("127.0.0.1", "verify-ca", tmp_path / "missing.pem"),
    ):
        assert secured.says(host, sslmode=mode, sslrootcert=path) == failures.NO_TLS


def test_a_server_without_tls_is_refused_where_it_is_wanted(tmp_path: Path) -> None:
    port = free_port()
    server = PostgresServer(port=port)
    try:
        url = f"postgresql://relais@127.0.0.1:{port}/migrated?sslmode=require"
        with pytest.raises(Unavailable) as caught:
            Database(IndexSettings(url=url, busy_timeout_s=LONG_S))
        assert caught.value.message == failures.NO_TLS
    finally:
        server.remove()


def test_a_role_without_a_right_to_come_in_is_no_matter_of_certificates(secured: Secured) -> None:
    assert secured.says("127.0.0.1", sslmode="require", user="nobody_knows_me") == failures.REFUSED


def test_a_host_that_nobody_knows_is_told() -> None:
    with pytest.raises(Unavailable) as caught:
        Database(IndexSettings(url="postgresql://relais@no.such.host.invalid/relais", busy_timeout_s=0))
    assert caught.value.message == failures.NO_HOST


def test_a_tls_connection_of_a_server_that_hangs_is_given_up_too(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relais.db.postgres.connection.MARGIN_S", 0.5)
    url = f"postgresql://relais@127.0.0.1:{secured.port}/migrated?sslmode=require"
    server = Server(IndexSettings(url=url, busy_timeout_s=1, read_timeout_s=1))
    with closing(server), closing(server.reader()) as connection:
        with secured.server.hanging(), pytest.raises(failures.Overdue):
            connection.execute("SELECT 1")
        assert connection.raw.closed
