"""Search, for C-FIND, QIDO-RS, pages and commands alike. Knows queries and rows, not Identifiers or query strings.

Who reads page after page sees everything that was there from the first one on once, whatever is stored meanwhile, if
less than bookmarks.VALID_S passes between two pages; a page that is asked for alone within that time goes on behind the
page that was last found before it. Where nodes share the index, they share the bookmarks in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import Principal
from relais.archive import Archive, availability, included
from relais.archive.bookmarks import Bookmarks, FileSlots, Place
from relais.dicom import uids
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import MatchKind, Query
from relais.index import changes
from relais.index import search as index_search
from relais.index.page_ends import IndexSlots

STUDY_INSTANCE_UID = 0x0020000D


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: *rows* in a stable order, newest study first, each as the attributes of its level.

    *more* says that the limit cut the answer. *unsupported* are keys that did not narrow it, *left_out* attributes that
    were to be included and are not: the door must say both.
    """

    rows: Iterable[JsonDataset]
    more: bool
    unsupported: tuple[int, ...]
    left_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A search that was allowed and recorded: *query*, as far as its principal may see, of the index at *revision*.

    *behind* is where its principal's page before this one ended, if that is known; else the page is counted off by its
    offset. *unsupported* are keys that do not narrow it, now, *availability* a stamp of what is at hand. While all of
    these are the same, so is what is found. *who* are the protocol, name and address of its principal. *released_to*
    is the principal itself if it is given what the index does not keep, too: who may not retrieve is not.
    """

    query: Query
    revision: int
    behind: Place | None
    who: tuple[str, str, str]
    unsupported: tuple[int, ...]
    availability: int = 0
    released_to: Principal | None = None

    def page(self, offset: int) -> str:
        """What the page that begins at *offset* is remembered under: who searches, and for what."""
        return f"{self._walk} {offset}"

    @property
    def _walk(self) -> str:
        query = self.query
        return repr((self.who, query.level, query.matches, query.fuzzy, query.combined_date_time))

    @property
    def itself(self) -> str:
        """This page among all those of its walk: whichever is the same ends at the same place."""
        return repr((self.query.offset, self.query.limit, self.revision, self.behind))

    def pages_behind(self, rows: int) -> list[str]:
        """The pages at which who was given so many *rows* goes on: behind them, or behind as many as may be."""
        begin, walk = self.query.offset, self._walk
        return [f"{walk} {offset}" for offset in {begin + rows, begin + (self.query.limit or rows)} - {begin}]


def ask(archive: Archive, principal: Principal, query: Query) -> Asked:
    """Decide what *principal* may see of *query*, and record that it was asked. Raises Forbidden."""
    narrowed = archive.policy.narrow(principal, query)
    _record(archive, principal, query)
    unsupported = index_search.unsupported(archive.db, narrowed)
    who = (principal.protocol, principal.name, principal.address)
    at_hand = availability.stamp(archive, narrowed.level)
    released_to = principal if included.may_be(archive, principal, narrowed) else None
    asked = Asked(narrowed, changes.latest(archive.db), None, who, unsupported, at_hand, released_to)
    if not narrowed.offset:
        return asked
    return replace(asked, behind=_bookmarks(archive).get(asked.page(narrowed.offset)))


def found(archive: Archive, asked: Asked) -> Found:
    """One page of what was asked for, at that revision or a newer one."""
    page = index_search.search(archive.db, asked.query, asked.behind)
    _bookmarks(archive).put(asked.pages_behind(len(page.rows)), page.last or asked.behind, asked.itself)
    unsupported, beyond = asked.unsupported, included.asked(asked.query)
    told = availability.told(archive, asked.query.level, page.rows)
    if not beyond:
        return Found(told, page.more, unsupported)
    rows = included.add(archive, asked.released_to, page.rows, beyond) if asked.released_to else None
    if rows is not None:
        return Found(availability.told(archive, asked.query.level, rows), page.more, unsupported)
    return Found(told, page.more, unsupported, tuple(tag for tag in beyond if tag not in unsupported))


def found_again(archive: Archive, asked: Asked) -> bool:
    """To be called before an answer is given again without being found anew: its next page stays in place.

    False if it is not in place any more: then the page is to be found anew.
    """
    limit = asked.query.limit
    return not limit or _bookmarks(archive).renew(asked.page(asked.query.offset + limit), asked.itself)


def search(archive: Archive, principal: Principal, query: Query) -> Found:
    """One page of what *query* matches, as far as *principal* may see it. Raises Forbidden."""
    return found(archive, ask(archive, principal, query))


def stream(archive: Archive, principal: Principal, query: Query) -> Found:
    """All that *query* matches, read as the caller goes on; changes made meanwhile may or may not show."""
    narrowed = archive.policy.narrow(principal, query)
    rows = availability.told(archive, narrowed.level, index_search.stream(archive.db, narrowed))
    _record(archive, principal, query)
    return Found(rows, False, index_search.unsupported(archive.db, narrowed))


def named(archive: Archive, principal: Principal, query: Query, action: Action) -> Iterable[JsonDataset]:
    """What *query* names of what *principal* may do *action* on, for who does that next and records it.

    Who may not search may have a patient sent all the same. Raises Forbidden.
    """
    return index_search.stream(archive.db, archive.policy.narrow(principal, query, action))


def _bookmarks(archive: Archive) -> Bookmarks:
    return Bookmarks(IndexSlots(archive.db) if archive.db.is_postgresql else FileSlots(archive.settings.cache_dir))


def _record(archive: Archive, principal: Principal, query: Query) -> None:
    keys = [f"{match.tag:08X}" for match in query.matches]
    record = audit.Record(principal, Action.SEARCH, _study(query), {"level": query.level, "keys": keys})
    archive.db.write_soon(lambda tx: audit.write(tx, record))


def _study(query: Query) -> str:
    """The UID of the one study that *query* is about, "" if it may be about others."""
    named = (match for match in query.matches if match.tag == STUDY_INSTANCE_UID)
    single = (match.values[0] for match in named if match.kind is MatchKind.SINGLE_VALUE)
    return next(filter(uids.is_valid, single), "")
