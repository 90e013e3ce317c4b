"""Bodies that are small and cost much, at the web door. Each is refused, and others notice little."""

import gzip
import http.client
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fixtures.builders import a_ct, part10
from fixtures.process import MB, descriptors, forget_peak, peak_bytes, resident_bytes, threads
from fixtures.served import Served, put_away
from fixtures.visitor import Visitor
from fixtures.waiting import eventually

MOST_BYTES = 64 * MB
SETTLES_WITHIN_S = 120.0  # a quarter of a minute when the machine has nothing else to do
BRIEFLY_S = (
    4.0  # for a search beside it, or half of what it waits for; a fortieth when the machine has nothing else to do
)
TRIES = 3  # a busy machine has hiccups; what is slow for the sake of a body is slow each time
DICOM = 'multipart/related; type="application/dicom"; boundary=b'
JSON = 'multipart/related; type="application/dicom+json"; boundary=b'
XML = 'multipart/related; type="application/dicom+xml"; boundary=b'
A_HEAD = b"--b\r\nContent-Type: application/dicom\r\n\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("hostile"), RELAIS_WEB__WORKERS="1")
    made.wait_until_ready()
    assert eventually(made.has_settled, SETTLES_WITHIN_S)  # until then its processes grow by themselves
    yield made
    put_away(made)


def parts(content_type: bytes, content: bytes, count: int, names: bytes = b"") -> bytes:
    head = b"--b\r\nContent-Type: " + content_type + names + b"\r\n\r\n"
    return b"".join((head % number if names else head) + content + b"\r\n" for number in range(count))


