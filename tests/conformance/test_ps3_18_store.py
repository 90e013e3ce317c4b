"""STOW-RS over real sockets: PS3.18 10.5, traps 14 and 15, and bodies that break off."""

import gzip
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, dataset_bytes, part10, uid
from fixtures.object_server import held_kb
from fixtures.web import BOUNDARY, WebNode, multipart_body, parts_of, web_node
from relais.dicom.part10 import read_head
from relais.index import statistics

JUNK = b"this is no DICOM file at all" * 10
MULTIPART = 'multipart/related; type="application/dicom"'


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("store")
    with web_node(folder, archive_max_instance_bytes=400_000, max_body_bytes=4_000_000, drain_bytes=8_000_000) as node:
        yield node


@pytest.fixture
def nothing_is_left(web: WebNode) -> Iterator[Callable[[], None]]:
    """A check that neither a file nor a row was added since the test began."""
    before = (web.kept, statistics.statistics(web.archive.db).instances)

    def check() -> None:
        assert (web.kept, statistics.statistics(web.archive.db).instances) == before

    yield check


def failures(document: dict[str, Any]) -> list[int]:
    return [item["00081197"]["Value"][0] for item in document["00081198"]["Value"]]


def is_kept(web: WebNode, ds: Dataset) -> bool:
    return web.get(instance(ds), 'multipart/related; type="application/dicom"; transfer-syntax=*').status_code == 200


def instance(ds: Dataset) -> str:
    return f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


# What becomes of it


def test_all_stored_is_a_200_that_names_every_instance(web: WebNode) -> None:
    """Trap 14."""
    series = a_series(3)
    response = web.store(*series)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/dicom+json")
    ds = Dataset.from_json(response.json())
    assert [item.ReferencedSOPInstanceUID for item in ds.ReferencedSOPSequence] == [s.SOPInstanceUID for s in series]
    assert ds.ReferencedSOPSequence[0].ReferencedSOPClassUID == series[0].SOPClassUID
    assert ds.ReferencedSOPSequence[0].RetrieveURL == web.service + instance(series[0])
    assert ds.RetrieveURL == f"{web.service}/studies/{series[0].StudyInstanceUID}"
    assert "FailedSOPSequence" not in ds
    assert len(web.get(f"/studies/{series[0].StudyInstanceUID}/instances").json()) == 3


def test_what_was_answered_as_stored_comes_back_bit_for_bit(web: WebNode) -> None:
    """Trap 14."""
    for ds in (a_ct(transfer_syntax="1.2.840.10008.1.2.4.80"), a_pdf(), a_multiframe(frames=7)):
        assert web.store(ds).status_code == 200
        ((_, content),) = parts_of(web.get(instance(ds), MULTIPART + "; transfer-syntax=*"))
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
    assert web.get(f"{instance(ds)}/metadata").json()[0]["00100020"]["Value"] == [ds.PatientID]


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


# What it came in


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415),
        ("application/json", 415),
        ("application/octet-stream", 415),
        ("multipart/form-data; boundary=x", 415),
        ('multipart/related; type="image/jpeg"; boundary=x', 415),
        ("nonsense", 400),
        (MULTIPART, 400),
        (f"{MULTIPART}; boundary=", 400),
        (f"{MULTIPART}; boundary=" + "x" * 71, 400),
        (f'{MULTIPART}; boundary="never closed', 400),
        (f"{MULTIPART}; boundary=another", 400),
    ],
)
def test_a_wrong_or_malformed_media_type_is_told(
    web: WebNode, nothing_is_left: Callable[[], None], content_type: str, status: int
) -> None:
    """Trap 14."""
    response = web.post(multipart_body([part10(a_ct())]), content_type)
    assert response.status_code == status
    assert response.json()["message"]
    nothing_is_left()


def test_a_body_without_content_type_is_a_415(web: WebNode) -> None:
    body = multipart_body([part10(a_ct())])
    request = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    assert web.exchange(request.encode() + body).startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
        f"Multipart/Related; Type=Application/DICOM; Boundary={BOUNDARY}",
        f'multipart/related; boundary="{BOUNDARY}"; type="application/dicom"',
        f'multipart/related; type="application/dicom; transfer-syntax=*"; boundary={BOUNDARY}',
        f"multipart/related; boundary={BOUNDARY}",
    ],
)
def test_every_way_to_write_the_media_type_is_understood(web: WebNode, content_type: str) -> None:
    assert web.post(multipart_body([part10(a_ct())]), content_type).status_code == 200


