"""STOW-RS over real sockets: what a body comes in and how it comes. PS3.18 10.5, trap 15; bodies that break off."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.builders import a_ct, part10
from fixtures.stow import JUNK, MULTIPART, failures, is_kept
from fixtures.web import BOUNDARY, WebNode, multipart_body, parts_of, path, web_node
from relais.dicomweb import native_xml

LAST_CHUNK = b"0\r\n\r\n"
BROKEN_OFF = (b"", b"zz\r\n", b"8000\r\nonly this")  # what can stand there instead


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("store_bodies")
    with web_node(folder, archive_max_instance_bytes=400_000, max_body_bytes=4_000_000, drain_bytes=8_000_000) as node:
        yield node


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
    ((_, content),) = parts_of(web.get(f"{path(ds)}/frames/1", 'multipart/related; type="application/octet-stream"'))
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


def chunked(body: bytes, content_type: str, end: bytes, **fields: str) -> bytes:
    """A request without Content-Length, with *end* instead of the last chunk."""
    named = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in fields.items()}}
    lines = ("POST /dicom-web/studies HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", "Connection: close")
    head = "\r\n".join((*lines, *(f"{name}: {value}" for name, value in named.items()), "", ""))
    return head.encode() + b"%x\r\n" % len(body) + body + b"\r\n" + end


@pytest.mark.parametrize("end", [LAST_CHUNK, *BROKEN_OFF])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_instance_alone_needs_a_length_as_it_could_break_off_between_two_elements(
    web: WebNode, nothing_is_left: Callable[[], None], end: bytes, encoding: str
) -> None:
    """RFC 9112 8, RFC 9110 15.5.12: what came of it was stored as if whole, and the whole one then refused for ever."""
    ds = a_ct()
    whole = part10(ds)
    cut = whole[: whole.index(b"\xe0\x7f\x10\x00O")]  # the Data Set up to its Pixel Data is a Data Set, too
    sent = chunked(
        gzip.compress(cut) if encoding == "gzip" else cut, "application/dicom", end, Content_Encoding=encoding
    )
    answer = web.exchange(sent, half_close=end != LAST_CHUNK)
    assert answer.startswith(b"HTTP/1.1 411"), answer
    assert b"Content-Length" in answer
    assert b"multipart/related" in answer
    web.exchange(sent, timeout_s=0.2)  # and the same with the connection gone
    nothing_is_left()
    assert web.post(whole, "application/dicom").status_code == 200
    assert web.post(gzip.compress(whole), "application/dicom", Content_Encoding="gzip").status_code == 200


def test_an_instance_alone_without_a_length_is_refused_without_being_asked_for(web: WebNode) -> None:
    """RFC 9110 10.1.1"""
    head = chunked(b"", "application/dicom", b"", Expect="100-continue").partition(b"\r\n\r\n")[0]
    assert web.exchange(head + b"\r\n\r\n").startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize("end", BROKEN_OFF)
@pytest.mark.parametrize("kind", ["json", "xml"])
def test_metadata_that_breaks_off_without_a_length_says_so_itself(
    web: WebNode, nothing_is_left: Callable[[], None], kind: str, end: bytes
) -> None:
    """An array or a root element that does not close, wherever in it."""
    ds = a_ct()
    del ds.PixelData
    document = f"[{ds.to_json()}]".encode() if kind == "json" else native_xml.document(ds.to_json_dict())
    for size in (len(document) // 2, len(document) - 1):
        answer = web.exchange(chunked(document[:size], f"application/dicom+{kind}", end), half_close=True)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 409")), answer
        nothing_is_left()
    assert web.exchange(chunked(document, f"application/dicom+{kind}", LAST_CHUNK)).startswith(b"HTTP/1.1 20")


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
