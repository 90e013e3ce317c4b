"""QIDO-RS over real sockets: what an answer holds, and its pages. PS3.18 10.6.3, traps 5 to 7."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import requests

from fixtures.builders import a_ct, uid
from fixtures.engines import only_sqlite
from fixtures.searched import CHEST, HEAD, KNEE, LETTER, fill, found
from fixtures.web import WebNode, web_node


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("search")
    with web_node(folder, max_results=50) as node:
        fill(node)
        yield node


def test_a_study_carries_its_required_attributes_even_when_empty(web: WebNode) -> None:
    """Traps 5, 7; PS3.18 table 10.6.3-3"""
    (row,) = found(web, f"/studies?StudyInstanceUID={HEAD}")
    assert row["00080050"] == {"vr": "SH"}
    assert row["00201206"]["Value"] == row["00201208"]["Value"] == [1]
    assert row["00080056"] == {"vr": "CS", "Value": ["ONLINE"]}
    assert row["00081190"] == {"vr": "UR", "Value": [f"{web.service}/studies/{HEAD}"]}
    for tag in ("00080020", "00080030", "00080090", "00100010", "00100020", "00100030", "00100040", "00200010"):
        assert "vr" in row[tag], tag
    assert list(row) == sorted(row)


def test_a_study_without_any_modality_has_none_and_no_empty_one(web: WebNode) -> None:
    """clients.md 1: an empty one breaks OHIF's list."""
    (row,) = found(web, f"/studies?StudyInstanceUID={HEAD}")
    assert row.get("00080061", {"Value": []})["Value"] == []
    (row,) = found(web, f"/studies?StudyInstanceUID={KNEE}")
    assert sorted(row["00080061"]["Value"]) == ["CT", "SR"]


@pytest.mark.parametrize(
    "query",
    [
        "studies?includefield=ModalitiesInStudy",
        "studies?00080061=",
        "series?includefield=all",
        "studies/{}/series?00080061=",
    ],
)
def test_a_study_without_any_modality_has_an_empty_one_where_that_is_asked_for(web: WebNode, query: str) -> None:
    """PS3.18 8.3.4.3: what is asked for by name comes, or a Warning says that it does not."""
    query = query.format(HEAD)
    (row,) = [row for row in found(web, f"/{query}") if row["0020000D"]["Value"] == [HEAD]]
    assert row["00080061"] == {"vr": "CS"}


def test_lower_rows_carry_higher_attributes_and_never_the_other_way(web: WebNode) -> None:
    """Trap 5."""
    (instance, *_) = found(web, f"/instances?StudyInstanceUID={CHEST}&includefield=all")
    for tag in ("00100020", "0020000D", "0020000E", "00080018", "00080016", "00200013", "00280010", "00280011"):
        assert tag in instance, tag
    assert instance["00081190"]["Value"][0].endswith(f"/instances/{instance['00080018']['Value'][0]}")
    (series,) = found(web, f"/series?StudyInstanceUID={CHEST}&includefield=all&includefield=00080018")
    assert series["00100010"]["Value"][0]["Ideographic"] == "山田^太郎"
    assert series["00201209"]["Value"] == [1]
    assert "00080018" not in series
    (study,) = found(web, f"/studies?StudyInstanceUID={CHEST}&includefield=00080060,00200011,all")
    assert "00080060" not in study
    assert "0020000E" not in study


def test_a_search_beyond_a_study_or_series_returns_the_counts_of_it_too(web: WebNode) -> None:
    """PS3.18 10.6.3.3.2, 10.6.3.3.3"""
    of_study = {"00080061": ["CT", "SR"], "00201206": [2], "00201208": [4]}
    for resource, expected in (
        ("/series", of_study),
        ("/instances", {**of_study, "00201209": [3]}),
        (f"/studies/{KNEE}/instances", {"00201209": [3]}),
    ):
        (row, *_) = found(web, f"{resource}?SeriesInstanceUID={uid('k1')}")
        assert {tag: row[tag]["Value"] for tag in expected} == expected, resource
    assert not of_study.keys() & found(web, f"/studies/{KNEE}/series")[0].keys()


