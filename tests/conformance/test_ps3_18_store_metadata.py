"""STOW-RS with metadata and bulk data over real sockets: PS3.18 10.5.1.4, trap 16, in JSON and XML."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import Dataset
from pydicom.dataset import FileDataset

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, a_sr
from fixtures.images import an_image, compressed, encode, texture
from fixtures.object_server import held_kb
from fixtures.process import MB
from fixtures.storing import Described, body_of, described, json_body
from fixtures.web import WebNode, parts_of, path, web_node
from relais.dicomweb import native_xml

JPEG_LS, J2K, RLE, HTJ2K = (
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.201",
)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("store")
    with web_node(folder, max_body_bytes=100_000_000) as node:
        yield node


def xml_body(*instances: Described) -> tuple[bytes, str]:
    documents = [native_xml.document(one.metadata) for one in instances]
    return body_of(documents, [part for one in instances for part in one.bulk], "application/dicom+xml", "of-xml")


def store(web: WebNode, *instances: Described, how: Callable[..., tuple[bytes, str]] = json_body) -> requests.Response:
    body, content_type = how(*instances)
    return web.post(body, content_type)


def reasons(response: requests.Response) -> list[int]:
    return [item["00081197"]["Value"][0] for item in response.json()["00081198"]["Value"]]


def frames(web: WebNode, ds: Dataset, numbers: str = "1") -> list[bytes]:
    accept = 'multipart/related; type="application/octet-stream"'
    return [content for _, content in parts_of(web.get(f"{path(ds)}/frames/{numbers}", accept))]


FORMS = [json_body, xml_body]


@pytest.mark.parametrize("how", FORMS)
@pytest.mark.parametrize("make", [a_ct, a_sr, a_pdf, a_multiframe])
def test_metadata_and_bulk_data_store_the_same_object_as_the_binary_form(web: WebNode, make: Any, how: Any) -> None:
    """Trap 16: stored again as application/dicom it is a duplicate, not a conflict."""
    ds = make()
    response = store(web, described(ds), how=how)
    assert response.status_code == 200, response.text
    assert response.json()["00081199"]["Value"][0]["00081190"]["Value"] == [web.service + path(ds)]
    assert web.store(ds).status_code == 200
    (found,) = web.get(f"{path(ds)}/metadata").json()
    expected = json.loads(ds.to_json(1024, lambda elem: f"{web.service}{path(ds)}/bulkdata/{elem.tag:08X}"))
    assert found.keys() == expected.keys()
    if "PixelData" in ds:
        assert frames(web, ds)[0] == ds.PixelData[: len(frames(web, ds)[0])]


@pytest.mark.parametrize("how", FORMS)
def test_a_private_creator_keeps_all_of_its_blocks(web: WebNode, how: Any) -> None:
    """PS3.5 7.8.1; the second block was all that was left of an instance in XML."""
    ds = a_sr()
    for block, text in ((0x10, "first"), (0x11, "second")):
        ds.add_new((0x0009, block), "LO", "ACME")
        ds.add_new((0x0009, block << 8 | 1), "LO", text)
    response = store(web, described(ds), how=how)
    assert response.status_code == 200, response.text
    (found,) = web.get(f"{path(ds)}/metadata").json()
    assert [found[tag]["Value"] for tag in ("00091001", "00091101")] == [["first"], ["second"]]
    assert web.store(ds).status_code == 200, "the binary form is a duplicate, not a conflict"


def test_an_attribute_that_comes_twice_in_xml_is_refused(web: WebNode) -> None:
    """One of its values would be lost in silence."""
    ds = a_sr()
    document = native_xml.document(described(ds).metadata)
    at = document.rindex(b"</NativeDicomModel>")
    again = b'<DicomAttribute tag="00100020" vr="LO"><Value number="1">ANOTHER</Value></DicomAttribute>'
    response = web.post(document[:at] + again + document[at:], "application/dicom+xml")
    assert (response.status_code, reasons(response)) == (409, [0xC000])
    assert web.get(f"{path(ds)}/metadata").status_code == 404


@pytest.mark.parametrize("how", FORMS)
@pytest.mark.parametrize(
    ("media_type", "syntax"),
    [("image/jls", JPEG_LS), ("image/jp2", J2K), ("image/dicom-rle", RLE), ("image/jphc", HTJ2K)],
)
def test_compressed_frames_come_as_they_are(web: WebNode, media_type: str, syntax: str, how: Any) -> None:
    """PS3.18 10.5.1.4: several frames, a part each, with one Content-Location."""
    pixels = [texture(12), texture(12)[::-1], texture(12)[:, ::-1]]
    native = an_image(texture(12), NumberOfFrames=3)
    ds = compressed(native, syntax, *(encode(frame, syntax, 12) for frame in pixels))
    apart = described(ds, frames_as=media_type)
    assert len(apart.bulk) == 3
    response = store(web, apart, how=how)
    assert response.status_code == 200, response.text
    assert frames(web, ds, "2,3,1") == [pixels[n].astype("<u2").tobytes() for n in (1, 2, 0)]
    assert web.store(ds).status_code == 200
    (found,) = web.get(f"/studies/{ds.StudyInstanceUID}/instances?includefield=00083002").json()
    assert found["00080018"]["Value"] == [ds.SOPInstanceUID]


@pytest.mark.parametrize(("media_type", "syntax"), [("image/jls", JPEG_LS), ("image/jp2", J2K), ("image/jphc", HTJ2K)])
def test_what_the_frames_say_of_themselves_may_be_left_out(web: WebNode, media_type: str, syntax: str) -> None:
    """PS3.18 10.5.1.4: the Image Pixel Description."""
    ds = compressed(an_image(texture(12)), syntax, encode(texture(12), syntax, 12))
    apart = described(ds, frames_as=media_type)
    for key in [key for key in apart.metadata if key.startswith("0028")]:
        del apart.metadata[key]
    response = store(web, apart)
    assert response.status_code == 200, response.text
    assert frames(web, ds) == [texture(12).astype("<u2").tobytes()]
    assert web.get(f"{path(ds)}/rendered", "image/png").status_code == 200


def test_frames_may_name_themselves_behind_the_uri(web: WebNode) -> None:
    pixels = [texture(12), texture(12)[::-1]]
    ds = compressed(an_image(texture(12), NumberOfFrames=2), JPEG_LS, *(encode(p, JPEG_LS, 12) for p in pixels))
    apart = described(ds, frames_as="image/jls")
    named = [(kind, f"{place}/frames/{n}", data) for n, (kind, place, data) in enumerate(apart.bulk, 1)]
    assert store(web, Described(apart.metadata, named[::-1])).status_code == 200
    assert frames(web, ds, "2") == [pixels[1].astype("<u2").tobytes()]


@pytest.mark.parametrize("how", FORMS)
def test_several_instances_of_one_request_fail_by_themselves(web: WebNode, how: Any) -> None:
    """Trap 14."""
    series = [described(ds) for ds in a_series(4)]
    del series[1].metadata["0020000D"]
    series[2].bulk.clear()
    response = store(web, *series, how=how)
    assert (response.status_code, reasons(response)) == (202, [0xC000, 0xC000])
    failed = [item["00081155"]["Value"][0] for item in response.json()["00081198"]["Value"]]
    assert failed == [series[n].metadata["00080018"]["Value"][0] for n in (1, 2)]
    assert len(response.json()["00081199"]["Value"]) == 2


def test_metadata_without_bulk_data_needs_no_parts(web: WebNode) -> None:
    ds, other = a_sr(), a_sr()
    document = json.dumps([described(ds).metadata]).encode()
    assert web.post(document, "application/dicom+json").status_code == 200
    assert web.post(iter([document[:9], document[9:]]), "application/dicom+json").status_code == 200
    assert web.post(native_xml.document(described(other).metadata), "application/dicom+xml").status_code == 200
    assert web.get(f"{path(ds)}/metadata").status_code == web.get(f"{path(other)}/metadata").status_code == 200


@pytest.mark.parametrize(
    ("how", "said"),
    [(json_body, b"application/json"), (xml_body, b"text/xml"), (xml_body, b"application/xml; charset=utf-8")],
)
def test_metadata_may_go_by_a_plainer_name_within_its_request(web: WebNode, how: Any, said: bytes) -> None:
    body, content_type = how(described(a_ct()))
    plain = body.replace(b"Content-Type: application/dicom+", b"Content-Type: \0", 1)
    start, _, rest = plain.partition(b"\0")
    assert web.post(start + said + rest[rest.index(b"\r\n") :], content_type).status_code == 200


def test_bulk_data_may_be_of_any_type_and_of_none(web: WebNode) -> None:
    for kind in (b"application/dicom+json", b"text/plain"):
        body, content_type = json_body(described(a_pdf()))
        assert web.post(body.replace(b"application/octet-stream", kind), content_type).status_code == 200
    body, content_type = json_body(described(a_ct()))
    body = body.replace(b"Content-Type: application/octet-stream\r\n", b"")
    assert web.post(body, content_type).status_code == 200


def test_names_of_bulk_data_count_relative_to_the_request(web: WebNode) -> None:
    apart = described(a_ct())
    (kind, place, data), *rest = apart.bulk
    assert not rest
    absolute = [(kind, f"{web.service}/{place}", data)]
    assert store(web, Described(apart.metadata, absolute)).status_code == 200


def test_nothing_is_ever_fetched(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    """hardening.md 6: the name of bulk data that did not come is no reason to go and look for it."""
    apart = described(a_ct())
    apart.metadata["7FE00010"]["BulkDataURI"] = f"{web.base}/health/live"
    response = store(web, apart)
    assert (response.status_code, reasons(response)) == (409, [0xC000])
    apart.metadata["7FE00010"]["BulkDataURI"] = "file:///etc/passwd"
    assert store(web, apart).status_code == 409
    nothing_is_left()


def test_an_instance_of_another_study_is_refused(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    body, content_type = json_body(described(a_ct()))
    response = web.post(body, content_type, study="1.2.3")
    assert (response.status_code, reasons(response)) == (409, [0xA900])
    nothing_is_left()


def test_another_data_set_under_the_same_uid_is_told_as_a_failure(web: WebNode) -> None:
    """hardening.md 7."""
    ds = a_ct()
    assert web.store(ds).status_code == 200
    ds.PatientID = "another"
    response = store(web, described(ds))
    assert (response.status_code, reasons(response)) == (409, [0x0111])


def test_a_character_set_that_had_to_go_is_told_as_a_coercion(web: WebNode) -> None:
    """PS3.18 tables 10.5.3-1, I.2-1."""
    ds = a_sr()
    apart = described(ds)
    apart.metadata["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": "山田"}]}
    response = store(web, apart)
    assert response.status_code == 202
    assert response.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]
    assert "00081198" not in response.json()
    (found,) = web.get(f"{path(ds)}/metadata").json()
    assert found["00100010"]["Value"] == [{"Alphabetic": "山田"}]
    (original,) = found["04000561"]["Value"]  # PS3.18 10.5.2: what was said comes with the instance
    assert original["04000550"]["Value"] == [{"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}]
    again = store(web, apart)  # at another time, but the same instance
    assert (again.status_code, "00081198" in again.json()) == (202, False)
    assert web.get(f"{path(ds)}/metadata").json() == [found]


@pytest.mark.parametrize("how", FORMS)
def test_a_coercion_tells_a_character_set_with_its_empty_value(web: WebNode, how: Any) -> None:
    """PS3.3 C.12.1.1.2: an empty first value is the usual form in Japan."""
    ds = a_sr()
    apart, said = described(ds), {"vr": "CS", "Value": [None, "ISO 2022 IR 87"]}
    apart.metadata |= {"00080005": said, "00100010": {"vr": "PN", "Value": [{"Ideographic": "山田"}]}}
    assert store(web, apart, how=how).status_code == 202
    (found,) = web.get(f"{path(ds)}/metadata").json()
    assert found["04000561"]["Value"][0]["04000550"]["Value"] == [{"00080005": said}]


def test_what_was_sent_with_the_right_character_set_before_is_the_same_instance(web: WebNode) -> None:
    ds = a_sr()
    apart = described(ds)
    apart.metadata["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": "山田"}]}
    right = described(ds)
    right.metadata |= {"00100010": apart.metadata["00100010"], "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}
    assert store(web, right).status_code == 200
    again = store(web, apart)
    assert (again.status_code, "00081198" in again.json()) == (202, False)
    (found,) = web.get(f"{path(ds)}/metadata").json()
    assert "04000561" not in found


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (b"", 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"[1]", 400),
        (b"[{}", 400),
        (b"[{]", 400),
        (b'[{"00100020": nonsense}]', 400),
        (b"[{}]", 409),
        (b'[{"00100020": {"vr": "LO", "Value": [' + b"[" * 2000 + b"]" * 2000 + b"]}}]", 400),
        (b'[{"00080016": 1, "00080018": {"Value": [[]]}}]', 409),
    ],
)
def test_metadata_that_is_none_is_refused(
    web: WebNode, nothing_is_left: Callable[[], None], document: bytes, status: int
) -> None:
    """Trap 14; hardening.md 5."""
    assert web.post(document, "application/dicom+json").status_code == status
    body, content_type = body_of([document], [], "application/dicom+json", "x")
    assert web.post(body, content_type).status_code == status
    nothing_is_left()


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (b"", 400),
        (b"junk", 400),
        (b"<NativeDicomModel>", 400),
        (b"<a/>", 409),
        (b"<!DOCTYPE a><NativeDicomModel/>", 409),
        (b"<NativeDicomModel/>", 409),
    ],
)
def test_xml_that_is_none_is_refused(
    web: WebNode, nothing_is_left: Callable[[], None], document: bytes, status: int
) -> None:
    """hardening.md 5; PS3.18 table 10.5.3-1: 400 is for bad syntax."""
    response = web.post(document, "application/dicom+xml")
    assert (response.status_code, reasons(response)) == (status, [0xC000])
    nothing_is_left()


def test_a_refusal_says_why_in_a_sentence(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    """PS3.18 10.5.3.2"""
    bad = json.dumps([{"00080016": {"Value": ["1.2"]}}, {"0010": {"vr": "LO"}}]).encode()
    response = web.post(bad, "application/dicom+json")
    assert response.status_code == 409
    assert response.headers["Warning"] == (
        '299 relais "C000: 00080016 has no VR of PS3.5.", '
        "299 relais \"C000: '0010' is not a tag: eight hexadecimal digits.\""
    )
    nothing_is_left()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Type: application/octet-stream\r\n", 400),
        ("Content-Type: application/octet-stream\r\nContent-Location: http://[\r\n", 400),
        ("Content-Type: application/octet-stream\r\nContent-Location: a\r\nContent-Encoding: gzip\r\n", 415),
        ("Content-Type: application/octet-stream\r\nContent-Location: a\r\nContent-Transfer-Encoding: base64\r\n", 415),
        ("Content-Type: nonsense\r\nContent-Location: a\r\n", 400),
    ],
)
def test_a_part_that_cannot_be_bulk_data_makes_the_request_one_that_is_not_taken(
    web: WebNode, nothing_is_left: Callable[[], None], headers: str, status: int
) -> None:
    body, content_type = json_body(described(a_sr()))
    body = body.replace(b"--of-metadata--", f"--of-metadata\r\n{headers}\r\nx\r\n--of-metadata--".encode())
    assert web.post(body, content_type).status_code == status
    nothing_is_left()


def test_a_body_that_breaks_off_stores_nothing(web: WebNode, nothing_is_left: Callable[[], None]) -> None:
    body, content_type = json_body(*(described(ds) for ds in a_series(2)))
    assert web.post(body[:-30], content_type).status_code == 400
    nothing_is_left()


def test_the_answer_comes_in_xml_to_those_who_ask(web: WebNode) -> None:
    """PS3.18 I.2"""
    ds = a_ct()
    body, content_type = json_body(described(ds))
    response = web.post(body, content_type, Accept="application/dicom+xml")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/dicom+xml")
    assert f'<Value number="1">{ds.SOPInstanceUID}</Value>' in response.text
    assert "ReferencedSOPSequence" in response.text
    assert web.post(body, content_type, Accept='multipart/related; type="application/dicom"').status_code == 406


def giant(frames_of_a_megabyte: int) -> tuple[FileDataset, Iterator[bytes], str]:
    """An instance that is sent as it is made, and what it is sent as."""
    ds = a_multiframe(frames=1, rows=1024, columns=1024, NumberOfFrames=frames_of_a_megabyte)
    apart = described(ds)
    (kind, place, _), *_ = apart.bulk
    body, content_type = json_body(Described(apart.metadata, [(kind, place, b"@")]))
    before, _, after = body.rpartition(b"@")

    def chunks() -> Iterator[bytes]:
        yield before
        for _ in range(frames_of_a_megabyte):
            yield bytes(MB)
        yield after

    return ds, chunks(), content_type


@pytest.mark.parametrize("megabytes", [200, pytest.param(2048, marks=pytest.mark.slow)])
def test_bulk_data_of_any_size_is_stored_in_bounded_memory(tmp_path: Path, megabytes: int) -> None:
    """hardening.md 3."""
    with web_node(tmp_path) as node:
        assert store(node, described(a_ct())).status_code == 200
        before = node.peak_memory_kb()
        ds, chunks, content_type = giant(megabytes)
        assert node.post(chunks, content_type).status_code == 200
        assert node.peak_memory_kb() - before < 24 * 1024 + held_kb()
        assert frames(node, ds, str(megabytes)) == [bytes(MB)]
        assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_without_room_for_bulk_data_is_a_507(tmp_path: Path) -> None:
    """hardening.md 8."""
    with web_node(tmp_path, max_file_bytes=1_000_000) as node:
        assert store(node, described(a_ct(rows=1024, columns=1024))).status_code == 507
        assert node.kept == []
        assert store(node, described(a_ct())).status_code == 200
