"""QIDO-RS over real sockets: PS3.18 10.6, traps 1 to 7, and every request shape of OHIF."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
import requests

from fixtures.builders import a_code, a_ct, a_pdf, a_series, a_sr, uid
from fixtures.cast import LEFEBVRE, SURYA, YAMADA
from fixtures.web import WebNode, parts_of, web_node

KNEE, CHEST, LETTER, HEAD = (uid(name) for name in ("knee", "chest", "letter", "head"))

# What OHIF appends to its searches (clients.md).
OHIF = "limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("search")
    with web_node(folder, max_results=50) as node:
        step = a_code("x", "y", "z")
        step.clear()
        step.ScheduledProcedureStepID, step.RequestedProcedureID = "S1", "P1"
        request = {"RequestAttributesSequence": [step]}
        node.store(*a_series(3, StudyInstanceUID=KNEE, SeriesInstanceUID=uid("k1"), StudyDate="20230101", **request))
        node.store(a_sr(StudyInstanceUID=KNEE, SeriesInstanceUID=uid("k2"), SeriesNumber=2, StudyDate="20230101"))
        node.store(a_ct(StudyInstanceUID=CHEST, StudyDate="20240505", AccessionNumber="100%_.x", **YAMADA))
        node.store(
            a_pdf(StudyInstanceUID=LETTER, StudyDate="20240101", StudyDescription="Lettre à l'hôpital", **LEFEBVRE)
        )
        node.store(a_ct(StudyInstanceUID=HEAD, StudyDate="20220202", AccessionNumber="", Modality=None, **SURYA))
        yield node


def found(web: WebNode, path: str) -> list[dict[str, Any]]:
    response = web.get(path, "application/dicom+json")
    assert response.status_code == 200, response.text
    rows: list[dict[str, Any]] = response.json()
    return rows


def studies(web: WebNode, query: str) -> set[str]:
    return {row["0020000D"]["Value"][0] for row in found(web, f"/studies?{query}")}


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/studies", 4),
        ("/series", 5),
        ("/instances", 7),
        (f"/studies/{KNEE}/series", 2),
        (f"/studies/{KNEE}/instances", 4),
        (f"/studies/{KNEE}/series/{uid('k1')}/instances", 3),
    ],
)
def test_every_form_of_search_answers(web: WebNode, path: str, count: int) -> None:
    """PS3.18 table 10.6.1-1"""
    response = web.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/dicom+json"
    assert len(response.json()) == count
    assert web.get(path + "/").json() == response.json()


@pytest.mark.parametrize("path", ["/studies", "/series", f"/studies/{KNEE}/series", f"/studies/{KNEE}/instances"])
def test_head_is_get_without_a_body(web: WebNode, path: str) -> None:
    """Trap 3."""
    head, get = web.request("HEAD", path), web.get(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["Content-Length"] == str(len(get.content))


def test_patients_are_searched_as_an_extension(web: WebNode) -> None:
    """PS3.4 table C.6-1"""
    patients = {row["00100020"]["Value"][0]: row for row in found(web, "/patients")}
    assert len(patients) == 4
    assert list(patients) == sorted(patients)
    japanese = patients["JP-0007"]
    assert japanese["00100010"]["Value"][0]["Ideographic"] == "山田^太郎"
    assert japanese["00201200"]["Value"] == japanese["00201204"]["Value"] == [1]
    assert {"00081190", "0020000D", "00080020"}.isdisjoint(japanese)
    assert found(web, "/patients?PatientName=" + quote("lefebvre*")) == [patients[LEFEBVRE["PatientID"]]]
    assert web.get("/patients?limit=1").headers["Warning"].startswith('299 relais "There are')


def test_nothing_found_is_an_empty_list(web: WebNode) -> None:
    """CP-2473."""
    response = web.get("/studies?PatientID=nobody")
    assert (response.status_code, response.content) == (200, b"[]")
    assert web.get("/studies/1.2.3/series").content == b"[]"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientID=JP-0007", {CHEST}),
        ("00100020=JP-0007", {CHEST}),
        ("00100020=%2A0007%2A", {CHEST}),
        ("PatientID=jp-0007", set()),
        ("PatientID=JP%2D0007", {CHEST}),
        ("PatientID=JP%252D0007", set()),
        ("AccessionNumber=100%25_.x", {CHEST}),
        ("AccessionNumber=100%25", set()),
        ("AccessionNumber=1_0%25_.x", set()),
        ("AccessionNumber=%22%22&emptyvaluematching=true", {HEAD}),
        ("AccessionNumber=%22%22", set()),
        ("emptyvaluematching=true&AccessionNumber=", {KNEE, CHEST, LETTER, HEAD}),
        ("PatientName=yamada%5Etarou", {CHEST}),
        ("PatientName=YAMADA*", {CHEST}),
        ("PatientName=" + quote("山田^太郎"), {CHEST}),
        ("PatientName=" + quote("lefebvre^zoe"), {LETTER}),
        ("PatientName=zoe&fuzzymatching=true", {LETTER}),
        ("StudyDescription=" + quote("*hôpital"), {LETTER}),
        ("StudyDate=20240101-", {CHEST, LETTER}),
        ("StudyDate=-20230101", {KNEE, HEAD}),
        ("StudyDate=20240101-20240101", {LETTER}),
        (f"StudyInstanceUID={KNEE},{HEAD}", {KNEE, HEAD}),
        (f"StudyInstanceUID={KNEE}%2C{HEAD}", {KNEE, HEAD}),
        (f"StudyInstanceUID={str(KNEE)[:-1]}", set()),
        ("ModalitiesInStudy=SR", {KNEE}),
        ("ModalitiesInStudy=CT,DOC", {KNEE, CHEST, LETTER}),
        ("ModalitiesInStudy=CT&PatientID=JP-0007", {CHEST}),
        ("ModalitiesInStudy=CT,SR&multiplevaluematching=true", {KNEE}),
        ("ModalitiesInStudy=CT%5CSR&multiplevaluematching=false", {KNEE, CHEST}),
        ("StudyDate=20230101-20240505&StudyTime=1900-0300", {LETTER}),
        ("StudyDate=20230101-20240505", {KNEE, CHEST, LETTER}),
        ("PatientBirthDate=19930228", {HEAD}),
        ("PatientID=", {KNEE, CHEST, LETTER, HEAD}),
        ("PatientID=*", {KNEE, CHEST, LETTER, HEAD}),
    ],
)
def test_a_filter_filters(web: WebNode, query: str, expected: set[str]) -> None:
    """Traps 1, 2, 4."""
    assert studies(web, query) == expected


@pytest.mark.parametrize("key", ["00400275.00400009", "RequestAttributesSequence.ScheduledProcedureStepID"])
def test_keys_into_a_sequence_filter(web: WebNode, key: str) -> None:
    """Traps 1, 2."""
    assert [row["0020000E"]["Value"] for row in found(web, f"/series?{key}=S1")] == [[uid("k1")]]
    assert found(web, f"/series?{key}=S2") == []
    assert len(found(web, f"/series?{key}=S1&00400275.00401001=P1")) == 1
    assert found(web, f"/series?{key}=S1&00400275.00401001=P2") == []


@pytest.mark.parametrize(
    "path",
    [
        f"/studies?{OHIF}",
        f"/studies?00100020=%2AJP%2A&{OHIF}",
        f"/studies?00100020=JP-0007&{OHIF}",
        f"/studies?PatientName=%2AYamada%2A&{OHIF}",
        f"/studies?StudyDescription=%2AThorax%2A&{OHIF}",
        f"/studies?AccessionNumber=%2A100%2A&{OHIF}",
        f"/studies?ModalitiesInStudy=CT&{OHIF}",
        f"/studies?{OHIF}&StudyDate=20240505",
        f"/studies?{OHIF}&StudyInstanceUID={CHEST}",
        f"/studies/{CHEST}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011",
    ],
)
def test_every_search_of_ohif_is_answered_without_a_warning(web: WebNode, path: str) -> None:
    """clients.md."""
    response = web.get(path, "application/dicom+json", Origin="http://127.0.0.1:3000")
    assert response.status_code == 200
    assert "Warning" not in response.headers
    assert CHEST in {row["0020000D"]["Value"][0] for row in response.json()}


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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/studies?BodyPartExamined=KNEE", "BodyPartExamined"),
        ("/studies?00091001=x", "00091001"),
        ("/studies?Modality=CT", "Modality"),
        ("/series?SliceThickness=1", "SliceThickness"),
    ],
)
def test_a_key_that_is_not_matched_is_told(web: WebNode, path: str, name: str) -> None:
    """Trap 2."""
    response = web.get(path)
    assert response.status_code == 200
    assert response.headers["Warning"] == f'299 relais "The following keys were not matched: {name}."'


def test_parameters_that_mean_nothing_here_are_ignored_and_told(web: WebNode) -> None:
    """PS3.18 8.3; trap 2."""
    plain = web.get("/studies")
    response = web.get("/studies?NoSuchAttribute=1&%27%3B%20DROP%20TABLE=1&_=1732233600")
    assert response.status_code == 200
    assert response.json() == plain.json()
    names = "NoSuchAttribute, '; DROP TABLE, _"
    assert response.headers["Warning"] == f'299 relais "The following keys were not matched: {names}."'
    many = web.get("/studies?" + "&".join(f"{'x' * 60}{number}=1" for number in range(200)))
    assert many.status_code == 200
    assert many.headers["Warning"].endswith(' and 180 more."')


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=abc",
        "offset=-1",
        "offset=99999999999",
        "fuzzymatching=perhaps",
        "StudyDate=2024-13-41",
        "StudyTime=99",
        "StudyInstanceUID=../../etc",
        "PatientID=1&PatientID=2",
        "PatientName=%FF%FE",
        "PatientID=%00",
        "includefield=NoSuchAttribute",
        "PatientID.StudyDate=1",
    ],
)
def test_a_search_that_makes_no_sense_is_a_400_with_a_sentence(web: WebNode, query: str) -> None:
    """Traps 2, 6."""
    response = web.get(f"/studies?{query}")
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["message"].endswith(".")


@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("application/dicom+json", 200, "application/dicom+json"),
        ("application/json", 200, "application/json"),
        ("APPLICATION/JSON", 200, "application/json"),
        ("application/*", 200, "application/dicom+json"),
        ("text/html;q=0.9, */*;q=0.1", 200, "application/dicom+json"),
        ("application/dicom+json;q=0, application/json", 200, "application/json"),
        ("application/dicom+json;q=0.3, application/json;q=0.9", 200, "application/json"),
        ("text/html", 406, None),
        ("application/dicom+json;q=0", 406, None),
        ("nonsense", 400, None),
        ("application/json;q=7", 400, None),
    ],
)
def test_accept_is_honoured(web: WebNode, accept: str, status: int, media_type: str | None) -> None:
    """Trap 3."""
    response = web.get("/studies", accept)
    assert response.status_code == status
    assert media_type is None or response.headers["Content-Type"] == media_type
    by_parameter = web.get(f"/studies?accept={quote(accept, safe='')}", "text/html")
    assert by_parameter.status_code == status
    assert status != 200 or by_parameter.headers["Content-Type"] == response.headers["Content-Type"]


def test_xml_is_one_part_for_each_result(web: WebNode) -> None:
    """Trap 3; PS3.18 8.7.3.6"""
    response = web.get("/studies", 'multipart/related; type="application/dicom+xml"')
    assert response.headers["Content-Type"].startswith('multipart/related; type="application/dicom+xml"; boundary=')
    parts = parts_of(response)
    assert len(parts) == 4
    for headers, content in parts:
        assert headers["Content-Type"] == "application/dicom+xml"
        assert ElementTree.fromstring(content).tag.endswith("NativeDicomModel")


def test_a_search_within_a_path_that_is_no_uid_is_a_400(web: WebNode) -> None:
    assert web.get("/studies/%2e%2e%2fpasswd/series").status_code in (400, 404)
    assert web.get("/studies/abc/series").status_code == 400
    assert web.get(f"/studies/{KNEE}/series/x/instances").status_code == 400


def test_absolute_urls_come_from_the_public_url_and_never_from_host(tmp_path: Path) -> None:
    """clients.md 4."""
    with web_node(tmp_path, public_url="https://pacs.example.org/relais/") as behind_a_proxy:
        stored = behind_a_proxy.store(a_ct(StudyInstanceUID=KNEE)).json()
        url = f"https://pacs.example.org/relais/dicom-web/studies/{KNEE}"
        assert stored["00081190"]["Value"] == [url]
        assert found(behind_a_proxy, "/studies")[0]["00081190"]["Value"] == [url]
        assert behind_a_proxy.get("/studies", Host="evil.example").json()[0]["00081190"]["Value"] == [url]
        metadata = behind_a_proxy.get(f"/studies/{KNEE}/metadata").json()
        assert metadata[0]["7FE00010"]["BulkDataURI"].startswith(f"{url}/series/")
