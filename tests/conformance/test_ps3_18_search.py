"""QIDO-RS over real sockets: what is asked, refused, told. PS3.18 10.6, traps 1 to 4, and every request of OHIF."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from fixtures.builders import a_ct, uid
from fixtures.cast import LEFEBVRE
from fixtures.searched import CHEST, HEAD, KNEE, LETTER, fill, found, studies
from fixtures.web import WebNode, parts_of, web_node

# What OHIF appends to its searches (clients.md).
OHIF = "limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060%2C00080090%2C00100030"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("search")
    with web_node(folder, max_results=50) as node:
        fill(node)
        yield node


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
        ("PatientID=JP-0007%5C*&multiplevaluematching=true", {CHEST}),
        ("PatientID=JP-0007%5C*&multiplevaluematching=false", {KNEE, CHEST, LETTER, HEAD}),
        ("StudyDate=20220101-20230601,20230101-20240301&StudyTime=0000-2359&multiplevaluematching=true", {KNEE}),
        ("StudyDate=20230101-20240301,20220101-20230601&StudyTime=0000-2359&multiplevaluematching=true", {KNEE}),
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
