"""The dictionary of person names: every distinct folded name once. Knows names, not who bears them."""

from relais.db import statements
from relais.db.database import Transaction
from relais.dicom import person_name

SQL = statements.load("relais.index.sql", "names.sql")


def name_id(tx: Transaction, text: str) -> int | None:
    """The id of the name *text* (`Alphabetic=Ideographic=Phonetic`), None if it is empty. Names are added as needed."""
    keys = person_name.keys(text)
    if not any(keys):
        return None
    found = tx.execute(SQL["find"], keys).fetchone()
    return int(found[0]) if found is not None else _add(tx, keys, text)


def _add(tx: Transaction, keys: tuple[str, str, str], text: str) -> int:
    new = int(tx.execute(SQL["add"], keys).fetchone()["id"])
    tx.execute(SQL["add_trigrams"], (new, *keys))
    words = person_name.words(text)
    tx.executemany(SQL["add_word"], [(word, new) for word in words])
    tx.executemany(SQL["add_distinct_word"], [(word,) for word in words])
    return new


def release(tx: Transaction, name: int | None) -> None:
    """Forget *name* if no study bears it any more."""
    if name is None or tx.execute(SQL["is_borne"], {"name": name}).fetchone() is not None:
        return
    keys = tuple(tx.execute(SQL["keys"], (name,)).fetchone())
    tx.execute(SQL["remove_trigrams"], (name, *keys))
    words = [row["word"] for row in tx.execute(SQL["words"], (name,))]
    tx.execute(SQL["remove_words"], (name,))
    tx.executemany(SQL["remove_distinct_word"], [{"word": word} for word in words])
    tx.execute(SQL["remove"], (name,))
