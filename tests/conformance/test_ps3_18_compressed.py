"""WADO-RS: instances and frames compressed on request, over real sockets. PS3.18 8.7.3, tables 8.7.3-2 and -5."""

import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import FileDataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from fixtures.builders import a_ct, a_multiframe, a_sr, uid
from fixtures.images import Pixels, an_image, decode, texture
from fixtures.process import open_below
from fixtures.real_files import RealFile, real_files
from fixtures.waiting import eventually
from fixtures.web import WebNode, parts_of, path, web_node

TARGETS = (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL)
DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'
BY_TYPE = {
    "image/jls": JPEGLSLossless,
    "image/jp2": JPEG2000Lossless,
    "image/jphc": HTJ2KLossless,
    "image/jpeg": JPEGLosslessSV1,
    "image/dicom-rle": RLELossless,
}

MIXED = uid("study of many kinds")
CT, LOOP, REPORT = (
    a_ct(StudyInstanceUID=MIXED),
    a_multiframe(frames=5, StudyInstanceUID=MIXED),
    a_sr(StudyInstanceUID=MIXED),
)
PHOTO = an_image(texture(8, samples=3), StudyInstanceUID=uid("photo"))
IN_JPEG_LS = a_ct(transfer_syntax=JPEGLSLossless)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    folder: Path = tmp_path_factory.mktemp("compressed")
    with web_node(folder) as node:
        assert node.store(CT, LOOP, REPORT, PHOTO, IN_JPEG_LS).status_code == 200
        yield node


def read(content: bytes) -> FileDataset:
    return dcmread(DicomBytesIO(content))


def frames(ds: FileDataset) -> Pixels:
    """The frames of *ds*, by decoders that Relais does not use."""
    count, is_colour = int(ds.get("NumberOfFrames") or 1), ds.SamplesPerPixel == 3
    kind = f"{'i' if ds.PixelRepresentation else 'u'}{ds.BitsAllocated // 8}"
    like = np.empty((ds.Rows, ds.Columns, 3) if is_colour else (ds.Rows, ds.Columns), kind)
    syntax = ds.file_meta.TransferSyntaxUID
    found = [decode(one, syntax, like) for one in generate_frames(ds.PixelData, number_of_frames=count)]
    return found[0] if count == 1 else np.stack(found)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("ds", [CT, LOOP, PHOTO, IN_JPEG_LS], ids=["ct", "loop", "photo", "jpeg-ls"])
def test_an_instance_comes_in_the_syntax_asked_for(web: WebNode, ds: FileDataset, target: str) -> None:
    """PS3.18 table 8.7.3-2"""
    for accept in (f"{DICOM}; transfer-syntax={target}", f"application/dicom; transfer-syntax={target}"):
        response = web.get(path(ds), accept)
        assert response.status_code == 200, response.text
        assert response.headers["Content-Length"] == str(len(response.content))
        headers, content = parts_of(response)[0] if "multipart" in accept else (response.headers, response.content)
        assert headers["Content-Type"] == f"application/dicom; transfer-syntax={target}"
        found = read(content)
        assert (found.file_meta.TransferSyntaxUID, found.SOPInstanceUID) == (target, ds.SOPInstanceUID)
        assert np.array_equal(frames(found), ds.pixel_array)


def test_a_study_is_compressed_but_for_what_has_no_pixels(web: WebNode) -> None:
    """PS3.18 table 10.4.3-1: 206; PS3.5 A.4."""
    response = web.get(f"/studies/{MIXED}", f"{DICOM}; transfer-syntax={HTJ2KLosslessRPCL}")
    assert (response.status_code, len(parts_of(response))) == (206, 2)
    assert "left out" in response.headers["Warning"]
    either = f"{DICOM}; transfer-syntax={HTJ2KLosslessRPCL}, {DICOM}; transfer-syntax={ExplicitVRLittleEndian};q=0.5"
    response = web.get(f"/studies/{MIXED}", either)
    syntaxes = sorted(headers["Content-Type"].rpartition("=")[2] for headers, _ in parts_of(response))
    assert (response.status_code, syntaxes) == (200, [ExplicitVRLittleEndian, *[HTJ2KLosslessRPCL] * 2])


def test_quality_decides_between_what_is_stored_and_what_can_be_made(web: WebNode) -> None:
    """RFC 9110 12.5.1"""
    accept = f"{DICOM}; transfer-syntax=*; q=0.5, {DICOM}; transfer-syntax={HTJ2KLossless}"
    ((headers, _),) = parts_of(web.get(path(IN_JPEG_LS), accept))
    assert headers["Content-Type"].endswith(HTJ2KLossless)
    ((headers, _),) = parts_of(web.get(path(IN_JPEG_LS), accept.replace("q=0.5", "q=1")))
    assert headers["Content-Type"].endswith(JPEGLSLossless)