def test_instances_say_in_which_transfer_syntax_they_are_kept(web: WebNode) -> None:
    """PS3.18 table 10.6.3-5"""
    (row, *_) = found(web, f"/studies/{CHEST}/instances")
    assert row["00083002"] == {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}


def test_include_field_adds_what_is_kept(web: WebNode) -> None:
    assert "00081030" not in found(web, f"/studies?StudyInstanceUID={LETTER}")[0]
    (row,) = found(web, f"/studies?StudyInstanceUID={LETTER}&includefield=StudyDescription")
    assert row["00081030"]["Value"] == ["Lettre à l'hôpital"]


def test_what_an_instance_has_is_included_though_the_index_does_not_keep_it(web: WebNode) -> None:
    """PS3.18 8.3.4.3"""
    path = f"/studies/{KNEE}/instances?Modality=CT&includefield=SliceThickness,00280030&includefield=WindowCenter"
    for accept in ("application/dicom+json", 'multipart/related; type="application/dicom+xml"'):
        response = web.get(path, accept)
        assert response.status_code == 200
        assert "Warning" not in response.headers
    rows = found(web, path)
    assert len(rows) == 3
    (thick,) = {row["00180050"]["Value"][0] for row in rows}
    for row in rows:
        ds = web.get(row["00081190"]["Value"][0].removeprefix(web.service) + "/metadata").json()[0]
        for tag in ("00180050", "00280030", "00281050"):
            assert row[tag] == ds[tag]
        assert list(row) == sorted(row)
    assert thick > 0
    assert "00180050" not in found(web, f"/studies/{KNEE}/instances?Modality=SR&includefield=SliceThickness")[0]


def test_a_private_attribute_is_included_with_its_creator(tmp_path: Path) -> None:
    """PS3.18 10.6.3.3"""
    ds = a_ct()
    ds.private_block(0x0029, "RELAIS TEST", create=True).add_new(0x10, "LO", "our own")
    with web_node(tmp_path) as node:
        node.store(ds)
        (row,) = found(node, "/instances?includefield=00291010")
    assert row["00291010"] == {"vr": "LO", "Value": ["our own"]}
    assert row["00290010"] == {"vr": "LO", "Value": ["RELAIS TEST"]}


@pytest.mark.parametrize("path", [f"/studies?StudyInstanceUID={KNEE}", f"/studies/{KNEE}/series"])
def test_what_studies_and_series_do_not_have_is_told(web: WebNode, path: str) -> None:
    """PS3.18 8.3.4.3; trap 2"""
    joined = f"{path}{'&' if '?' in path else '?'}includefield=SliceThickness,StudyDescription,00291010,00081190"
    response = web.get(joined, "application/dicom+json")
    assert response.status_code == 200
    assert response.headers["Warning"] == (
        '299 relais "The following attributes are not returned by this search: SliceThickness, 00291010."'
    )
    assert "00180050" not in response.json()[0]


@pytest.mark.parametrize("accept", ["application/dicom+json", 'multipart/related; type="application/dicom+xml"'])
def test_answers_have_no_character_set_of_their_sources(web: WebNode, accept: str) -> None:
    """They are in UTF-8; who asks for it hears so (PS3.18 10.6.3.3, F.2.2)."""
    response = web.get(f"/studies/{KNEE}/instances?includefield=SpecificCharacterSet,00080060", accept)
    assert response.headers["Warning"] == (
        '299 relais "The following attributes are not returned by this search: SpecificCharacterSet."'
    )
    assert "00080005" not in response.text


def test_a_key_that_was_not_matched_is_told_once(web: WebNode) -> None:
    warning = web.get("/studies?SpecificCharacterSet=ISO_IR 100").headers["Warning"]
    assert warning == '299 relais "The following keys were not matched: SpecificCharacterSet."'