def sent(node: Served, body: bytes, content_type: str, encoding: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", node.web_port, timeout=120)
    try:
        headers = {"Content-Type": content_type} | ({"Content-Encoding": encoding} if encoding else {})
        connection.request("POST", "/dicom-web/studies", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Beside:
    """One who searches all the while, and how long that took at most; how long in all, how far each process rose."""

    def __init__(self, node: Served) -> None:
        self._visitor, self._is_over = Visitor(node.dimse_port, node.web_port), threading.Event()
        assert self._visitor.store("web") == "200"
        self._thread = threading.Thread(target=self._run)
        self._pids = node.pids()
        self._before = {pid: resident_bytes(pid) for pid in self._pids}
        self.slowest_s, self.rose_bytes, self.took_s = 0.0, 0, 0.0

    def _run(self) -> None:
        (uid, *_) = self._visitor.acknowledged
        while not self._is_over.wait(0.02):
            began = time.monotonic()
            assert self._visitor.find(uid)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def __enter__(self) -> "Beside":
        for pid in self._pids:
            forget_peak(pid)
        self._thread.start()
        self.took_s = -time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.took_s += time.monotonic()
        self._is_over.set()
        self._thread.join()
        self.rose_bytes = max(peak_bytes(pid) - self._before[pid] for pid in self._pids)


def sent_beside_searches(node: Served, body: bytes, content_type: str, encoding: str = "") -> tuple[int, bytes]:
    """What is answered; who searches meanwhile hardly notices, and nothing of the node takes much memory."""
    for _ in range(TRIES):
        with Beside(node) as beside:
            answered = sent(node, body, content_type, encoding)
        assert beside.rose_bytes < MOST_BYTES
        if beside.slowest_s < max(BRIEFLY_S, beside.took_s / 2):
            return answered
    pytest.fail(f"a search took {beside.slowest_s:.1f} s, what was beside it {beside.took_s:.1f} s")


FINAL = b"--b--\r\n"
WITH_ITEMS = b'[{"00081115": {"vr": "SQ", "Value": [%s]}}]'
XML_WITH = b"<NativeDicomModel>%s</NativeDicomModel>"
BODIES: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "many parts": (lambda: parts(b"application/dicom", b"x", 100_001) + FINAL, DICOM, 413),
    "many parts with long headers": (
        lambda: parts(b"application/dicom\r\nX: " + b"y" * 15_000, b"x", 3000) + FINAL,
        DICOM,
        409,
    ),
    "many empty instances": (lambda: b"[" + b"{}," * 2_000_000 + b"{}]", "application/dicom+json", 413),
    "many bulk data": (
        lambda: (
            parts(b"application/dicom+json", b"[{}]", 1)
            + parts(b"application/octet-stream", b"x", 99_000, names=b"\r\nContent-Location: bulk/%d")
            + FINAL
        ),
        JSON,
        409,
    ),
    "many objects in JSON": (lambda: WITH_ITEMS % (b"{}," * 450_000 + b"{}"), "application/dicom+json", 413),
    "many empty Items in JSON": (lambda: WITH_ITEMS % (b"null," * 900_000 + b"null"), "application/dicom+json", 413),
    "many numbers in one text": (
        lambda: b'[{"00200032": {"vr": "DS", "Value": ["%s"]}}]' % (rb"1\\" * 3_000_000 + b"1"),
        "application/dicom+json",
        413,
    ),
    "unknown elements in XML": (
        lambda: parts(b"application/dicom+xml", XML_WITH % (b"<a/>" * 4_000_000), 1) + FINAL,
        XML,
        409,
    ),
    "many elements in XML": (
        lambda: parts(b"application/dicom+xml", XML_WITH % (b"<DicomAttribute/>" * 950_000), 1) + FINAL,
        XML,
        413,
    ),
    "many documents": (lambda: parts(b"application/dicom+xml", b"<NativeDicomModel/>", 50_000) + FINAL, XML, 413),
    "deep JSON": (lambda: b"[" * 100_000, "application/dicom+json", 400),
    "deep XML": (lambda: parts(b"application/dicom+xml", b"<a>" * 100_000, 1) + FINAL, XML, 409),
    "a part's header without end": (lambda: A_HEAD[:-2] + b"X: " + b"y" * 10_000_000, DICOM, 400),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_small_body_that_asks_for_much_gets_little(node: Served, name: str) -> None:
    make, content_type, status = BODIES[name]
    body = make()
    answered, text = sent_beside_searches(node, body, content_type)
    assert answered == status, text[:300]


def test_bulk_data_with_very_long_names_is_refused(node: Served) -> None:
    """They are remembered until all has come."""
    many = parts(b"application/octet-stream", b"", 30_000, names=b"\r\nContent-Location: %d" + b"y" * 4000)
    body = gzip.compress(parts(b"application/dicom+json", b"[{}]", 1) + many + FINAL, 1)
    status, text = sent_beside_searches(node, body, JSON, "gzip")
    assert status == 413, text[:300]
    assert b"Content-Locations" in text


@pytest.mark.parametrize(
    "much",
    [{"ReferencedImageSequence": [Dataset()] * 500_000}, {"TextValue": "x" * 60 * MB}],
    ids=["many Items", "a long text"],
)
def test_a_small_instance_that_opens_to_much_has_no_metadata(node: Served, much: dict[str, Any]) -> None:
    """It is kept as it came: some KB, deflated, of which a Data Set would take hundreds of MB."""
    ds = a_ct(transfer_syntax=DeflatedExplicitVRLittleEndian, **much)
    del ds.PixelData
    body = A_HEAD + part10(ds) + b"\r\n" + FINAL
    assert len(body) < 100_000
    with Beside(node) as beside:
        status, text = sent(node, body, DICOM)
        assert status == 200, text[:300]
        instance = f"studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
        for path in ("metadata", "bulkdata/00081140/0/00420011"):
            assert fetched(node, f"/dicom-web/{instance}/{path}") == 503
    assert beside.rose_bytes < MOST_BYTES


def fetched(node: Served, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", node.web_port, timeout=120)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def naming(elements: int, uri: str) -> bytes:
    """Metadata of an instance, *elements* of which name the bulk data at *uri*."""
    named = {f"{0x0009 + 2 * (n // 200):04X}10{n % 200:02X}": {"vr": "OB", "BulkDataURI": uri} for n in range(elements)}
    ds = a_ct()
    del ds.PixelData
    return json.dumps([ds.to_json_dict() | named]).encode()


@pytest.mark.parametrize(
    ("bulk", "elements"),
    [
        (parts(b"application/octet-stream\r\nContent-Location: same", bytes(MB), 1), 1000),
        (parts(b"application/octet-stream", b"", 50_000, names=b"\r\nContent-Location: same/frames/%d"), 1000),
    ],
    ids=["one value", "frames"],
)
def test_bulk_data_that_is_named_again_and_again_makes_no_giant(node: Served, bulk: bytes, elements: int) -> None:
    document = parts(b"application/dicom+json", naming(elements, "same"), 1)
    with Beside(node) as beside:
        status, text = sent(node, document + bulk + FINAL, JSON)
    assert status == 413, text[:300]
    assert json.loads(text)["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert beside.rose_bytes < MOST_BYTES


def opened(encoding: str, plain: bytes, zeros: int) -> bytes:
    """*plain* and then many zeros, compressed."""
    if encoding == "zstd":
        maker = zstandard.ZstdCompressor().compressobj()
    else:
        maker = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    pieces = [maker.compress(plain), *(maker.compress(bytes(MB)) for _ in range(zeros // MB)), maker.flush()]
    return b"".join(pieces)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_a_compressed_bomb_is_left_long_before_it_has_opened(node: Served, encoding: str) -> None:
    """Half a gigabyte of zeros in half a megabyte at most."""
    body = opened(encoding, A_HEAD, 512 * MB)
    status, text = sent_beside_searches(node, body, DICOM, encoding)
    assert status == 413, text


def test_a_bomb_within_a_bomb_is_one_bomb_only(node: Served) -> None:
    """What a compressed body opens to is not opened again."""
    body = gzip.compress(gzip.compress(A_HEAD + part10(a_ct()) + b"\r\n" + FINAL))
    status, text = sent(node, body, DICOM, "gzip")
    assert status == 400, text
    assert "boundary" in json.loads(text)["message"]


def test_what_is_refused_leaves_nothing_on_the_disk(node: Served) -> None:
    data = node.folder / "data"
    sent(node, parts(b"application/dicom", b"x", 2000) + FINAL, DICOM)
    left = [path for path in (*Path(data).rglob(".incoming/*"), *Path(data).glob("cache/tmp*")) if path.is_file()]
    assert left == []


def test_a_crowd_that_left_leaves_neither_threads_nor_files_behind(node: Served) -> None:
    """hardening.md 3."""
    (worker,) = node.workers()
    sent(node, b"", DICOM)  # some threads begin with the first request, and stay
    head = "POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: {DICOM}\r\nContent-Length: 1000000\r\n\r\n"
    before = threads(worker), descriptors(worker)
    crowd = [socket.create_connection(("127.0.0.1", node.web_port)) for _ in range(40)]
    for one in crowd:
        one.sendall(head.encode() + A_HEAD)
    assert eventually(lambda: threads(worker) >= before[0] + 20, 120)
    for one in crowd:
        one.close()
    assert eventually(
        lambda: threads(worker) <= before[0] + 2 and descriptors(worker) <= before[1] + 2, SETTLES_WITHIN_S
    ), (before, threads(worker), descriptors(worker))
