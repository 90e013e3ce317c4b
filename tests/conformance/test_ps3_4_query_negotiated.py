"""C-FIND (PS3.4 C.5) as extended negotiation changes it: relational, date and time as one, zones, names by words."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from fixtures.builders import a_ct
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import PATIENT_ROOT, UNCOMPRESSED, scu
from fixtures.queried import FIND, KNEE, LOOP, REPORT, keep, seed


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("query") / "node") as node:
        seed(node.archive)
        yield node


def test_keys_above_the_level_may_be_left_out_once_relational_queries_are_negotiated(node: DimseNode) -> None:
    """PS3.4 C.4.1.2.2.1, C.5.1.1"""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.Modality, identifier.SeriesInstanceUID = "SERIES", "SR", ""
    with scu(node.port, [(FIND, UNCOMPRESSED)]) as assoc:
        assert [status.Status for status, _ in assoc.send_c_find(identifier, FIND)] == [0xA900]
    with scu(node.port, [(FIND, UNCOMPRESSED)], extended={FIND: b"\1\0\0"}) as assoc:
        assert assoc.acceptor.sop_class_extended == {FIND: b"\1\0\0"}
        assert [status.Status for status, _ in assoc.send_c_find(identifier, FIND)] == [0xFF00, 0]


def test_nothing_is_agreed_on_that_was_not_proposed_or_cannot_be_done(node: DimseNode) -> None:
    """PS3.7 D.3.3.5"""
    with scu(node.port, [(FIND, UNCOMPRESSED)], extended={FIND: b"\0\1\1\1\1\1\1"}) as assoc:
        assert assoc.acceptor.sop_class_extended == {FIND: b"\0\1\1\1\0\1\1"}
    for proposed, extended in ((FIND, None), (f"{PATIENT_ROOT}.1", {FIND: b"\1"})):
        with scu(node.port, [(proposed, UNCOMPRESSED)], extended=extended) as assoc:
            assert assoc.acceptor.sop_class_extended == {}


def test_every_value_of_a_key_must_match_only_if_negotiated(node: DimseNode) -> None:
    """PS3.4 C.2.2.2.8: without negotiation any may match"""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", ""
    for patient_id, extended, expected in (
        (["JP-0007", "nobody"], None, [KNEE]),
        (["JP-0007", "nobody"], {FIND: b"\0\0\0\0\0\0\1"}, []),
        (["JP-0007", "JP*"], {FIND: b"\0\0\0\0\0\0\1"}, [KNEE]),
        (["JP-0007", "*"], {FIND: b"\0\0\0\0\0\0\1"}, [KNEE]),
    ):
        identifier.PatientID = patient_id
        with scu(node.port, [(FIND, UNCOMPRESSED)], extended=extended) as assoc:
            found = [answer.StudyInstanceUID for _, answer in assoc.send_c_find(identifier, FIND) if answer]
        assert found == expected


def test_date_and_time_are_one_range_only_if_negotiated(node: DimseNode) -> None:
    """PS3.4 C.2.2.2.5.4: from 22:00 on 5 January 2023 to 01:00 on 1 January 2024"""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", ""
    identifier.StudyDate, identifier.StudyTime = "20230105-20240101", "2200-0100"
    with scu(node.port, [(FIND, UNCOMPRESSED)], extended={FIND: b"\0\1"}) as assoc:
        found = [answer.StudyInstanceUID for _, answer in assoc.send_c_find(identifier, FIND) if answer]
    assert set(found) == {KNEE, LOOP}


def test_dates_and_times_are_meant_and_told_in_the_zone_of_who_asks(tmp_path: Path) -> None:
    """PS3.4 C.2.2.2.1.3, C.4.1.1.3.2: half past eleven in the evening in London is the next day in Berlin"""
    london, nowhere = (a_ct(StudyDate="20240301", StudyTime="233000", PatientID=name) for name in ("LONDON", "NOWHERE"))
    london.TimezoneOffsetFromUTC = "+0000"
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientID, identifier.TimezoneOffsetFromUTC = "STUDY", "", "+0100"
    identifier.StudyDate, identifier.StudyTime = "20240302", "00-01"
    with dimse_node(tmp_path) as node:
        keep(node.archive, london, nowhere)
        with scu(node.port, [(FIND, UNCOMPRESSED)], extended={FIND: b"\1\1\1\1"}) as assoc:
            assert assoc.acceptor.sop_class_extended == {FIND: b"\1\1\1\1"}
            [answer] = [answer for _, answer in assoc.send_c_find(identifier, FIND) if answer]
            identifier.StudyDate, identifier.StudyTime = "20240301", "2330"
            [other] = [answer for _, answer in assoc.send_c_find(identifier, FIND) if answer]
            identifier.TimezoneOffsetFromUTC = "CET"
            assert [status.Status for status, _ in assoc.send_c_find(identifier, FIND)] == [0xC000]
    assert (answer.PatientID, answer.StudyDate, answer.StudyTime) == ("LONDON", "20240302", "003000")
    assert (other.PatientID, other.StudyDate, other.StudyTime) == ("NOWHERE", "20240301", "233000")
    assert answer.TimezoneOffsetFromUTC == other.TimezoneOffsetFromUTC == "+0100"


def test_a_time_alone_is_found_in_every_zone_without_a_look_at_all_studies(tmp_path: Path) -> None:
    """In the zone of who asks, in that of the study, and in none at all."""
    told = [
        a_ct(PatientID=name, StudyDate="20240301", StudyTime=time, **({"TimezoneOffsetFromUTC": zone} if zone else {}))
        for name, time, zone in (
            ("PARIS", "0030", "+0100"),
            ("LONDON", "233015", "+0000"),
            ("NOWHERE", "0030", ""),
            ("LATER", "0031", "+0100"),
            ("NOON", "1230", "+0000"),
        )
    ]
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientID, identifier.TimezoneOffsetFromUTC = "STUDY", "", "+0100"
    identifier.StudyTime = "0030"
    with dimse_node(tmp_path) as node:
        keep(node.archive, *told)
        with scu(node.port, [(FIND, UNCOMPRESSED)], extended={FIND: b"\1\1\1\1"}) as assoc:
            found = [answer for _, answer in assoc.send_c_find(identifier, FIND) if answer]
    assert sorted((one.PatientID, one.StudyTime) for one in found) == [
        ("LONDON", "003015"),
        ("NOWHERE", "0030"),
        ("PARIS", "0030"),
    ]


@pytest.mark.parametrize("level", ["SERIES", "IMAGE"])
def test_the_zone_counts_at_every_level(tmp_path: Path, level: str) -> None:
    ds = a_ct(
        StudyDate="20240301", StudyTime="2330", SeriesDate="20240301", SeriesTime="2340", TimezoneOffsetFromUTC="+0000"
    )
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.TimezoneOffsetFromUTC = level, "+0100"
    identifier.SeriesInstanceUID, identifier.SeriesDate, identifier.SeriesTime = "", "20240302-", ""
    with dimse_node(tmp_path) as node:
        keep(node.archive, ds)
        with scu(node.port, [(FIND, UNCOMPRESSED)], extended={FIND: b"\1\0\0\1"}) as assoc:
            [answer] = [answer for _, answer in assoc.send_c_find(identifier, FIND) if answer]
    assert (answer.SeriesDate, answer.SeriesTime) == ("20240302", "0040")
    assert "StudyTime" not in answer


def test_names_match_by_their_words_only_if_negotiated(node: DimseNode) -> None:
    """PS3.4 C.2.2.2.1.1"""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID, identifier.PatientName = "STUDY", "", "zoe lefebvre"
    for extended, expected in ((None, []), ({FIND: b"\0\0\1"}, [REPORT])):
        with scu(node.port, [(FIND, UNCOMPRESSED)], extended=extended) as assoc:
            found = [answer.StudyInstanceUID for _, answer in assoc.send_c_find(identifier, FIND) if answer]
        assert found == expected
