"""Keys that the site declared searchable: which rows say what of them. Knows rows, not where the settings come from.

1. A declared key is kept up with every row that is stored, filled up or removed from then on, and back-filled from the
   attributes that rows keep, a step at a time. Only when every row is listed it is searched by.
2. A key that is declared no more is forgotten, a step at a time.
"""

from collections.abc import Iterable, Mapping

from relais.db import statements
from relais.db.database import Connection, Database, Transaction
from relais.dicom.attributes import Attribute, Level, by_tag, declared
from relais.dicom.json_model import JsonDataset, tag_key
from relais.dicom.matching import texts
from relais.dicom.values import NUMBER_VRS, RANGE_VRS, number_key
from relais.index import listed_names, packing
from relais.index.columns import moment, row_level, storable
from relais.index.listed_names import START

SQL = statements.load("relais.index.sql", "keys.sql")
STEP = 1000  # rows listed or forgotten by one transaction
_TABLES = {Level.STUDY: ("study", "studies"), Level.SERIES: ("series", "series")}


def filled(connection: Connection) -> frozenset[int]:
    """The tags that can be searched by."""
    return frozenset(row[0] for row in connection.execute(SQL["filled"]).fetchall())


def mark(tx: Transaction, level: Level, row_id: int, ds: JsonDataset) -> None:
    """List the row *row_id* of *level* under what its attributes *ds* say of the declared keys, and nothing else."""
    unmark(tx, level, row_id)
    tags = [row[0] for row in tx.execute(SQL["listed"], (level.value,)).fetchall()]
    _add(tx, level, row_id, ds, tags)


def unmark(tx: Transaction, level: Level, row_id: int) -> None:
    """List a row no longer."""
    tx.execute(SQL[f"remove_from_{_TABLES[level][0]}"], (row_id,))


def _add(tx: Transaction, level: Level, row_id: int, ds: JsonDataset, tags: Iterable[int]) -> None:
    found = ((tag, item, value) for tag in tags for item, value in said(ds, by_tag()[tag]))
    rows = [(tag, value[:START], row_id, item, value) for tag, item, value in found]
    if rows:
        tx.executemany(SQL[f"add_to_{_TABLES[level][0]}"], rows)


def said(ds: JsonDataset, attribute: Attribute) -> list[tuple[int, str]]:
    """The values of an attribute in the form that compares, each once, with their items."""
    found = texts(ds.get(tag_key(attribute.tag)), attribute.tag)
    if attribute.vr == "PN":
        return list(listed_names.rows(found))
    return list(enumerate(dict.fromkeys(storable(_compared(attribute.vr, text)) for text in found)))


def _compared(vr: str, text: str) -> str:
    if vr in NUMBER_VRS:
        return str(number_key(text))
    return moment(vr, text) if vr in RANGE_VRS else text


def work(db: Database) -> bool:
    """Do the next step towards searching by the keys of the settings and no others; False if there is none.

    Any process may do so at any time.
    """
    wanted = {one.tag: row_level(one.level) for one in map(declared, db.settings.search_keys)}
    with db.read() as connection:
        rows = connection.execute(SQL["all"]).fetchall()
        known = {row["tag"]: Level(row["level"]) for row in rows if row["level"]}
        unfinished = [row["tag"] for row in rows if not row["is_filled"]]
    if known == wanted and not unfinished:
        return False
    db.write(lambda tx: _step(tx, wanted))
    return True


def _step(tx: Transaction, wanted: Mapping[int, Level]) -> None:
    rows = tx.execute(SQL["all"]).fetchall()
    for tag in {row["tag"] for row in rows if row["level"]} - wanted.keys():
        tx.execute(SQL["withdraw"], (tag,))
    for tag in wanted.keys() - {row["tag"] for row in rows}:
        tx.execute(SQL["declare"], (tag, wanted[tag].value))
    for row in rows:
        if not row["level"]:
            _forget(tx, row["tag"])
        elif row["tag"] in wanted and not row["is_filled"]:
            _fill(tx, row["tag"], Level(row["level"]), row["filled_to"])


def _forget(tx: Transaction, tag: int) -> None:
    values = {"tag": tag, "limit": STEP}
    if sum(tx.execute(SQL[f"clear_{name}"], values).rowcount for _, name in _TABLES.values()) == 0:
        tx.execute(SQL["forget"], (tag,))


def _fill(tx: Transaction, tag: int, level: Level, reached: int) -> None:
    rows = tx.execute(SQL[_TABLES[level][1]], (reached, STEP)).fetchall()
    for row, ds in zip(rows, packing.unpack_many([bytes(row["attributes"]) for row in rows]), strict=True):
        _add(tx, level, row["id"], ds, [tag])
    tx.execute(SQL["reached"], (rows[-1]["id"] if rows else reached, tag))
    if len(rows) < STEP:
        tx.execute(SQL["fill"], (tag,))
