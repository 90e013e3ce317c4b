"""PostgreSQL as the engine of an index: one writer and some readers of one process. Knows how they are opened."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg

from relais.db.postgres import failures
from relais.db.postgres.aside import Aside
from relais.db.postgres.connection import Server
from relais.db.postgres.migrate import migrate
from relais.db.postgres.readers import Readers
from relais.db.postgres.writer import PostgresWriter
from relais.db.settings import IndexSettings
from relais.db.transaction import Connection, Params, Row


class PostgresEngine:
    """The writer and the readers of one process."""

    def __init__(self, settings: IndexSettings) -> None:
        """Connect, and migrate the index, one process at a time."""
        server = Server(settings)
        try:
            self.writer = _entered(server)
        except psycopg.Error as exc:
            server.close()
            raise failures.of_reading(exc) from exc
        except BaseException:
            server.close()
            raise
        self._server = server
        self._readers = Readers(server, settings)
        self._aside = Aside(server)

    def snapshot(self, timeout_s: float | None) -> AbstractContextManager[Connection]:
        """A connection inside a read transaction."""
        return self._readers.snapshot(timeout_s)

    def first(self, sql: str, params: Params) -> Row | None:
        """The first row of one statement."""
        return self._readers.first(sql, params)

    def aside(self, sql: str, params: Params) -> bool:
        """Run one statement in a commit of its own, beside the writers' turns."""
        self._aside.run(sql, params)
        return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the index alone."""
        try:
            with self.writer.alone():
                yield
        except psycopg.Error as exc:
            raise failures.of_reading(exc) from exc

    def close(self) -> None:
        """Close readers and writer."""
        self._aside.close()
        self._readers.close()
        self.writer.close()
        self._server.close()


def _entered(server: Server) -> PostgresWriter:
    """The writer of an index that is brought to the newest schema."""
    writer = PostgresWriter(server)
    try:
        migrate(writer.connection)
        writer.enter()
    except BaseException:
        writer.close()
        raise
    return writer
