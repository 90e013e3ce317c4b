"""The record of who did what, over real sockets: which study was searched, looked at or given, and how."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from pydicom import Dataset

from fixtures.builders import a_ct, a_sr, uid
from fixtures.waiting import eventually
from fixtures.web import WebNode, web_node

CT = a_ct(StudyInstanceUID=uid("looked at"), SeriesInstanceUID=uid("looked at 1"))
REPORT = a_sr(StudyInstanceUID=CT.StudyInstanceUID)
STUDY, SERIES = CT.StudyInstanceUID, CT.SeriesInstanceUID
Record = tuple[str, str, dict[str, Any]]  # action, study, detail


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    with web_node(tmp_path_factory.mktemp("audit")) as node:
        assert node.store(CT, REPORT).status_code == 200
        yield node


def audited(web: WebNode) -> list[Record]:
    with web.archive.db.read() as connection:
        rows = connection.execute("SELECT action, study_instance_uid, detail FROM audit ORDER BY id")
        return [(row[0], row[1], json.loads(row[2])) for row in rows]


def recorded(web: WebNode, act: Callable[[], requests.Response], *, count: int = 1) -> list[Record]:
    """The *count* records of what *act* did, which has to succeed."""
    before = len(audited(web))
    assert act().ok
    assert eventually(lambda: len(audited(web)) >= before + count, 120)
    return audited(web)[before:]


@pytest.mark.parametrize(
    "path",
    [
        f"/studies?StudyInstanceUID={STUDY}",
        f"/studies/{STUDY}/series",
        f"/studies/{STUDY}/instances?StudyInstanceUID={STUDY}",
        f"/studies/{STUDY}/series/{SERIES}/instances",
        f"/instances?0020000D={STUDY}&Modality=CT",
    ],
)
def test_a_search_within_one_study_is_recorded_with_it(web: WebNode, path: str) -> None:
    ((action, study, detail),) = recorded(web, lambda: web.get(path))
    assert (action, study) == ("search", STUDY)
    assert "0020000D" in detail["keys"]


@pytest.mark.parametrize("path", ["/studies", "/studies?Modality=CT", "/studies?StudyInstanceUID=1.2.3,1.2.4"])
def test_a_search_of_many_is_of_no_study(web: WebNode, path: str) -> None:
    ((action, study, _),) = recorded(web, lambda: web.get(path))
    assert (action, study) == ("search", "")


def wado(web: WebNode, ds: Dataset, query: str) -> requests.Response:
    uids = f"studyUID={ds.StudyInstanceUID}&seriesUID={ds.SeriesInstanceUID}&objectUID={ds.SOPInstanceUID}"
    return requests.get(f"{web.base}/wado?requestType=WADO&{uids}&{query}", timeout=120)


@pytest.mark.parametrize("wanted", ["application/dicom", "image/jpeg"])
def test_what_was_given_as_that_of_nobody_is_told_apart(web: WebNode, wanted: str) -> None:
    asked = f"contentType={wanted}"
    assert recorded(web, lambda: wado(web, CT, f"{asked}&anonymize=yes")) == [
        ("retrieve", STUDY, {"instances": 1, "studies": 1, "anonymous": True})
    ]
    assert recorded(web, lambda: wado(web, CT, asked)) == [("retrieve", STUDY, {"instances": 1, "studies": 1})]


def test_what_is_refused_as_that_of_nobody_is_not_recorded_as_given(web: WebNode) -> None:
    before = len(audited(web))
    assert wado(web, REPORT, "contentType=application/dicom&anonymize=yes").status_code == 406
    assert [action for action, _, _ in recorded(web, lambda: web.get("/studies"))] == ["search"]
    assert len(audited(web)) == before + 1
