"""How rows are named and counted while a search is planned. Knows ids, not what is searched."""

from relais.db.database import Connection
from relais.index.dialect import as_array
from relais.index.fragments import Fragment, fill
from relais.index.mapping import all_rows

NOTHING = Fragment("SELECT 0 WHERE FALSE")
FEW = 5000
RARE = 500  # no better place to start from is looked for
SURE = 4  # times FEW: as many are many, even if they are expected too many


def few(connection: Connection, candidates: Fragment, most: int | None = None) -> list[int] | None:
    """The ids that *candidates* selects, some perhaps twice; None if they are many: more than *most*, or else FEW."""
    if candidates == NOTHING:
        return []
    most = FEW if most is None else most
    found = as_array("id", fill("{} LIMIT {}", candidates, Fragment("?", (most + 1,))))
    ids = all_rows(connection, found.sql, found.params)
    return ids if len(ids) <= most else None


def are_expected_many(connection: Connection, candidates: Fragment) -> bool:
    """Whether *candidates* surely are many, as far as a server guesses: it finds all before it gives the first away."""
    if not connection.is_remote:
        return False
    guess = connection.execute(f"EXPLAIN (FORMAT JSON) {candidates.sql}", candidates.params).fetchone()[0]
    return bool(guess[0]["Plan"]["Plan Rows"] > SURE * FEW)
