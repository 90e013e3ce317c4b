"""How a connection to PostgreSQL is made: what it is told besides what its URL says."""

from contextlib import closing
from pathlib import Path

from fixtures.engines import POSTGRESQL, index_url
from relais.db.postgres.connection import PostgresConnection, Server
from relais.db.settings import IndexSettings


def parameters(url: str) -> dict[str, str]:
    """Those of a connection to *url*, made as a reader's."""
    server = Server(IndexSettings(url=url))
    with closing(server), closing(server.reader()) as connection:
        return connection.raw.info.get_parameters()


def test_a_machine_that_is_gone_is_noticed_where_nothing_happens_too(tmp_path: Path) -> None:
    found = parameters(index_url(tmp_path, POSTGRESQL))
    assert [found[f"keepalives_{name}"] for name in ("idle", "interval", "count")] == ["30", "10", "3"]
    assert found["tcp_user_timeout"] == "60000"


def test_what_the_url_says_counts(tmp_path: Path) -> None:
    found = parameters(f"{index_url(tmp_path, POSTGRESQL)}&keepalives_idle=7&connect_timeout=3&application_name=north")
    assert (found["keepalives_idle"], found["keepalives_count"]) == ("7", "3")
    assert (found["connect_timeout"], found["application_name"]) == ("3", "north")


def test_a_connection_that_is_closed_is_watched_over_no_more(tmp_path: Path) -> None:
    server = Server(IndexSettings(url=index_url(tmp_path, POSTGRESQL)))
    connections: list[PostgresConnection] = [server.reader(), server.writer(), server.aside()]
    assert len(server._watch._lines) == len(connections)
    for connection in connections:
        connection.close()
        connection.close()
    assert not server._watch._lines
    server.close()
