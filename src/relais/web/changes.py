"""The change feed over HTTP, with a bounded wait for the next change. Knows requests, not what a change is about.

Who waits holds a thread. So only some may wait at a time in each process, for some seconds each: all others are
answered at once, and come again.
"""

import time
from datetime import UTC, datetime

from flask import Blueprint, Response

from relais.archive import feed
from relais.archive.feed import Page
from relais.dicomweb.media_types import JSON
from relais.errors import InvalidRequest
from relais.index.rows import Change
from relais.web import payload
from relais.web.door import door, principal, query_parameters

DEFAULT_LIMIT, MAX_LIMIT = 1000, 10_000
MAX_REVISION = 2**63 - 1
MAX_WAIT_S = 5.0  # who asks for more is answered after that many: a node that stops must not wait for its readers
POLL_S = 0.1

routes = Blueprint("changes", __name__)


@routes.get("/changes")
def changes() -> Response:
    """Every change behind a revision, in order."""
    asked = query_parameters()
    if strange := sorted(asked.keys() - {"since", "limit", "wait", "feed"}):
        raise InvalidRequest(f"There is no query parameter {ascii(strange[0])[:80]} here.")
    since = _number(asked, "since", 0, 0, MAX_REVISION)
    limit = _number(asked, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    wait_s = min(_number(asked, "wait", 0, 0, 3600), MAX_WAIT_S)
    page = feed.changes(door().archive, principal(), since, limit, asked.get("feed", ""))
    if not page.changes and wait_s and _wait(since, wait_s):
        page = feed.changes(door().archive, principal(), since, limit, asked.get("feed", ""))
    return payload.json_document(_described(page, since), JSON)


def _wait(since: int, wait_s: float) -> bool:
    """Whether something has come behind *since* in time. False at once where too many wait already."""
    waiters = door().waiters
    if not waiters.acquire(blocking=False):
        return False
    try:
        deadline = time.monotonic() + wait_s
        while not (changed := feed.has_changed(door().archive, since)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return changed
    finally:
        waiters.release()


def _described(page: Page, since: int) -> dict[str, object]:
    found = [_change(change) for change in page.changes]
    last = page.changes[-1].revision if page.changes else since
    return {"feed": page.name, "rev": last, "latest": page.latest, "changes": found}


def _change(change: Change) -> dict[str, object]:
    return {
        "rev": change.revision,
        "at": datetime.fromtimestamp(change.at, UTC).isoformat(timespec="milliseconds"),
        "kind": change.kind,
        "StudyInstanceUID": change.ref.study_instance_uid,
        "SeriesInstanceUID": change.ref.series_instance_uid,
        "SOPInstanceUID": change.ref.sop_instance_uid,
    }


def _number(asked: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = asked.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and low <= int(text) <= high):
        raise InvalidRequest(f"{name} must be a number from {low} to {high}.")
    return int(text)
