"""dimse.find: how long a time in another zone is looked for."""

import pytest

from relais.dicom.attributes import Level
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.timezones import Zone, zone_of
from relais.dimse.find import picked
from relais.errors import TooBroad


def _zone(time: str) -> Zone:
    """Study Time alone, asked for in Paris."""
    return zone_of(Query(Level.STUDY, (Match(0x00080030, MatchKind.SINGLE_VALUE, (time,)),)), "+0100")


def _studies(*times: str) -> list[JsonDataset]:
    """Studies of London at these times."""
    said = {"00080020": {"vr": "DA", "Value": ["20240102"]}, "00080201": {"vr": "SH", "Value": ["+0000"]}}
    return [{**said, "00080030": {"vr": "TM", "Value": [time]}} for time in times]


def test_a_time_is_found_in_the_zone_that_is_asked_in() -> None:
    found = list(picked(_zone("1030"), _studies("0830", "0930", "1030"), patience_s=60))
    assert [one["00080030"]["Value"] for one in found] == [["1030"]]


def test_who_looks_for_a_time_in_vain_is_told_that_it_is_too_broad() -> None:
    rows = picked(_zone("1030"), _studies("0930", "0830"), patience_s=-1)
    assert next(rows)["00080030"]["Value"] == ["1030"]
    with pytest.raises(TooBroad):
        next(rows)
