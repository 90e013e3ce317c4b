"""WADO-RS: frames too large to be sent in one piece. PS3.18 10.4.1.1.6, 10.4.4."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.builders import a_ct, a_multiframe
from fixtures.web import WebNode, parts_of, path, web_node

OCTETS = "application/octet-stream"
PARTS = f'multipart/related; type="{OCTETS}"'
MAMMOGRAM = a_ct(rows=1024, columns=1024)
LOOP = a_multiframe(frames=3, rows=1024, columns=1024)
FRAME_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("large")
    with web_node(folder) as node:
        assert node.store(MAMMOGRAM, LOOP).status_code == 200
        yield node


def test_a_large_frame_is_whole_alone_and_as_a_part(web: WebNode) -> None:
    resource = f"{path(MAMMOGRAM)}/frames/1"
    alone = web.get(resource, OCTETS)
    assert (alone.status_code, alone.content) == (200, MAMMOGRAM.PixelData)
    assert alone.headers["Content-Length"] == str(len(MAMMOGRAM.PixelData))
    ((headers, content),) = parts_of(web.get(resource, PARTS))
    assert content == MAMMOGRAM.PixelData
    assert headers["Content-Location"] == f"{web.service}{resource}"
    head = web.request("HEAD", resource, OCTETS)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(MAMMOGRAM.PixelData))
    assert web.get(resource, OCTETS, If_None_Match=alone.headers["ETag"]).status_code == 304


def test_a_range_of_a_large_frame_can_be_had(web: WebNode) -> None:
    """RFC 9110 14"""
    part = web.get(f"{path(MAMMOGRAM)}/frames/1", OCTETS, Range="bytes=1000000-1000999")
    assert (part.status_code, part.content) == (206, MAMMOGRAM.PixelData[1000000:1001000])


def test_large_frames_come_in_the_order_asked_for(web: WebNode) -> None:
    parts = parts_of(web.get(f"{path(LOOP)}/frames/3,1", PARTS))
    assert [content for _, content in parts] == [bytes([number]) * FRAME_BYTES for number in (3, 1)]
    assert web.get(f"{path(LOOP)}/frames/4", PARTS).status_code == 404
