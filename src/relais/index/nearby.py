"""Whether a page of frequent names lies among the newest studies, and the walk that finds it. Knows names and dates.

A page by names and dates alone is passed over for where that is expected to take less than finding all who bear one of
the names, counting and sorting them. How many of the newest studies bear one tells how far it should be.
"""

from dataclasses import dataclass, replace

from relais.db.database import Connection
from relais.dicom.attributes import Level
from relais.dicom.query import MatchKind
from relais.index import bearers
from relais.index import compile as sql
from relais.index.compile import Condition
from relais.index.dialect import among, read
from relais.index.fragments import Fragment, all_of, fill
from relais.index.plan import Plan, alone, between, walked

PROBED = 200  # of the newest studies tell how frequent names are
DOUBT = 3  # times as far as expected the walk may go: then hits were there by chance
MOST_ROWS = 3000  # of a page; for more no walk is tried
BEARER_COST = 4  # of who bears a name, found and sorted, in studies that are passed over
TEXT_COST = 3  # of a study passed over by the text of its name, in bearers whose names are looked up first;
FUZZY_COST = 12  # the same by the words of its name,
REMOTE_COST = 30  # and on a server


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
    if rows > MOST_ROWS or asked is None or not _may_be_frequent(asked):
        return None
    bounds = between("s.date_time BETWEEN ? AND ?", conditions)
    hits, studies = _hits(connection, asked, bounds)
    expected, borne = rows * PROBED // max(1, hits), studies * hits // PROBED
    if expected > BEARER_COST * borne:
        return None
    filters = [one.fragment for one in conditions]
    if expected * _cost_of_text(connection, asked) > borne:
        given = _has_given_name(connection, asked)
        if given is None:
            return None
        filters.insert(0, given)
    return Near(_walk(conditions, bounds, min(expected * DOUBT, borne * BEARER_COST)), filters)


def _cost_of_text(connection: Connection, asked: Condition) -> int:
    if connection.is_remote:
        return REMOTE_COST
    return FUZZY_COST if asked.fuzzy else TEXT_COST


def _walk(conditions: list[Condition], bounds: Fragment, most: int) -> Plan:
    """From the newest study to the oldest, some *most* of them."""
    last = fill("SELECT s.date_time FROM {} WHERE {}", Fragment(read("study", "s", "study_date_time")), bounds)
    last = fill("{} ORDER BY s.date_time DESC, s.id DESC LIMIT 1 OFFSET {}", last, Fragment("?", (most,)))
    near = fill("s.date_time >= coalesce(({}), 0)", last)
    return replace(walked(Level.STUDY, conditions), start=all_of([bounds, near]))


def _may_be_frequent(asked: Condition) -> bool:
    """Whether it asks for more than one name, in some way."""
    match = asked.match
    return match is not None and match.tag in sql.NAMES and (asked.fuzzy or match.kind is MatchKind.WILD_CARD)


def _hits(connection: Connection, asked: Condition, bounds: Fragment) -> tuple[int, int]:
    """How many of the newest studies satisfy *asked*, and how many studies there are."""
    source = Fragment(read("study", "s", "study_names"))
    names = fill("SELECT s.patient_name, s.referring_physician_name FROM {} WHERE {}", source, bounds)
    newest = fill("{} ORDER BY s.date_time DESC, s.id DESC LIMIT {}", names, Fragment("?", (PROBED,)))
    counted = fill("SELECT count(*), (SELECT studies FROM totals) FROM ({}) AS s WHERE {}", newest, asked.fragment)
    found = connection.execute(counted.sql, counted.params).fetchone()
    return int(found[0]), int(found[1])


def _has_given_name(connection: Connection, asked: Condition) -> Fragment | None:
    """That a name is one of those that may satisfy *asked*, found at once in this statement: the others go unread.

    None where that takes too long, and with a server: it would find all who bear one of the names, and then sort them.
    """
    match = asked.match
    found = None if match is None or asked.fuzzy or connection.is_remote else bearers.with_given_name(match)
    return None if match is None or found is None else among(bearers.column_of(match), found)
