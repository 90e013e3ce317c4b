"""How much the index holds, and whether its counters tell the truth. Knows counters and rows."""

from relais.db import statements
from relais.db.database import Connection, Database
from relais.index.rows import Statistics

SQL = statements.load("relais.index.sql", "statistics.sql")


def statistics(db: Database) -> Statistics:
    """What the index holds now, from counters, however much it is."""
    with db.read() as connection:
        row = connection.execute(SQL["totals"]).fetchone()
    return Statistics(
        row["patients"], row["studies"], row["series"], row["instances"], row["size_bytes"], row["revision"]
    )


def received_since(db: Database, at: float) -> int:
    """How many instances were stored or replaced since *at*, in seconds since the epoch."""
    with db.read() as connection:
        first = _first_revision(connection, at)
        return int(connection.execute(SQL["received_behind"], (first,)).fetchone()[0])


def _first_revision(connection: Connection, at: float) -> int:
    """The last revision before *at*. Revisions and times grow together, so halving finds it without an index."""
    low, high = connection.execute(SQL["ends_of_feed"]).fetchone()
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(SQL["change_from"], (middle + 1,)).fetchone()
        if row is not None and row["at"] < at:
            low = int(row["revision"])
        else:
            high = middle
    return int(low)


def recount(db: Database) -> list[str]:
    """Every counter that does not say what the rows say, as a sentence each; [] when all is well.

    Each kind is counted in a look of its own: a single one over everything would keep the log from being begun anew.
    """
    found: list[str] = []
    for name in ("wrong_series", "wrong_studies", "wrong_patients", "wrong_totals", "wrong_modalities", "orphans"):
        with db.read(is_long=True) as connection:
            found += [str(row[0]) for row in connection.execute(SQL[name])]
    return found
