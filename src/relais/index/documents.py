"""Ready-made metadata documents, one per instance, kept compressed. Knows bytes of JSON, not what they say.

Those of an active series lie in a row each, those of a packed one in its bundle (index.bundles).
"""

import json
from collections.abc import Iterable, Mapping

from relais.db import statements
from relais.db.database import Database, Transaction
from relais.index import bundles, packing
from relais.index.mapping import instance_rows
from relais.index.rows import InstanceRow

SQL = statements.load("relais.index.sql", "documents.sql")


def get_many(db: Database, instances: Iterable[InstanceRow]) -> dict[int, bytes]:
    """The documents that are kept of these instances, as JSON, by their ids."""
    wanted = {row.id: row for row in instances}
    with db.read() as connection:
        rows = connection.execute(SQL["get_many"], (json.dumps(list(wanted)),)).fetchall()
        missing = [row for row in wanted.values() if row.id not in {row["instance_fk"] for row in rows}]
        series = json.dumps(sorted({row.series_id for row in missing}))
        found = connection.execute(SQL["bundles"], (series,)).fetchall() if missing else []
    documents = packing.unpack_documents([row["document"] for row in rows])
    kept = {row["instance_fk"]: document for row, document in zip(rows, documents, strict=True)}
    versions = [(row.id, row.revision) for row in missing]
    for row in found:
        kept.update(bundles.documents(bytes(row["documents"]), versions))
    return kept


def put_many(tx: Transaction, documents: Mapping[tuple[int, int], bytes]) -> None:
    """Keep the JSON documents of instances, by id and revision.

    None of those that are gone or were replaced; and none of a packed series, which was packed with all that could be
    made.
    """
    rows = [
        {"id": number, "revision": revision, "document": packing.pack_document(document)}
        for (number, revision), document in documents.items()
    ]
    tx.executemany(SQL["put"], rows)


def without(db: Database, limit: int, after_id: int = 0) -> list[InstanceRow]:
    """Up to *limit* instances behind *after_id* of which no document is kept, the oldest first."""
    with db.read() as connection:
        return instance_rows(connection, SQL["without"], (after_id, limit))
