"""All the studies of a peer, whatever it leaves out of an answer."""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from relais.dicom.json_model import JsonDataset
from relais.dicom.matching import matches
from relais.dicom.query import Match, MatchKind, Query
from relais.errors import InvalidRequest, Unavailable
from relais.peers.association import NotAssociated
from relais.peers.base import Refused
from relais.peers.discovery import Discovery, Window

TODAY = date(2024, 6, 1)
DATE = 0x00080020


def a_study(number: int, day: str, clock: str = "120000") -> JsonDataset:
    return {
        "00080020": {"vr": "DA", "Value": [day]},
        "00080030": {"vr": "TM", "Value": [clock]},
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
    }


class Cutting:
    """A peer that answers *most* studies at a time, and then says *status* or, at 0, that this was all."""

    def __init__(self, studies: list[JsonDataset], most: int, status: int = 0xA700, *, some: bool = True) -> None:
        self.studies, self.most, self.status, self.some = studies, most, status, some
        self.asked: list[Query] = []

    def search(self, query: Query) -> Iterator[JsonDataset]:
        self.asked.append(query)
        found = [study for study in self.studies if matches(study, query)]
        is_cut = len(found) > self.most
        if not is_cut or self.some:
            yield from found[: self.most]
        if is_cut and self.status:
            raise Refused("No more.", self.status)


def discovered(peer: Any, *keys: Match) -> tuple[list[str], list[str]]:
    discovery = Discovery(peer, keys, TODAY)
    found = [study["0020000D"]["Value"][0] for study in discovery.studies()]
    return found, discovery.cut


def years(count: int) -> list[JsonDataset]:
    dice = random.Random(1)
    return [a_study(n, f"{date(2010, 1, 1) + timedelta(days=dice.randrange(5000)):%Y%m%d}") for n in range(count)]


def test_a_peer_that_tells_all_is_asked_once() -> None:
    peer = Cutting(years(50), 1000)
    assert len(discovered(peer)[0]) == 50
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("most", "status", "some"), [(40, 0xA700, True), (40, 0xFE00, True), (40, 0xC001, False), (100, 0, True)]
)
def test_whatever_a_peer_leaves_out_is_asked_for_in_smaller_windows(most: int, status: int, some: bool) -> None:
    peer = Cutting(years(1000), most, status, some=some)
    found, cut = discovered(peer)
    assert len(found) == len(set(found)) == 1000
    assert cut == []


def test_a_day_with_too_many_is_asked_for_by_times() -> None:
    studies = [a_study(n, "20200229", f"{n // 60 % 24:02d}{n % 60:02d}00.5") for n in range(1000)]
    assert len(discovered(Cutting(studies, 30))[0]) == 1000


def test_a_second_with_too_many_is_told() -> None:
    found, cut = discovered(Cutting([a_study(n, "20200229") for n in range(100)], 30))
    assert (len(found), cut) == (30, ["2020-02-29, 120000"])


def test_a_round_number_of_one_second_that_is_no_failure_is_all_there_is() -> None:
    found, cut = discovered(Cutting([a_study(n, "20200229") for n in range(100)], 1000))
    assert (len(found), cut) == (100, [])


def test_keys_go_along_and_the_days_asked_for_are_kept_to() -> None:
    peer = Cutting(years(1000), 20)
    wanted = Match(DATE, MatchKind.RANGE, ("20150101", "20151231"))
    found, _ = discovered(peer, wanted)
    days = [study["00080020"]["Value"][0] for study in peer.studies if study["0020000D"]["Value"][0] in found]
    assert days
    assert all(day.startswith("2015") for day in days)
    assert len(found) == sum(study["00080020"]["Value"][0].startswith("2015") for study in peer.studies)


def test_an_open_range_ends_after_today() -> None:
    peer = Cutting([a_study(n, "20240531", f"{n:06d}") for n in range(50)], 20)
    assert len(discovered(peer, Match(DATE, MatchKind.RANGE, ("20240101", "")))[0]) == 50


def test_one_day_is_a_window_too() -> None:
    peer = Cutting([a_study(n, "20240531", f"{n:06d}") for n in range(50)], 20)
    assert len(discovered(peer, Match(DATE, MatchKind.SINGLE_VALUE, ("20240531",)))[0]) == 50


def test_a_refusal_that_no_window_changes_is_raised() -> None:
    with pytest.raises(Refused):
        discovered(Cutting(years(10), 0, 0xA900))
    for studies in ([], years(10)):
        peer = Cutting(studies, -1, 0xC001)
        with pytest.raises(Refused):
            discovered(peer)
        assert len(peer.asked) < 150


def test_a_peer_that_is_away_is_unavailable_and_one_that_breaks_off_is_asked_for_less() -> None:
    class Away(Cutting):
        def search(self, query: Query) -> Iterator[JsonDataset]:
            raise NotAssociated("Nobody is there.")

    class Slow(Cutting):
        def search(self, query: Query) -> Iterator[JsonDataset]:
            try:
                yield from super().search(query)
            except Refused as exc:
                raise Unavailable("The peer did not answer in time.") from exc

    with pytest.raises(NotAssociated):
        discovered(Away([], 0))
    assert len(discovered(Slow(years(300), 40))[0]) == 300


def test_study_uids_that_are_none_are_left_out() -> None:
    odd = a_study(1, "20200101") | {"0020000D": {"vr": "UI", "Value": ["../../etc/passwd"]}}
    assert discovered(Cutting([odd, a_study(2, "20200101")], 100))[0] == ["1.2.2"]


def test_keys_that_select_no_studies_are_refused() -> None:
    for tag in (0x00080060, 0x00080018, 0x00080030):
        with pytest.raises(InvalidRequest, match="cannot select"):
            Discovery(Cutting([], 1), (Match(tag, MatchKind.SINGLE_VALUE, ("CT",)),), TODAY)  # type: ignore[arg-type]


def test_halves_are_all_of_it_and_nothing_twice() -> None:
    window = Window(date(2020, 2, 27), date(2020, 3, 1))
    first, second = window.halves()
    assert (first.first, second.last) == (window.first, window.last)
    assert first.last + timedelta(days=1) == second.first
    morning, evening = Window(TODAY, TODAY).halves()
    assert (morning.start_s, morning.end_s + 1, evening.end_s) == (0, evening.start_s, 86399)
    assert Window(TODAY, TODAY, 5, 5).halves() == ()
