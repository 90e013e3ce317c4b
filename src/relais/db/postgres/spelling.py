"""SQLite's SQL, which the rooms above speak, in PostgreSQL's words, with the same parameters. Knows words, no tables.

1. A named statement may have its own PostgreSQL text (db.statements); that is only respelled for its placeholders.
2. What index.dialect and its neighbours put together is respelled by RULES, one for each of SQLite's own words there.
3. The server knows no INDEXED BY: where names drive, it is asked for an order that the index of dates does not have. A
   search is prepared as every statement is: to plan it anew takes as long as to run it, and the server still does so
   where its guess without the values is the worse one.
"""

import re
from functools import lru_cache

from relais.db import statements

# Where many ids only filter: a list after ANY would be compared one by one with each row.
_HASHED = r"\1 IN (SELECT unnest(translate(?, '[]', '{}')::bigint[]))"
# In this order. A list comes as a JSON array, of ids or CAST to texts; the functions as_... are made by migrations.
RULES = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"\+([\w.]+) IN \(SELECT value FROM json_each\(\?\)\)", rf"({_HASHED}) IS TRUE"),
        (r"\bEXISTS \(SELECT 1 FROM person_name\b", "(SELECT TRUE FROM person_name"),
        (r"\bIN \((SELECT p\.word FROM person_word AS p WHERE [^()]+)\)", r"= ANY(ARRAY(\1))"),
        (r"(INDEXED BY study_\w+_name\b.*? ORDER BY )s\.date_time\b", r"\1(s.date_time + 0)"),
        (r"IN \(SELECT value FROM json_each\((\?|:\w+)\)\)", r"= ANY(translate(\1, '[]', '{}')::bigint[])"),
        (r"IN \(SELECT CAST\(value AS TEXT\) FROM json_each\((\?|:\w+)\)\)", r"= ANY(as_texts(\1))"),
        (r"json_each\((\?|:\w+)\) AS (\w+)", r"jsonb_array_elements(\1::jsonb) WITH ORDINALITY AS \2(value, key)"),
        (r" GLOB \?", " LIKE (SELECT as_like(?))"),  # SELECT: once, not for each row
        (r"\b\w+_label MATCH \?", "labels @@ as_question(?)"),
        (r" MATCH \?", " LIKE (SELECT as_letters(?))"),
        (r" NOT INDEXED\b| INDEXED BY \w+", ""),
        (r"\bCROSS JOIN\b", "JOIN"),
        (r"SELECT json_group_array\((.+?)\)\s+FROM\b", r"SELECT coalesce(json_agg(\1), '[]')::text FROM"),
        (r"\bjson_(array|object)\(", r"json_build_\1("),
        (r"\bhex\(([\w.]+)\)", r"coalesce(encode(\1, 'hex'), '')"),
        (r"\btotal\(([\w.]+)\)", r"coalesce(sum(\1), 0)"),
        (r"printf\('%!\.17g', (\w+)\)", r"\1"),
        (r"\bAS INTEGER\)", "AS bigint)"),
        (r"^BEGIN IMMEDIATE$", "BEGIN"),
    )
)
_MARKS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|(?<![:\w]):([a-z_]+)\b|\?|%")


@lru_cache(maxsize=4096)
def spelled(sql: str) -> str:
    """*sql* for PostgreSQL, with psycopg's placeholders; "" where the server has nothing to do."""
    own = statements.postgresql(sql)
    text = sql if own is None else own
    if own is None:
        for pattern, replacement in RULES:
            text = pattern.sub(replacement, text)
    return _MARKS.sub(_mark, text)


def _mark(found: re.Match[str]) -> str:
    """One placeholder, or a percent sign, which psycopg wants doubled in texts too."""
    if found[1]:
        return f"%({found[1]})s"
    return "%s" if found[0] == "?" else found[0].replace("%", "%%")