@pytest.mark.parametrize(("media_type", "target"), BY_TYPE.items())
def test_frames_come_in_the_default_syntax_of_their_media_type(web: WebNode, media_type: str, target: str) -> None:
    """PS3.18 table 8.7.3-5"""
    for accept in (
        f'multipart/related; type="{media_type}"',
        f'multipart/related; type="{media_type}"; transfer-syntax={target}',
        f"{OCTETS}; transfer-syntax={target}",
    ):
        parts = parts_of(web.get(f"{path(LOOP)}/frames/3,1", accept))
        assert [headers["Content-Type"] for headers, _ in parts] == [f"{media_type}; transfer-syntax={target}"] * 2
        assert [headers["Content-Location"][-1] for headers, _ in parts] == ["3", "1"]
    single = web.get(f"{path(LOOP)}/frames/2", media_type)
    assert single.headers["Content-Type"] == f"{media_type}; transfer-syntax={target}"
    assert web.get(f"{path(LOOP)}/frames/2", media_type, Range="bytes=0-3").content == single.content[:4]


def test_a_frame_is_had_in_the_compressed_form_that_the_accept_parameter_names(web: WebNode) -> None:
    """PS3.18 8.3.3.1"""
    response = web.get(f"{path(CT)}/frames/1?accept=image/jls", "text/html")
    assert response.headers["Content-Type"] == f"image/jls; transfer-syntax={JPEGLSLossless}"


def test_nothing_is_compressed_that_nobody_asked_for(web: WebNode) -> None:
    for accept in ("*/*", "image/jls;q=0.5, */*", "multipart/related"):
        assert "octet-stream" in web.get(f"{path(CT)}/frames/1", accept).headers["Content-Type"]


def test_a_lossy_form_is_another_instance_and_never_comes_unasked(web: WebNode) -> None:
    """PS3.3 C.7.6.1.1.5"""
    ((headers, content),) = parts_of(web.get(path(PHOTO), f"{DICOM}; transfer-syntax={JPEGBaseline8Bit}"))
    found = read(content)
    assert headers["Content-Location"] == web.service + path(PHOTO)
    assert (found.LossyImageCompression, found.ImageType[0]) == ("01", "DERIVED")
    assert found.SOPInstanceUID != PHOTO.SOPInstanceUID
    frame = web.get(f"{path(PHOTO)}/frames/1", f"image/jpeg; transfer-syntax={JPEGBaseline8Bit}")
    assert frame.content.startswith(b"\xff\xd8\xff")
    assert web.get(f"{path(PHOTO)}/frames/1", "image/jpeg").headers["Content-Type"].endswith(JPEGLosslessSV1)
    assert web.get(path(CT), f"{DICOM}; transfer-syntax={JPEGBaseline8Bit}").status_code == 406


@pytest.mark.parametrize("accept", [DICOM, "application/zip", f"application/dicom; transfer-syntax={HTJ2KLossless}"])
def test_who_leaves_early_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    """What was transcoded for a user agent that has gone is removed."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with web_node(tmp_path / "node") as node:
        shared = {"StudyInstanceUID": uid("left early"), "rows": 1024, "columns": 1024}
        images = [a_ct(transfer_syntax=JPEG2000Lossless, **shared) for _ in range(3)]
        node.store(*images)
        resource = path(images[0]) if HTJ2KLossless in accept else f"/studies/{uid('left early')}"
        request = f"GET /dicom-web{resource} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", node.port), 120) as connection:
                connection.sendall(request)
                assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert eventually(lambda: not open_below(scratch), 120)
        assert list(scratch.iterdir()) == []
        assert node.get(path(images[0]), DICOM).status_code == 200


@pytest.mark.filterwarnings("ignore")  # real files are what they are
def test_real_images_come_back_bit_for_bit_through_every_encoder(tmp_path: Path) -> None:
    """All images that ship with pydicom. Some hold one instance in other ways: each replaces the one before."""
    checked = 0
    with web_node(tmp_path, archive_on_conflict="replace") as node:
        for file in real_files():
            assert node.store(file.path.read_bytes()).status_code == 200
            native = _instance(node, file, ExplicitVRLittleEndian)
            for target in (JPEGLSLossless, HTJ2KLosslessRPCL, RLELossless):
                made = _instance(node, file, target)
                if made is None or native is None or "badVR" in file.name:  # that one says that it has "1A" frames
                    continue
                assert made.file_meta.TransferSyntaxUID == target, file.name
                assert np.array_equal(frames(made), pixel_array(native, raw=True)), file.name
                checked += 1
    assert checked > 120


def _instance(node: WebNode, file: RealFile, target: str) -> FileDataset | None:
    """The file in *target*, None if that cannot be made of it."""
    resource = f"/studies/{file.study_instance_uid}/series/{file.series_instance_uid}/instances/{file.sop_instance_uid}"
    response = node.get(resource, f"application/dicom; transfer-syntax={target}")
    if response.status_code == 406:
        return None
    assert response.status_code == 200, (file.name, response.text)
    return read(response.content)