def test_a_single_file_without_parts_is_taken_too(web: WebNode) -> None:
    ds = a_ct()
    assert web.post(part10(ds), "application/dicom").status_code == 200
    assert is_kept(web, ds)
    assert web.post(JUNK, "application/dicom").status_code == 409


def test_every_answer_is_negotiated_before_anything_is_stored(
    web: WebNode, nothing_is_left: Callable[[], None]
) -> None:
    """Trap 3."""
    body = multipart_body([part10(a_ct())])
    assert web.post(body, Accept="text/html").status_code == 406
    assert web.post(body, Accept="nonsense").status_code == 400
    nothing_is_left()
    assert web.post(body, Accept="application/json").headers["Content-Type"] == "application/json"
    assert web.post(body, Accept="*/*").status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 200),
        ("Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\n", 200),
        ("CONTENT-TYPE : application/dicom\r\nContent-Length: 7\r\nContent-ID: <1>\r\n", 200),
        ("Content-Type: application/dicom\r\nContent-Transfer-Encoding: binary\r\n", 200),
        ("Content-Type: application/dicom\r\nContent-Transfer-Encoding: base64\r\n", 415),
        ("Content-Type: application/dicom\r\nContent-Encoding: gzip\r\n", 415),
        ("Content-Type: image/jpeg\r\n", 415),
        ("Content-Type: nonsense\r\n", 400),
    ],
)
def test_parts_are_taken_or_refused_by_what_they_say_they_are(web: WebNode, header: str, status: int) -> None:
    """Trap 15: missing part types."""
    body = f"--{BOUNDARY}\r\n{header}\r\n".encode() + part10(a_ct()) + f"\r\n--{BOUNDARY}--".encode()
    response = web.post(body)
    assert response.status_code == status
    assert (status == 200) == ("00081198" not in response.json())


def test_pixels_that_look_like_a_boundary_arrive_whole(web: WebNode) -> None:
    """Trap 15."""
    look_alikes = f"\r\n--{BOUNDARY}x\r\n--{BOUNDARY}-\r\n--{BOUNDARY} x--{BOUNDARY}--\r\n".encode()
    ds = a_ct()
    ds.PixelData = (look_alikes * 40)[: len(ds.PixelData)]
    assert web.store(ds).status_code == 200
    ((_, content),) = parts_of(
        web.get(f"{instance(ds)}/frames/1", 'multipart/related; type="application/octet-stream"')
    )
    assert content == ds.PixelData


def test_preamble_epilogue_and_a_quoted_boundary_are_understood(web: WebNode) -> None:
    """Trap 15."""
    boundary = "a 'b'()+_,-./:=?z"
    body = b"preamble\r\n" + multipart_body([part10(a_ct())], boundary) + b"epilogue"
    assert web.post(body, f'{MULTIPART}; boundary="{boundary}"').status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        f"--{BOUNDARY}--\r\n".encode(),
        multipart_body([part10(a_ct())]).replace(b"\r\n", b"\n"),
        multipart_body([part10(a_ct())])[:-60],
        multipart_body([part10(a_ct())]).removesuffix(b"--\r\n"),
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n".encode(),
        f"--{BOUNDARY}\r\nX: ".encode() + b"y" * 20_000,
        f"--{BOUNDARY}\r\nno field\r\n\r\n--{BOUNDARY}--".encode(),
    ],
)
def test_a_malformed_body_is_a_400_and_leaves_nothing(
    web: WebNode, nothing_is_left: Callable[[], None], body: bytes
) -> None:
    """Traps 14, 15: LF-only, cut short, without an end."""
    response = web.post(body)
    assert response.status_code == 400
    assert response.json()["message"].endswith(".")
    nothing_is_left()


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)]
)
def test_a_compressed_body_is_stored_as_the_plain_one(
    web: WebNode, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """Trap 15; RFC 9110 8.4."""
    ds = a_ct()
    packed = pack(multipart_body([part10(ds)]))
    assert web.post(packed, Content_Encoding=encoding).status_code == 200
    assert is_kept(web, ds)
    assert web.post(iter([packed[:100], packed[100:]]), Content_Encoding=encoding).status_code == 200
    assert web.post(packed[:-20], Content_Encoding=encoding).status_code == 400


def test_a_body_that_is_encoded_in_another_way_is_refused(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    """Trap 15; hardening.md 5."""
    packed = gzip.compress(multipart_body([part10(a_ct())]))
    assert web.post(packed, Content_Encoding="br").status_code == 415
    assert web.post(gzip.compress(packed), Content_Encoding="gzip, gzip").status_code == 415
    assert web.post(gzip.compress(bytes(5_000_000)), "application/dicom", Content_Encoding="gzip").status_code == 413
    nothing_is_left()


# How it came


def test_a_body_in_chunks_is_taken(web: WebNode) -> None:
    """clients.md 4."""
    ds = a_ct()
    body = multipart_body([part10(ds)])
    assert web.post(iter([body[:10], body[10:500], body[500:]])).status_code == 200
    assert is_kept(web, ds)


def test_a_sender_that_expects_100_continue_gets_it(web: WebNode) -> None:
    body = multipart_body([part10(a_ct())])
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
        f"Content-Type: {MULTIPART}; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = web.exchange(head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 100")
    assert b"HTTP/1.1 200" in answer


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Type: text/plain\r\nContent-Length: 5000", 415),
        ("Content-Length: 5000", 415),
        (f"Content-Type: {MULTIPART}; boundary={BOUNDARY}\r\nAccept: text/html\r\nContent-Length: 5000", 406),
        (f"Content-Type: {MULTIPART}; boundary={BOUNDARY}\r\nContent-Length: 4000001", 413),
        (f"Content-Type: {MULTIPART}; boundary={BOUNDARY}\r\nContent-Encoding: br\r\nContent-Length: 5000", 415),
    ],
)
def test_who_waits_with_the_body_is_refused_without_being_asked_for_it(web: WebNode, header: str, status: int) -> None:
    """RFC 9110 10.1.1"""
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n{header}\r\n\r\n"
    )
    assert web.exchange(head.encode()).startswith(f"HTTP/1.1 {status}".encode())


