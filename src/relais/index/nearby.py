"""Whether a page of frequent names lies among the newest studies, and the walk that finds it. Knows names and dates.

A page by names and dates alone is passed over for where that is expected to take less than finding all who bear one of
the names, counting and sorting them. How many of the newest studies bear one tells how far it should be. Studies whose
patient's name lacks letters that a pattern names together are passed over by the bits beside it (index.letters); where
it names none, each name is looked at.
"""

from dataclasses import dataclass, replace

from relais.db.database import Connection
from relais.dicom.attributes import Level
from relais.index import letters
from relais.index.compile import Condition
from relais.index.dialect import read
from relais.index.fragments import TRUE, Fragment, all_of, fill
from relais.index.plan import Plan, alone, between, may_be_frequent, walked

PROBED = 200  # of the newest studies tell how frequent names are,
MORE_PROBED, FEW_HITS = 1000, 12  # or more where letters tell nearly all and so few bear one
DOUBT = 2  # times as far as expected the walk may go: then hits were there by chance
MOST_ROWS = 3000  # of a page; for more no walk is tried
# How many studies are passed over while one who bears a name is found and sorted:
BY_LETTERS = 4.0
BY_TEXT, BY_WORDS = 1 / 3, 1 / 12  # of the name, where each is looked at,
BY_SERVER = 1 / 30  # and either on a server


@dataclass(frozen=True, slots=True)
class Near:
    """A walk over the newest studies only, and what is asked of them."""

    plan: Plan
    filters: list[Fragment]


def nearby(connection: Connection, conditions: list[Condition], rows: int) -> Near | None:
    """A walk where the first *rows* by frequent names and dates alone should be found; None where none is worth it.

    They are if so many are found; if not, that says nothing. *conditions* come as index.compile leaves them.
    """
    asked = alone(conditions)
    if rows > MOST_ROWS or asked is None or not may_be_frequent(asked):
        return None
    bounds = between("s.date_time BETWEEN ? AND ?", conditions)
    bits = 0 if asked.match is None else letters.of_match(asked.match, asked.fuzzy)
    has_letters = Fragment("(s.patient_letters & ?) = ?", (bits, bits)) if bits else TRUE
    probed, wanted = PROBED, all_of([has_letters, asked.fragment])
    hits, studies = _hits(connection, wanted, bounds, probed)
    if bits.bit_count() > 1 and hits < FEW_HITS:
        probed = MORE_PROBED
        hits, studies = _hits(connection, wanted, bounds, probed)
    expected, borne = rows * probed // max(1, hits), studies * hits // probed
    if expected > borne * _passed(connection, asked, by_letters=bits != 0):
        return None
    return Near(_walk(conditions, bounds, expected * DOUBT), [has_letters, *(one.fragment for one in conditions)])


def _passed(connection: Connection, asked: Condition, *, by_letters: bool) -> float:
    """How many studies are passed over while one who bears a name is found and sorted."""
    if by_letters:
        return BY_LETTERS
    if connection.is_remote:
        return BY_SERVER
    return BY_WORDS if asked.fuzzy else BY_TEXT


def _walk(conditions: list[Condition], bounds: Fragment, most: int) -> Plan:
    """From the newest study to the oldest, some *most* of them."""
    last = fill("SELECT s.date_time FROM {} WHERE {}", Fragment(read("study", "s", "study_date_time")), bounds)
    last = fill("{} ORDER BY s.date_time DESC, s.id DESC LIMIT 1 OFFSET {}", last, Fragment("?", (most,)))
    near = fill("s.date_time >= coalesce(({}), 0)", last)
    return replace(walked(Level.STUDY, conditions), start=all_of([bounds, near]))


def _hits(connection: Connection, asked: Fragment, bounds: Fragment, probed: int) -> tuple[int, int]:
    """How many of the newest studies satisfy *asked*, and how many studies there are."""
    source, most = Fragment(read("study", "s", "study_names")), Fragment("?", (probed,))
    names = "SELECT s.patient_name, s.referring_physician_name, s.patient_letters FROM {} WHERE {}"
    newest = fill("{} ORDER BY s.date_time DESC, s.id DESC LIMIT {}", fill(names, source, bounds), most)
    counted = fill("SELECT count(*), (SELECT studies FROM totals) FROM ({}) AS s WHERE {}", newest, asked)
    found = connection.execute(counted.sql, counted.params).fetchone()
    return int(found[0]), int(found[1])
