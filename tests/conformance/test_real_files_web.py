"""Every storable real file that ships with pydicom, through the web door and back."""

import io
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fixtures.real_files import REASONS, ROOT, RealFile, real_files
from fixtures.web import WebNode, parts_of, web_node
from relais.dicom.part10 import read_head
from relais.index import lookup

FILES = {file.name: file for file in real_files()}
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
DEFAULT = 'multipart/related; type="application/dicom"'
NEVER_SENT = (ImplicitVRLittleEndian, ExplicitVRBigEndian)

# Images that cannot be rendered, and why.
NOT_RENDERED = {
    "test_files/JPEG2000-embedded-sequence-delimiter.dcm": "its codestream says that it is 3722445056 pixels wide",
}

TRAILING_PADDING = "FFFCFFFC"  # Data Set Trailing Padding says nothing of the instance (PS3.10 7.2)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    """Some files hold the same instance in other ways: each test stores its own, which replaces another's."""
    folder: Path = tmp_path_factory.mktemp("real")
    with web_node(folder, archive_on_conflict="replace") as node:
        yield node


@pytest.fixture(scope="module")
def held() -> dict[str, str]:
    """SOP Instance UID -> the file that was stored under it last."""
    return {}


@pytest.fixture
def file(web: WebNode, held: dict[str, str], request: pytest.FixtureRequest) -> RealFile:
    """A real file that has been stored, and not replaced since."""
    found = FILES[request.param]
    if held.get(found.sop_instance_uid) != found.name:
        response = web.store(found.path.read_bytes())
        assert response.status_code == 200, response.text
        assert "00081198" not in response.json()
        held[found.sop_instance_uid] = found.name
    return found


def path(file: RealFile) -> str:
    study, series = file.study_instance_uid, file.series_instance_uid
    return f"/studies/{study}/series/{series}/instances/{file.sop_instance_uid}"


@cache
def read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # real files are what they are
        ds = dcmread(path)
        assert [element.tag for element in ds]  # every value is converted now
        return ds


def data_set(content: bytes) -> bytes:
    stream = DicomBytesIO(content)
    read_head(stream.read)
    return content[stream.tell() :]


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_a_real_file_comes_back_as_it_went_in(web: WebNode, file: RealFile) -> None:
    response = web.get(path(file), AS_STORED)
    assert response.status_code == 200, response.text
    ((headers, content),) = parts_of(response)
    if file.transfer_syntax_uid in NEVER_SENT:
        assert headers["Content-Type"].endswith(ExplicitVRLittleEndian)
        assert dcmread(DicomBytesIO(content)).SOPInstanceUID == file.sop_instance_uid
        rows, store = lookup.by_sop_uids(web.archive.db, [file.sop_instance_uid]), web.archive.store
        assert file.dataset in [data_set(store.read_range(row.key, 0, row.size_bytes)) for row in rows]
    else:
        assert headers["Content-Type"].endswith(file.transfer_syntax_uid)
        assert data_set(content) == file.dataset


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_a_real_file_is_found_and_described(web: WebNode, file: RealFile) -> None:
    (row,) = web.get(f"/instances?SOPInstanceUID={file.sop_instance_uid}&includefield=all").json()
    assert row["0020000D"]["Value"] == [file.study_instance_uid]
    (document,) = web.get(f"{path(file)}/metadata").json()
    tags = {f"{element.tag:08X}" for element in read(file.path) if element.tag.element}
    assert tags - {TRAILING_PADDING} <= set(document)
    assert document["00080018"]["Value"] == [file.sop_instance_uid]


@pytest.mark.parametrize("file", [n for n, f in FILES.items() if read(f.path).get("PatientName")], indirect=True)
def test_a_real_name_arrives_in_utf8_whatever_its_character_set(web: WebNode, file: RealFile) -> None:
    """Trap 9, judged by pydicom's own decoder."""
    name = read(file.path).PatientName
    groups = {"Alphabetic": name.alphabetic, "Ideographic": name.ideographic, "Phonetic": name.phonetic}
    expected = {group: text.strip() for group, text in groups.items() if text.strip()}
    for rows in (web.get(f"{path(file)}/metadata"), web.get(f"/instances?SOPInstanceUID={file.sop_instance_uid}")):
        found = rows.json()[0]["00100010"]["Value"][0]
        assert {group: text.strip() for group, text in found.items()} == expected


@pytest.mark.parametrize("file", FILES, indirect=True)
def test_a_real_file_is_had_in_the_default_transfer_syntax(web: WebNode, file: RealFile) -> None:
    """Trap 10."""
    response = web.get(path(file), DEFAULT)
    assert response.status_code == 200, response.text
    ((headers, content),) = parts_of(response)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = dcmread(DicomBytesIO(content))
    assert headers["Content-Type"].endswith(got.file_meta.TransferSyntaxUID)
    assert got.SOPInstanceUID == file.sop_instance_uid


@pytest.mark.parametrize("file", [n for n, f in FILES.items() if "PixelData" in read(f.path)], indirect=True)
def test_a_real_image_is_rendered_in_its_size(web: WebNode, file: RealFile) -> None:
    ds = read(file.path)
    for accept, form in (("image/jpeg", "JPEG"), ("image/png", "PNG")):
        response = web.get(f"{path(file)}/rendered", accept)
        if file.name in NOT_RENDERED:
            assert response.status_code == 406, NOT_RENDERED[file.name]
            continue
        assert response.status_code == 200, response.text
        image = Image.open(io.BytesIO(response.content))
        image.load()
        assert (image.format, image.size) == (form, (ds.Columns, ds.Rows))
    frames = web.get(f"{path(file)}/frames/1", 'multipart/related; type="application/octet-stream"')
    assert frames.status_code == (406 if file.name in NOT_RENDERED else 200), frames.text


@pytest.mark.parametrize("name", REASONS)
def test_what_cannot_be_kept_is_refused_without_a_trace(web: WebNode, name: str) -> None:
    before = len(web.kept)
    response = web.store((ROOT / name).read_bytes())
    assert response.status_code == 409, REASONS[name]
    assert response.json()["00081198"]["Value"][0]["00081197"]["Value"][0] in (0xC000, 0xA900, 0x0122)
    assert len(web.kept) == before