def test_who_may_not_store_is_told_before_the_body_is_read(tmp_path: Path) -> None:
    """Mallory."""
    with web_node(tmp_path, "enforced") as node:
        head = "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
        head += f"Content-Type: {MULTIPART}; boundary={BOUNDARY}\r\nContent-Length: 5000\r\n\r\n"
        assert node.exchange(head.encode()).startswith(b"HTTP/1.1 403")
        assert node.store(a_ct()).status_code == 403
        assert node.kept == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.integers(0, 4000), max_size=12), st.booleans())
def test_a_body_may_be_cut_into_chunks_anywhere(web: WebNode, cuts: list[int], is_slow: bool) -> None:
    """RFC 9112 7.1: in boundaries, in headers of parts, in the Data Set; sent at once or one by one."""
    ds, other = a_ct(rows=8, columns=8), a_ct(rows=8, columns=8)
    body = multipart_body([part10(ds), part10(other)])
    edges = [0, *sorted(cut % len(body) for cut in cuts), len(body)]
    chunks = [body[start:stop] for start, stop in pairwise(edges) if stop > start]
    head = "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    head += f"Content-Type: {MULTIPART}; boundary={BOUNDARY}\r\n\r\n"
    pieces = [head.encode(), *(b"%x\r\n" % len(chunk) + chunk + b"\r\n" for chunk in chunks), b"0\r\n\r\n"]
    answer = web.exchange(*pieces) if is_slow else web.exchange(b"".join(pieces))
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert is_kept(web, ds)
    assert is_kept(web, other)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_breaks_off_leaves_no_partial_object(
    web: WebNode, nothing_is_left: Callable[[], None], is_chunked: bool
) -> None:
    """Issue: truncated multipart. The connection is half closed, so that the answer can still be read."""
    body = multipart_body([part10(a_ct())])[:1500]
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body) + 5000}"
    content_type = f"Content-Type: {MULTIPART}; boundary={BOUNDARY}"
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\n{content_type}\r\n{length}\r\n\r\n"
    sent = head.encode() + (b"%x\r\n" % len(body) + body + b"\r\n" if is_chunked else body)
    answer = web.exchange(sent, half_close=True)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    nothing_is_left()
    web.exchange(sent, timeout_s=0.2)  # and the same with the connection gone
    nothing_is_left()


def test_what_was_complete_before_a_body_broke_off_is_kept_and_told(web: WebNode) -> None:
    first, second = a_ct(), a_ct()
    body = multipart_body([part10(first), part10(second)])[:-200]
    response = web.post(body)
    assert (response.status_code, failures(response.json())) == (202, [0xC000])
    assert is_kept(web, first)
    assert not is_kept(web, second)


def test_a_body_announced_as_too_large_is_a_413(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    response = web.post(b"x" * 4_000_001)
    assert response.status_code == 413
    assert web.post(iter([b"x" * 1_000_000] * 6), f"{MULTIPART}; boundary={BOUNDARY}").status_code in (400, 413)
    nothing_is_left()


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
