"""The change feed over HTTP: ordered, immutable, resumable, and the wait for what comes next."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fixtures.builders import a_ct, a_series
from fixtures.waiting import eventually
from fixtures.web import WebNode, web_node
from relais.archive import maintenance


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("changes")
    with web_node(folder, deletes=True, threads=16) as node:
        yield node


def ask(web: WebNode, query: str = "") -> dict[str, Any]:
    response = web.session.get(f"{web.base}/api/changes{query}", timeout=120)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json"), response.text
    found: dict[str, Any] = response.json()
    return found


def latest(web: WebNode) -> int:
    return int(ask(web, "?limit=1")["latest"])


def test_every_store_and_deletion_is_a_change_with_the_next_revision(web: WebNode) -> None:
    start, series = latest(web), a_series(2)
    web.store(*series)
    web.store(series[0])  # the same again changes nothing
    web.request("DELETE", f"/studies/{series[0].StudyInstanceUID}")
    page = ask(web, f"?since={start}")
    told = [(change["rev"] - start, change["kind"], change["SOPInstanceUID"]) for change in page["changes"]]
    uids = [ds.SOPInstanceUID for ds in series]
    assert [(rev, kind) for rev, kind, _ in told] == [(1, "stored"), (2, "stored"), (3, "deleted"), (4, "deleted")]
    assert {uid for _, kind, uid in told if kind == "stored"} == set(uids)
    assert sorted(uid for *_, uid in told[2:]) == sorted(uids)
    assert {change["StudyInstanceUID"] for change in page["changes"]} == {series[0].StudyInstanceUID}
    assert {change["SeriesInstanceUID"] for change in page["changes"]} == {series[0].SeriesInstanceUID}
    assert (page["rev"], page["latest"]) == (start + 4, start + 4)
    assert all(change["at"].endswith("+00:00") for change in page["changes"])


def test_what_was_told_once_is_told_again_in_the_same_words(web: WebNode) -> None:
    start, ds = latest(web), a_ct()
    web.store(ds)
    before = ask(web, f"?since={start}&limit=1")["changes"]
    web.request("DELETE", f"/studies/{ds.StudyInstanceUID}")
    web.store(ds)
    assert ask(web, f"?since={start}&limit=1")["changes"] == before


def test_a_reader_goes_on_where_it_was(web: WebNode) -> None:
    start = latest(web)
    web.store(*a_series(7))
    seen, rev = [], start
    while page := ask(web, f"?since={rev}&limit=3")["changes"]:
        assert len(page) <= 3
        seen += page
        rev = page[-1]["rev"]
    assert [change["rev"] for change in seen] == list(range(start + 1, start + 8))
    assert ask(web, f"?since={rev}") == {"feed": ask(web)["feed"], "rev": rev, "latest": rev, "changes": []}


@pytest.mark.parametrize(
    "query",
    [
        "since=-1",
        "since=x",
        "since=",
        "since=%D9%A3",
        "limit=0",
        "limit=10001",
        "wait=-1",
        "wait=1.5",
        "x=1",
        "since=1&since=2",
    ],
)
def test_a_question_that_makes_no_sense_is_a_400(web: WebNode, query: str) -> None:
    assert web.session.get(f"{web.base}/api/changes?{query}").status_code == 400


def test_who_is_ahead_of_the_feed_or_reads_another_is_told_to_begin_again(web: WebNode) -> None:
    page = ask(web)
    assert ask(web, f"?feed={page['feed']}")["feed"] == page["feed"]
    for query in (f"since={page['latest'] + 1}", "since=0&feed=another"):
        response = web.session.get(f"{web.base}/api/changes?{query}")
        assert response.status_code == 410
        assert "begin at revision 0" in response.json()["message"]


def test_a_rebuild_tells_everything_again_behind_the_last_revision(tmp_path: Path) -> None:
    with web_node(tmp_path) as node:
        series = a_series(3)
        node.store(*series)
        before = ask(node)
        maintenance.reindex(node.archive)
        after = ask(node, f"?since={before['rev']}&feed={before['feed']}")
        assert [change["rev"] for change in after["changes"]] == [4, 5, 6]
        assert {change["SOPInstanceUID"] for change in after["changes"]} == {ds.SOPInstanceUID for ds in series}
        assert ask(node) == after


# Waiting


def timed(ask_now: Callable[[], dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    started = time.monotonic()
    found = ask_now()
    return time.monotonic() - started, found


def test_who_waits_is_answered_as_soon_as_something_changes(web: WebNode) -> None:
    """Not only after the five seconds that anybody waits at most; a busy machine may have to be asked again."""
    assert any(answered_after_s(web) < 3 for _ in range(5))


def answered_after_s(web: WebNode) -> float:
    """How long after something was stored one hears of it who waits for it."""
    start, ds, stored_at = latest(web), a_ct(), list[float]()

    def send() -> None:
        web.store(ds)
        stored_at.append(time.monotonic())

    sender = threading.Timer(0.7, send)
    sender.start()
    while not (page := ask(web, f"?since={start}&wait=30"))["changes"]:
        pass
    answered_at = time.monotonic()
    sender.join()
    assert [change["SOPInstanceUID"] for change in page["changes"]] == [ds.SOPInstanceUID]
    return answered_at - stored_at[0]


def test_a_wait_without_a_change_ends(web: WebNode) -> None:
    seconds, page = timed(lambda: ask(web, f"?since={latest(web)}&wait=1"))
    assert page["changes"] == []
    assert 0.9 < seconds < 60
    seconds, _ = timed(lambda: ask(web, f"?since={latest(web)}&wait=3600"))
    assert 4.5 < seconds < 60


def test_a_crowd_that_waits_holds_few_threads(web: WebNode) -> None:
    """Two of sixteen threads wait; all others are answered at once. A busy machine may have to be asked again."""
    assert any(waited(web) == [False] * 38 + [True] * 2 for _ in range(5))


def waited(web: WebNode) -> list[bool]:
    """Of each of forty who ask at once, whether it was let wait."""
    start = latest(web)
    with ThreadPoolExecutor(40) as crowd:
        waiting = [crowd.submit(timed, lambda: ask(web, f"?since={start}&wait=4")) for _ in range(40)]
        assert eventually(lambda: sum(one.done() for one in waiting) >= 38, 120)
        assert web.get("/studies?limit=1").status_code == 200
        seconds = sorted(one.result()[0] for one in waiting)
    return [took > 3.5 for took in seconds]


def test_mallory_reads_no_feed(tmp_path: Path) -> None:
    with web_node(tmp_path, "enforced") as node:
        assert node.session.get(f"{node.base}/api/changes?wait=30").status_code == 403


def test_reading_the_feed_is_recorded_unless_it_told_nothing(web: WebNode) -> None:
    web.store(a_ct())
    start = latest(web)
    web.store(a_ct())
    ask(web, f"?since={start}")
    ask(web, f"?since={latest(web)}")
    assert eventually(lambda: searches_since(web, start))
    assert searches_since(web, start) == [f'{{"changes":1,"since":{start}}}']


def searches_since(web: WebNode, start: int) -> list[str]:
    """What the audit says of them."""
    with web.archive.db.read() as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE action = 'search'").fetchall()
    return [row["detail"] for row in rows if f'"since":{start}' in row["detail"]]
