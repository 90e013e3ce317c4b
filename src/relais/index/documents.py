"""Ready-made metadata documents, one per instance, kept compressed. Knows bytes of JSON, not what they say."""

import json
from collections.abc import Iterable, Mapping

from relais.db import statements
from relais.db.database import Database, Transaction
from relais.index import packing
from relais.index.mapping import instance_rows
from relais.index.rows import InstanceRow

SQL = statements.load("relais.index.sql", "documents.sql")


def get_many(db: Database, ids: Iterable[int]) -> dict[int, bytes]:
    """The documents that are kept of these instances, as JSON."""
    with db.read() as connection:
        rows = connection.execute(SQL["get_many"], (json.dumps(list(ids)),)).fetchall()
    documents = packing.unpack_documents([row["document"] for row in rows])
    return {row["instance_fk"]: document for row, document in zip(rows, documents, strict=True)}


def put_many(tx: Transaction, documents: Mapping[tuple[int, int], bytes]) -> None:
    """Keep the JSON documents of instances, by id and revision; none of those that are gone or were replaced."""
    rows = [
        {"id": number, "revision": revision, "document": packing.pack_document(document)}
        for (number, revision), document in documents.items()
    ]
    tx.executemany(SQL["put"], rows)


def without(db: Database, limit: int, after_id: int = 0) -> list[InstanceRow]:
    """Up to *limit* instances behind *after_id* of which no document is kept, the oldest first."""
    with db.read() as connection:
        return instance_rows(connection, SQL["without"], (after_id, limit))
