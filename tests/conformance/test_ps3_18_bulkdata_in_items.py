"""WADO-RS: bulk data inside Items: the metadata names it, and its URI gives its bytes. PS3.18 10.4.1.1.5, F.2.6."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from fixtures.builders import a_ct, dataset_bytes, part10
from fixtures.web import WebNode, parts_of, path, web_node

OCTETS = "application/octet-stream"
PARTS = f'multipart/related; type="{OCTETS}"'
SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "compressed": JPEGLSLossless,
}
ICON = bytes(range(256)) * 16
CURVE = b"".join(number.to_bytes(2, "little") for number in range(3000))  # of words, so it can be seen which way round
DOCUMENT = b"%PDF-1.4\n" + b"\1\2\3\4\5\6\7\0" * 500 + b"\n"
VALUES = {
    "00880200/0/7FE00010": ICON,
    "54000100/0/54001010": CURVE,
    "54000100/1/54001010": CURVE[::-1],
    "0040A730/1/0040A730/0/00420011": DOCUMENT,
}


def an_icon() -> Dataset:
    ds = Dataset()
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 64, 64
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.add_new(0x7FE00010, "OB", ICON)
    return ds


def a_curve(words: bytes, *, is_big_endian: bool) -> Dataset:
    """Waveform Data, which is written as it is given."""
    ds = Dataset()
    ds.WaveformBitsAllocated, ds.WaveformSampleInterpretation = 16, "SS"
    turned = b"".join(words[at : at + 2][::-1] for at in range(0, len(words), 2))
    ds.add_new(0x54001010, "OW", turned if is_big_endian else words)
    return ds


def a_document() -> Dataset:
    inner = Dataset()
    inner.EncapsulatedDocument = DOCUMENT
    outer = Dataset()
    outer.ContentSequence = [inner]
    return outer


def nested(name: str) -> Dataset:
    """An image with large values in Items: of one Item, of the second, and of an Item in an Item."""
    is_big_endian = SYNTAXES[name] == ExplicitVRBigEndian
    curves = [a_curve(words, is_big_endian=is_big_endian) for words in (CURVE, CURVE[::-1])]
    return a_ct(
        transfer_syntax=SYNTAXES[name],
        IconImageSequence=[an_icon()],
        WaveformSequence=curves,
        ContentSequence=[Dataset(), a_document()],
    )


IMAGES = {name: nested(name) for name in SYNTAXES}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("items")
    with web_node(folder) as node:
        stored = node.store(*IMAGES.values())
        assert stored.status_code == 200, stored.text
        yield node


def uris(document: dict[str, Any], inside: bool = False) -> Iterator[str]:
    """The BulkDataURIs inside Items."""
    for element in document.values():
        if inside and "BulkDataURI" in element:
            yield element["BulkDataURI"]
        if element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from uris(item, inside=True)


@pytest.mark.parametrize("name", SYNTAXES)
def test_each_large_value_in_an_item_is_where_the_metadata_says(web: WebNode, name: str) -> None:
    """PS3.18 F.2.6: the URI stands where the value would."""
    image = IMAGES[name]
    (document,) = web.get(f"{path(image)}/metadata").json()
    begin = f"{web.service}{path(image)}/bulkdata/"
    assert set(uris(document)) == {begin + place for place in VALUES}
    for place, value in VALUES.items():
        alone = web.get(f"{path(image)}/bulkdata/{place}", OCTETS)
        assert (alone.status_code, alone.content) == (200, value), place
        assert alone.headers["Content-Location"] == begin + place
        ((headers, content),) = parts_of(web.get(f"{path(image)}/bulkdata/{place}", PARTS))
        assert (headers["Content-Location"], content) == (begin + place, value)


@pytest.mark.parametrize("name", SYNTAXES)
def test_all_bulk_data_of_an_instance_has_that_in_items_too(web: WebNode, name: str) -> None:
    """PS3.18 10.4.3.3.5"""
    image = IMAGES[name]
    begin = f"{web.service}{path(image)}/bulkdata/"
    response = web.get(f"{path(image)}/bulkdata", PARTS + "; transfer-syntax=*")
    by_location = {headers["Content-Location"]: content for headers, content in parts_of(response)}
    assert {place: by_location[begin + place] for place in VALUES} == VALUES


def test_the_xml_metadata_names_the_same(web: WebNode) -> None:
    """PS3.19 A.1.6"""
    image = IMAGES["explicit"]
    response = web.get(f"{path(image)}/metadata", 'multipart/related; type="application/dicom+xml"')
    ((_, text),) = parts_of(response)
    named = {element.get("uri") for element in ElementTree.fromstring(text).iter() if element.tag.endswith("BulkData")}
    begin = f"{web.service}{path(image)}/bulkdata/"
    assert named >= {begin + place for place in VALUES}


def test_a_range_of_a_value_in_an_item_can_be_had(web: WebNode) -> None:
    """PS3.18 10.4.4, RFC 9110 14"""
    image = IMAGES["explicit"]
    part = web.get(f"{path(image)}/bulkdata/00880200/0/7FE00010", OCTETS, Range="bytes=250-259")
    assert (part.status_code, part.content) == (206, ICON[250:260])


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("00880200/1/7FE00010", 404),
        ("00880200/0/7FE00020", 404),
        ("00880200/0/00280010", 404),
        ("54000100/0/54001010/0/54001010", 404),
        ("00080005/0/54001010", 404),
        ("54000100/-1/54001010", 400),
        ("54000100/+1/54001010", 400),
        ("54000100/1_0/54001010", 400),
        ("54000100/0", 400),
        ("54000100/x/54001010", 400),
        ("54000100/%D9%A1/54001010", 400),
        ("54000100/" + "9" * 5000 + "/54001010", 400),
    ],
)
def test_a_place_where_there_is_none_is_no_answer(web: WebNode, place: str, status: int) -> None:
    assert web.get(f"{path(IMAGES['explicit'])}/bulkdata/{place}", OCTETS).status_code == status


@pytest.mark.parametrize(
    "place", ["00080008/0/00000000", "00080018/0/00000000", "00100020/0/00000000", "00880200/9/7FE00010"]
)
def test_there_is_nothing_inside_of_what_is_no_sequence(web: WebNode, place: str) -> None:
    image = IMAGES["explicit"]
    response = web.get(f"{path(image)}/bulkdata/{place}", OCTETS)
    assert (response.status_code, response.json()["message"]) == (404, "There is no such bulk data.")


def test_a_value_that_cannot_be_read_is_no_bulk_data(web: WebNode) -> None:
    """hardening.md 10: an FD of 6 bytes, a VR that nobody knows."""
    image = a_ct(SmallestImagePixelValue=7, KVP=None)
    whole = part10(image)
    head, rest = whole[: -len(dataset_bytes(image))], dataset_bytes(image)
    rest = rest.replace(b"\x28\x00\x06\x01US\x02\x00\x07\x00", b"\x28\x00\x06\x01FD\x06\x00abcdef")
    rest = rest.replace(b"\x10\x00\x40\x00CS\x02\x00F ", b"\x10\x00\x40\x00ZZ\0\0\x04\0\0\0abcd")
    assert web.store(head + rest).status_code == 200
    for place in ("00280106", "00100040"):
        response = web.get(f"{path(image)}/bulkdata/{place}", OCTETS)
        assert (response.status_code, response.json()["message"]) == (404, "There is no such bulk data."), place
