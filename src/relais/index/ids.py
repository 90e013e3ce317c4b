"""How rows are named and counted while a search is planned. Knows ids and trigrams, not what is searched."""

import json
import re

from relais.db.database import Connection
from relais.index import compile as sql
from relais.index.compile import Fragment
from relais.index.mapping import all_rows

FEW = 5000
LITERAL = re.compile(r"[^*?\[]{3,}")  # what a trigram index can find


def few(connection: Connection, candidates: Fragment, most: int | None = None) -> list[int] | None:
    """The ids that *candidates* selects, None if they are many: more than *most*, or else FEW."""
    most = FEW if most is None else most
    found = sql.fill("WITH found(id) AS ({} LIMIT ?) SELECT json_group_array(id) FROM found", candidates)
    ids = all_rows(connection, found.sql, (*found.params, most + 1))
    return ids if len(ids) <= most else None


def listed(ids: list[int]) -> Fragment:
    """*ids* as a SELECT."""
    return Fragment("SELECT value FROM json_each(?)", (json.dumps(ids),))


def with_trigrams(table: str, column: str, pattern: str) -> Fragment:
    """*column* of a trigram table holds *pattern*.

    `*letters*` is answered by the trigrams alone; for any other pattern SQLite looks at the text of each row found.
    """
    letters = pattern.strip("*")
    if pattern == f"*{letters}*" and not {"*", "?"} & set(letters):
        phrase = letters.replace('"', '""')
        return sql.fill("{} MATCH {}", table, Fragment("?", (f'{column} : "{phrase}"',)))
    return sql.glob(column, pattern)