def test_bulk_data_is_not_included(web: WebNode) -> None:
    (row, *_) = found(web, f"/studies/{KNEE}/instances?Modality=CT&includefield=PixelData")
    assert "7FE00010" not in row


def test_pages_follow_each_other_and_the_last_one_says_so(web: WebNode) -> None:
    """Trap 6."""
    whole = [row["0020000D"]["Value"][0] for row in found(web, "/studies")]
    pages = []
    for offset in range(4):
        response = web.get(f"/studies?limit=1&offset={offset}")
        pages += [row["0020000D"]["Value"][0] for row in response.json()]
        assert response.headers.get("Warning", "").startswith('299 relais "There are') == (offset < 3)
    assert pages == whole
    assert whole[0] == CHEST
    assert found(web, "/studies?offset=4") == []
    assert found(web, "/studies?limit=0") == []


@pytest.mark.parametrize("accept", ["application/dicom+json", 'multipart/related; type="application/dicom+xml"'])
def test_who_asks_again_hears_that_nothing_changed_until_something_did(tmp_path: Path, accept: str) -> None:
    """RFC 9110 13.1.2"""
    with web_node(tmp_path, workers=2) as node:
        node.store(a_ct(StudyInstanceUID=KNEE))
        first = node.get("/studies?limit=5", accept)
        etag = first.headers["ETag"]
        for _ in range(6):  # whichever process answers
            again = requests.get(f"{node.service}/studies?limit=5", headers={"Accept": accept}, timeout=120)
            assert (again.status_code, again.headers["ETag"]) == (200, etag)
            unchanged = node.get("/studies?limit=5", accept, If_None_Match=etag)
            assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert node.get("/studies?limit=6", accept, If_None_Match=etag).status_code == 200
        assert node.get("/studies?limit=5", "application/json", If_None_Match=etag).status_code == 200
        node.store(a_ct(StudyInstanceUID=CHEST))
        changed = node.get("/studies?limit=5", accept, If_None_Match=etag)
        assert changed.status_code == 200
        assert changed.headers["ETag"] != etag


@only_sqlite("pages of an index that nodes may share are counted off")
@pytest.mark.parametrize("resource", ["studies", "series", "instances", "patients"])
def test_pages_neither_repeat_nor_skip_what_was_there_when_more_comes_in(tmp_path: Path, resource: str) -> None:
    """Trap 6; whichever process answers."""
    key = {"studies": "0020000D", "series": "0020000E", "instances": "00080018", "patients": "00100020"}[resource]
    dates = iter(range(20240101, 20240130))

    def store(count: int) -> None:
        node.store(*(a_ct(PatientID=str(number), StudyDate=str(number)) for number in islice(dates, count)))

    with web_node(tmp_path, workers=2) as node:
        store(7)
        there = [row[key]["Value"][0] for row in found(node, f"/{resource}")]
        read: list[str] = []
        for offset in range(0, 7, 2):
            rows = requests.get(f"{node.service}/{resource}?limit=2&offset={offset}&PatientID=*", timeout=120).json()
            read += [row[key]["Value"][0] for row in rows]
            store(3)  # newer: they come first
        assert [uid for uid in read if uid in there] == there
        assert len(set(read)) == len(read)
        again = node.get(f"/{resource}?limit=2&PatientID=*").json()
        assert (again[0][key]["Value"][0] in there) == (resource == "patients")


def test_the_servers_own_maximum_is_said(tmp_path: Path) -> None:
    """Trap 6: absurd limits."""
    with web_node(tmp_path, max_results=2) as small:
        small.store(*(a_ct() for _ in range(3)))
        for query in ("", "?limit=1000000", "?limit=999999999999999999"):
            response = small.get(f"/studies{query}")
            assert len(response.json()) == 2
            assert response.headers["Warning"] == '299 relais "There are additional results that can be requested."'
