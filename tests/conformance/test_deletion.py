"""DELETE over real sockets, at every level: what is gone, what is left, what is told, and what may come back."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from fixtures.builders import a_ct, a_series
from fixtures.waiting import eventually
from fixtures.web import WebNode, web_node
from relais.access.principals import OPERATOR
from relais.archive import delete, maintenance
from relais.dicom.refs import StudyRef
from relais.index import changes, statistics

SERVICE = "/dicom-web"
FORBIDDEN, NOT_AUTHORIZED = 403, 0x0124


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("deletion")
    with web_node(folder, deletes=True) as node:
        yield node


def study_of(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}"


def series_of(ds: Dataset) -> str:
    return f"{study_of(ds)}/series/{ds.SeriesInstanceUID}"


def instance_of(ds: Dataset) -> str:
    return f"{series_of(ds)}/instances/{ds.SOPInstanceUID}"


LEVELS = [study_of, series_of, instance_of]


def two_series() -> tuple[list[FileDataset], list[FileDataset]]:
    """Of one study, two instances each; the second of MR."""
    first = a_series(2)
    return first, a_series(2, StudyInstanceUID=first[0].StudyInstanceUID, Modality="MR")


def keys_under(web: WebNode, ds: Dataset) -> list[str]:
    return [key for key in web.kept if ds.StudyInstanceUID in key.split("/")]


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_is_deleted_under_a_condition_that_is_not_met(web: WebNode, level: Any) -> None:
    """RFC 9110 13.1.1, 13.2.1: a condition counts only where there would be success without it."""
    ds = a_ct()
    web.store(ds)
    etag = web.get(instance_of(ds), "application/dicom").headers["ETag"]
    for condition in ('"other"', etag):
        assert web.request("DELETE", level(ds), If_Match=condition).status_code == 412
    assert web.get(f"{instance_of(ds)}/metadata").status_code == 200
    assert web.request("DELETE", level(ds), If_Match="*").status_code == 204
    assert web.request("DELETE", level(ds), If_Match=etag).status_code == 410


@pytest.mark.parametrize(("level", "gone"), [(study_of, 4), (series_of, 2), (instance_of, 1)])
def test_what_is_deleted_is_gone_and_all_else_is_left(web: WebNode, level: Any, gone: int) -> None:
    first, second = two_series()
    assert web.store(*first, *second).status_code == 200
    revision, before = changes.latest(web.archive.db), statistics.statistics(web.archive.db)
    assert len(keys_under(web, first[0])) == 4
    response = web.request("DELETE", level(first[0]))
    assert (response.status_code, response.content) == (204, b"")
    assert web.get(level(first[0])).status_code == 410
    for of in ("metadata", "rendered", "thumbnail"):
        assert (of, web.get(f"{level(first[0])}/{of}").status_code) == (of, 410)
    assert web.request("DELETE", level(first[0])).status_code == 410
    left = web.get(f"{study_of(first[0])}/instances").json()
    assert len(left) == len(keys_under(web, first[0])) == 4 - gone
    assert list(statistics.recount(web.archive.db)) == []
    assert statistics.statistics(web.archive.db).instances == before.instances - gone
    told = changes.since(web.archive.db, revision, 100)
    assert [change.kind for change in told] == ["deleted"] * gone
    assert [change.revision for change in told] == list(range(revision + 1, revision + 1 + gone))


def test_searches_follow_at_once(web: WebNode) -> None:
    first, second = two_series()
    web.store(*first, *second)
    query = f"/studies?StudyInstanceUID={first[0].StudyInstanceUID}"
    (study,) = web.get(query).json()
    assert study["00080061"]["Value"] == ["CT", "MR"]
    assert web.request("DELETE", series_of(second[0])).status_code == 204
    (study,) = web.get(query).json()
    assert (study["00080061"]["Value"], study["00201206"]["Value"], study["00201208"]["Value"]) == (["CT"], [1], [2])
    assert web.request("DELETE", study_of(first[0])).status_code == 204
    assert web.get(query).json() == []


@pytest.mark.parametrize("level", LEVELS)
def test_what_was_never_there_is_a_404(web: WebNode, level: Any) -> None:
    assert web.request("DELETE", level(a_ct())).status_code == 404


def test_what_is_no_uid_and_what_nobody_knows_is_a_400(web: WebNode) -> None:
    ds = a_ct()
    web.store(ds)
    assert web.request("DELETE", "/studies/..").status_code in (400, 404, 405)
    assert web.request("DELETE", "/studies/no-uid").status_code == 400
    for query in ("?reason=5", "?reason=113001&reason=113001", "?why=113001", "?reason=113001&force=true"):
        assert web.request("DELETE", study_of(ds) + query).status_code == 400
    assert web.get(f"{study_of(ds)}/metadata").status_code == 200


@pytest.mark.parametrize("path", ["/studies", "/series", "/instances", "/patients", "/"])
def test_nothing_without_a_uid_can_be_deleted(web: WebNode, path: str) -> None:
    assert web.request("DELETE", path).status_code in (404, 405)


@pytest.mark.parametrize("policy", ["open-loopback", "enforced"])
def test_as_shipped_nobody_deletes(tmp_path: Path, policy: str) -> None:
    """Mallory and everybody else; hardening.md 11."""
    with web_node(tmp_path, policy) as node:
        ds = a_ct()
        node.store(ds)
        for level in LEVELS:
            assert node.request("DELETE", level(ds)).status_code == FORBIDDEN
            assert node.request("DELETE", level(a_ct())).status_code == FORBIDDEN
        assert len(node.kept) == (policy == "open-loopback")


def test_dicomweb_client_deletes(web: WebNode) -> None:
    first, second = two_series()
    web.store(*first, *second)
    client = DICOMwebClient(web.service)
    study = first[0].StudyInstanceUID
    client.delete_instance(study, first[0].SeriesInstanceUID, first[0].SOPInstanceUID)
    client.delete_series(study, second[0].SeriesInstanceUID)
    assert len(client.search_for_instances(study)) == 1
    client.delete_study(study)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []


# The note


def note_of(web: WebNode, ds: Dataset, reason: str = "") -> Dataset:
    """The rejection note that deleting the study of *ds* leaves."""
    response = web.request("DELETE", study_of(ds) + (f"?reason={reason}" if reason else ""))
    url = response.headers["Link"].partition(">")[0].removeprefix("<")
    found = web.session.get(url)
    assert found.headers["Content-Type"] == "application/dicom"
    return dcmread(io.BytesIO(found.content))


def test_a_deletion_leaves_a_rejection_note(web: WebNode) -> None:
    series = a_series(3)
    web.store(*series)
    note = note_of(web, series[0], "113001")
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert (note.StudyInstanceUID, note.PatientID) == (series[0].StudyInstanceUID, series[0].PatientID)
    named = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in note.ContentSequence}
    assert named == {ds.SOPInstanceUID for ds in series}
    (told,) = web.session.get(f"{web.base}/api/rejections?study={note.StudyInstanceUID}").json()
    assert (told["SOPInstanceUID"], told["reason"], told["instances"]) == (note.SOPInstanceUID, "113001", 3)
    newest = web.session.get(f"{web.base}/api/rejections").json()
    assert newest[0] == told
    with web.archive.db.read() as connection:
        row = connection.execute("SELECT detail FROM audit WHERE action = 'delete' ORDER BY id DESC").fetchone()
    assert note.SOPInstanceUID in row["detail"]


def test_who_looks_at_rejections_is_recorded(web: WebNode) -> None:
    ds = a_ct()
    web.store(ds)
    note_of(web, ds)
    assert web.session.get(f"{web.base}/api/rejections?study={ds.StudyInstanceUID}").status_code == 200
    assert eventually(lambda: looked(web)[-1] == (ds.StudyInstanceUID, '{"notes":1}'), 120)
    before = len(looked(web))
    assert web.session.get(f"{web.base}/api/rejections").status_code == 200
    assert eventually(lambda: len(looked(web)) == before + 1 and looked(web)[-1][0] == "", 120)


def looked(web: WebNode) -> list[tuple[str, str]]:
    """Study and detail of each search that the audit tells of, oldest first."""
    with web.archive.db.read() as connection:
        found = connection.execute("SELECT study_instance_uid, detail FROM audit WHERE action = 'search' ORDER BY id")
        return [("", ""), *((row[0], row[1]) for row in found.fetchall())]


def test_a_note_is_no_instance_of_the_study(web: WebNode) -> None:
    ds = a_ct()
    web.store(ds)
    note_of(web, ds)
    assert web.get(f"{study_of(ds)}/instances").json() == []
    assert web.store(ds).status_code == 200
    assert len(web.get(f"{study_of(ds)}/instances").json()) == 1


@pytest.mark.parametrize(("path", "status"), [("/1.2.3", 404), ("/no-uid", 404), ("?study=no-uid", 400), ("?x=1", 400)])
def test_a_note_that_is_not_there_is_told(web: WebNode, path: str, status: int) -> None:
    assert web.session.get(f"{web.base}/api/rejections{path}").status_code == status


def test_notes_are_for_those_who_may_read(tmp_path: Path) -> None:
    """Mallory gets nothing."""
    with web_node(tmp_path, "enforced") as node:
        assert node.session.get(f"{node.base}/api/rejections").status_code == FORBIDDEN
        assert node.session.get(f"{node.base}/api/rejections/1.2.3").status_code == 404


# What comes back


@pytest.mark.parametrize("reason", ["", "113039"])
def test_what_was_deleted_without_blame_is_new_when_it_comes_again(web: WebNode, reason: str) -> None:
    ds = a_ct()
    for _ in range(2):
        assert web.store(ds).status_code == 200
        assert web.get(f"{study_of(ds)}/metadata").status_code == 200
        note_of(web, ds, reason)
    assert list(statistics.recount(web.archive.db)) == []


@pytest.mark.parametrize("reason", ["113001", "113037", "113038"])
def test_what_was_rejected_for_good_stays_out(web: WebNode, reason: str) -> None:
    bad, good = a_series(2)
    web.store(bad)
    note_of(web, bad, reason)
    response = web.store(bad, good)
    assert response.status_code == 202
    (failed,) = response.json()["00081198"]["Value"]
    assert failed["00081155"]["Value"] == [bad.SOPInstanceUID]
    assert failed["00081197"]["Value"] == [NOT_AUTHORIZED]
    assert web.store(bad).status_code == 409
    assert len(web.get(f"{study_of(bad)}/instances").json()) == len(keys_under(web, bad)) == 1


def test_what_was_rejected_for_good_comes_back_where_the_setting_says_so(tmp_path: Path) -> None:
    with web_node(tmp_path, deletes=True, archive_on_rejected="accept") as node:
        ds = a_ct()
        node.store(ds)
        note_of(node, ds, "113001")
        assert node.store(ds).status_code == 200


def test_a_deleted_study_survives_no_rebuild_but_its_note_does(web: WebNode) -> None:
    ds, kept = a_ct(), a_ct()
    web.store(ds, kept)
    note = note_of(web, ds, "113037")
    maintenance.reindex(web.archive)
    assert web.get(study_of(ds)).status_code == 410
    assert web.get(f"{study_of(kept)}/metadata").status_code == 200
    (told,) = delete.notes(web.archive, OPERATOR, StudyRef(ds.StudyInstanceUID), 10)
    assert told.sop_instance_uid == note.SOPInstanceUID
    assert web.store(ds).status_code == 409
