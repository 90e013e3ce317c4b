"""STOW-RS over real sockets: what becomes of what is stored, and what is told of it. PS3.18 10.5, trap 14."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, dataset_bytes, part10, uid
from fixtures.object_server import held_kb
from fixtures.stow import JUNK, MULTIPART, failures, is_kept
from fixtures.web import WebNode, parts_of, path, web_node
from relais.dicom.part10 import read_head


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("store")
    with web_node(folder, archive_max_instance_bytes=400_000, max_body_bytes=4_000_000, drain_bytes=8_000_000) as node:
        yield node


# What becomes of it


def test_all_stored_is_a_200_that_names_every_instance(web: WebNode) -> None:
    """Trap 14."""
    series = a_series(3)
    response = web.store(*series)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/dicom+json")
    ds = Dataset.from_json(response.json())
    assert [item.ReferencedSOPInstanceUID for item in ds.ReferencedSOPSequence] == [s.SOPInstanceUID for s in series]
    assert ds.ReferencedSOPSequence[0].ReferencedSOPClassUID == series[0].SOPClassUID
    assert ds.ReferencedSOPSequence[0].RetrieveURL == web.service + path(series[0])
    assert ds.RetrieveURL == f"{web.service}/studies/{series[0].StudyInstanceUID}"
    assert "FailedSOPSequence" not in ds
    assert len(web.get(f"/studies/{series[0].StudyInstanceUID}/instances").json()) == 3


def test_what_was_answered_as_stored_comes_back_bit_for_bit(web: WebNode) -> None:
    """Trap 14."""
    for ds in (a_ct(transfer_syntax="1.2.840.10008.1.2.4.80"), a_pdf(), a_multiframe(frames=7)):
        assert web.store(ds).status_code == 200
        ((_, content),) = parts_of(web.get(path(ds), MULTIPART + "; transfer-syntax=*"))
        stream = DicomBytesIO(content)
        read_head(stream.read)
        assert content[stream.tell() :] == dataset_bytes(ds)


def test_storing_the_same_instance_again_is_a_success(web: WebNode) -> None:
    """clients.md 9."""
    ds = a_ct()
    assert [web.store(ds).status_code for _ in range(3)] == [200] * 3
    assert len(web.get(f"/studies/{ds.StudyInstanceUID}/instances").json()) == 1


def test_another_data_set_under_the_same_uid_is_told_as_a_failure(web: WebNode) -> None:
    """hardening.md 7."""
    ds, other = a_ct(SOPInstanceUID=uid("twice")), a_ct(SOPInstanceUID=uid("twice"))
    other.StudyInstanceUID, other.SeriesInstanceUID = ds.StudyInstanceUID, ds.SeriesInstanceUID
    other.PatientID = "another"
    web.store(ds)
    response = web.store(other)
    assert (response.status_code, failures(response.json())) == (409, [0x0111])
    assert web.get(f"{path(ds)}/metadata").json()[0]["00100020"]["Value"] == [ds.PatientID]


def test_some_stored_is_a_202(web: WebNode) -> None:
    """Trap 14; evidence 27."""
    good = a_series(2)
    response = web.store(good[0], JUNK, good[1])
    assert response.status_code == 202
    document = response.json()
    assert len(document["00081199"]["Value"]) == 2
    assert failures(document) == [0xC000]
    assert document["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]
    assert all(is_kept(web, ds) for ds in good)


def test_less_pixel_data_than_it_says_is_kept_with_a_warning(web: WebNode) -> None:
    """PS3.18 tables 10.5.3-1 and I.2-1: Data Set does not match SOP Class."""
    whole, short = a_ct(), a_ct(Rows=512)
    response = web.store(whole, short)
    assert response.status_code == 202
    document = response.json()
    assert "00081198" not in document
    good, odd = document["00081199"]["Value"]
    assert "00081196" not in good
    assert (odd["00081155"]["Value"], odd["00081196"]["Value"]) == ([short.SOPInstanceUID], [0xB007])
    assert "Pixel Data is shorter than its attributes say." in response.headers["Warning"]
    assert is_kept(web, short)


def test_an_instance_of_another_patient_than_its_study_is_told(web: WebNode) -> None:
    study = uid("two patients")
    ann = a_ct(StudyInstanceUID=study, PatientID="A1", PatientName="ALPHA^ANNA")
    ben = a_ct(StudyInstanceUID=study, PatientID="B2", PatientName="BETA^BERNARD")
    assert "Warning" not in web.store(ann).headers
    response = web.store(ben)
    assert (response.status_code, is_kept(web, ben)) == (200, True)
    assert "Patient ID or Issuer of Patient ID is not that of the study" in response.headers["Warning"]
    assert "Warning" not in web.store(a_ct(StudyInstanceUID=study, PatientID="A1")).headers
    assert "Warning" not in web.store(a_ct(StudyInstanceUID=study, PatientID=None)).headers


def with_text(ds: Dataset, former: str, text: bytes) -> bytes:
    """*ds* as a file with *text* in place of *former*, of the same length."""
    return part10(ds).replace(former.encode(), text.ljust(len(former), b"\0"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (JUNK, 0xC000),
        (b"", 0xC000),
        (b"\0" * 128 + b"DICM", 0xC000),
        (part10(a_ct())[:-100], 0xC000),
        (part10(a_ct())[:600], 0xC000),
        (part10(a_ct(StudyInstanceUID=None)), 0xC000),
        (part10(a_ct(SeriesInstanceUID=None)), 0xC000),
        (part10(a_ct(StudyInstanceUID="")), 0xC000),
        (with_text(a_ct(SeriesInstanceUID=uid("tricks")), uid("tricks"), b"../../../etc/passwd"), 0xC000),
    ],
)
def test_what_cannot_be_kept_is_a_409_with_a_reason(
    web: WebNode, nothing_is_left: Callable[[], None], content: bytes, reason: int
) -> None:
    """Trap 14; evidence 27: never 500."""
    response = web.store(content)
    assert response.status_code == 409
    assert failures(response.json()) == [reason]
    assert "00081199" not in response.json()
    nothing_is_left()


def test_a_failed_instance_is_named_where_its_file_meta_names_it(web: WebNode) -> None:
    ds = a_ct()
    response = web.store(part10(ds)[:-50])
    (item,) = response.json()["00081198"]["Value"]
    assert item["00081155"]["Value"] == [ds.SOPInstanceUID]
    assert item["00081150"]["Value"] == [ds.SOPClassUID]
    assert "0008119A" not in response.json()


def test_an_instance_of_another_study_is_refused(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    ds = a_ct()
    response = web.store(ds, study="1.2.3.4")
    assert (response.status_code, failures(response.json())) == (409, [0xA900])
    nothing_is_left()
    assert web.store(ds, study=ds.StudyInstanceUID).status_code == 200


def test_where_the_file_meta_information_names_another_instance_the_data_set_wins(web: WebNode) -> None:
    ds = a_ct(SOPInstanceUID=uid("in the Data Set"))
    other = uid("in the file meta").encode()[: len(ds.SOPInstanceUID)]
    response = web.store(part10(ds).replace(ds.SOPInstanceUID.encode(), other, 1))
    assert response.status_code == 200
    assert response.json()["00081199"]["Value"][0]["00081155"]["Value"] == [ds.SOPInstanceUID]
    assert response.headers["Warning"].startswith('299 relais "The File Meta Information named another')
    assert is_kept(web, ds)


def test_an_unknown_sop_class_or_transfer_syntax_is_told_as_such(web: WebNode) -> None:
    """PS3.18 table I.2-2"""
    verification = a_ct(SOPClassUID="1.2.840.10008.1.1")
    assert failures(web.store(verification).json()) == [0x0122]
    ds = a_ct()
    strange = part10(ds).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.1\0\0\0")
    assert failures(web.store(strange).json()) == [0xC122]


def test_a_too_large_instance_is_a_413_and_the_others_are_kept(web: WebNode) -> None:
    large, small = a_multiframe(frames=500), a_ct()
    assert web.store(large).status_code == 413
    response = web.store(large, small)
    assert (response.status_code, failures(response.json())) == (202, [0xA700])
    assert is_kept(web, small)
    assert not is_kept(web, large)


def test_concurrent_stores_into_one_study_lose_and_repeat_nothing(web: WebNode) -> None:
    """Trap 19. Who is told that there are too many uploads at once comes again."""
    series, answers = a_series(40), set()

    def store_until_taken(*instances: Dataset) -> None:
        while (status := web.store(*instances).status_code) == 503:
            time.sleep(0.05)
        answers.add(status)

    threads = [threading.Thread(target=store_until_taken, args=(series[n], series[n - 1])) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {200}
    (study,) = web.get(f"/studies?StudyInstanceUID={series[0].StudyInstanceUID}").json()
    assert study["00201208"]["Value"] == [40]
    assert len(web.get(f"/studies/{series[0].StudyInstanceUID}/instances?limit=100").json()) == 40


def test_a_large_upload_does_not_grow_the_server(tmp_path: Path) -> None:
    """hardening.md 3: memory does not grow with the size of the instance."""
    with web_node(tmp_path) as node:
        node.store(a_ct())
        ds = a_ct(rows=4096, columns=4096)  # 32 MB
        before = node.peak_memory_kb()
        assert node.store(ds).status_code == 200
        assert node.peak_memory_kb() - before < 16 * 1024 + held_kb()


def test_a_store_that_cannot_be_made_durable_is_a_507(tmp_path: Path) -> None:
    """hardening.md 8."""
    with web_node(tmp_path, max_file_bytes=1_000_000) as node:
        response = node.store(a_ct(rows=1024, columns=1024))
        assert (response.status_code, failures(response.json())) == (507, [0xA700])
        assert node.kept == []
        assert node.store(a_ct()).status_code == 200
