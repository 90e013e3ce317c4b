"""What SQLite says in a way of its own: patterns, trigrams, labels, lists, and which index a table is read by.

Whatever else index.compile, candidates, bearers, plan and walk put together is plain SQL. PostgreSQL is told the same
in its own words and with the same parameters: db.postgres.spelling has a rule for each form that is made here, so a new
form needs a new rule. Statements in sql/*.sql for which those rules do not do are spelled anew in sql/postgresql.
"""

import re

import orjson

from relais.dicom.attributes import Level
from relais.index.fragments import Fragment, fill

TRIGRAM = 3
LITERAL = re.compile(r"[^*?\[]{3,}")  # what trigrams can find
_LABELS = {Level.STUDY: "study_label", Level.SERIES: "series_label"}


def glob(column: str, pattern: str) -> Fragment:
    """*column* matches *pattern*, letter by letter. GLOB means by `*` and `?` what DICOM means, and more by `[`."""
    return Fragment(f"{column} GLOB ?", (pattern.replace("[", "[[]"),))


def with_letters(table: str, letters: str, column: str = "") -> Fragment:
    """The ids in a trigram table of the rows with *letters*, a LITERAL, in *column* or in any: trigrams alone tell."""
    phrase = letters.replace('"', '""')
    return fill("SELECT rowid FROM {} WHERE {} MATCH {}", table, column or table, Fragment("?", (f'"{phrase}"',)))


def with_trigrams(table: str, column: str, pattern: str) -> Fragment:
    """The ids in a trigram table of the rows whose *column* matches *pattern*, which holds a LITERAL.

    Where the pattern is more than letters between stars SQLite looks at the text of each row that it finds.
    """
    letters = letters_between_stars(pattern)
    if len(letters) >= TRIGRAM:
        return with_letters(table, letters, column)
    return fill("SELECT rowid FROM {} WHERE {}", table, glob(column, pattern))


def letters_between_stars(pattern: str) -> str:
    """What stands between the stars of `*letters*`, "" for any other pattern."""
    letters = pattern.strip("*")
    return letters if pattern == f"*{letters}*" and not {"*", "?"} & set(letters) else ""


def under_labels(level: Level, wanted: list[list[int]]) -> Fragment:
    """The ids of the rows of *level* that bear one label of each of the lists *wanted*."""
    words = " AND ".join(f"({' OR '.join(map(str, ids))})" for ids in wanted)
    return fill("SELECT rowid FROM {0} WHERE {0} MATCH {1}", _LABELS[level], Fragment("?", (words,)))


def listed(ids: list[int]) -> Fragment:
    """*ids* as a SELECT."""
    return Fragment("SELECT value FROM json_each(?)", (orjson.dumps(ids).decode(),))


def among(column: str, ids: Fragment) -> Fragment:
    """*column* is one of the `listed` *ids*: only to filter rows found another way, as the plus tells both engines."""
    return fill("{} IN ({})", Fragment(f"+{column}"), ids)


def as_array(columns: str, select: Fragment) -> Fragment:
    """The rows that *select* finds as one JSON array, of arrays if there are several *columns*."""
    row = f"json_array({columns})" if "," in columns else columns
    return fill(
        "WITH found({}) AS ({}) SELECT json_group_array({}) FROM found", Fragment(columns), select, Fragment(row)
    )


def read(table: str, alias: str, index: str | None) -> str:
    """*table* in a FROM clause, read by that index and no other, or by ids if there is none."""
    return f"{table} AS {alias} INDEXED BY {index}" if index else f"{table} AS {alias} NOT INDEXED"
