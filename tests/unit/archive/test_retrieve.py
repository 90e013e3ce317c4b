"""archive.retrieve, documents and render: stored bytes, other Transfer Syntaxes, frames, metadata, thumbnails."""

import base64
import io
import tracemalloc
from pathlib import Path

import orjson
import pytest
from PIL import Image
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEG2000MC,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.images import decode
from fixtures.node import close_archive, make_archive
from fixtures.process import open_below
from relais.access.policy import Mode, Policy
from relais.access.principals import OPERATOR, Principal, Protocol
from relais.archive import Archive, documents, forms, ingest, render, retrieve
from relais.archive.settings import OnConflict
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.errors import InvalidRequest, NotAcceptable, NotFound
from relais.index.rows import InstanceRow
from relais.pixels.workers import RenderRequest

EVERY_SYNTAX = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]


def kept(archive: Archive, ds: FileDataset) -> InstanceRow:
    stored = ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    return retrieve.instances(archive, OPERATOR, stored.ref)[0]


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_frames_of_every_syntax_decode_to_the_same_pixels(archive: Archive, syntax: str) -> None:
    row = kept(archive, a_ct(transfer_syntax=syntax))
    frame = retrieve.frame(archive, row, 1, ExplicitVRLittleEndian)
    assert frame.transfer_syntax_uid == ExplicitVRLittleEndian
    assert frame.data == a_ct().PixelData


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_stored_frame_is_its_bitstream_and_says_so(archive: Archive, syntax: str) -> None:
    row = kept(archive, a_multiframe(transfer_syntax=syntax, frames=3))
    frames = [retrieve.frame(archive, row, number) for number in (1, 2, 3)]
    assert {frame.transfer_syntax_uid for frame in frames} == {str(syntax)}
    assert len({frame.data for frame in frames}) == 3


@pytest.mark.parametrize("target", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_an_instance_can_be_had_uncompressed(archive: Archive, syntax: str, target: str) -> None:
    row = kept(archive, a_ct(transfer_syntax=syntax))
    assert retrieve.can_send(row, target)
    body = retrieve.part10(archive, row, target)
    content = b"".join(body.chunks)
    ds = dcmread(io.BytesIO(content))
    assert len(content) == body.length
    assert ds.file_meta.TransferSyntaxUID == target
    assert ds.PixelData == a_ct().PixelData


def test_a_data_set_alone_is_what_stands_behind_the_head(archive: Archive) -> None:
    ds = a_ct(transfer_syntax=JPEGLSLossless)
    row = kept(archive, ds)
    body = retrieve.dataset_chunks(archive, row)
    assert b"".join(body.chunks) == dataset_bytes(ds)
    assert body.length == len(dataset_bytes(ds))


def test_a_frame_that_is_not_there_is_not_found(archive: Archive) -> None:
    row = kept(archive, a_multiframe(frames=3))
    with pytest.raises(NotFound):
        retrieve.frame(archive, row, 4)
    with pytest.raises(InvalidRequest):
        retrieve.frame(archive, row, 0)
    with pytest.raises(InvalidRequest):
        retrieve.frame(archive, kept(archive, a_sr()), 1)


def test_a_syntax_that_cannot_be_made_is_not_acceptable(archive: Archive) -> None:
    row = kept(archive, a_ct())
    for syntax in (JPEGBaseline8Bit, JPEG2000MC):  # 16 bits are too many; that one is not encoded
        with pytest.raises(NotAcceptable):
            retrieve.part10(archive, row, syntax)
        with pytest.raises(NotAcceptable):
            retrieve.frame(archive, row, 1, syntax)


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_metadata_says_everything_but_the_pixels(archive: Archive, syntax: str) -> None:
    ds = a_ct(transfer_syntax=syntax)
    (document,) = documents.metadata(archive, [kept(archive, ds)])
    metadata = orjson.loads(document)
    assert metadata["7FE00010"]["BulkDataURI"] == "bulkdata/7FE00010"
    assert metadata["00100010"]["Value"] == [{"Alphabetic": "MOREL^Hélène"}]
    assert set(metadata) == {f"{element.tag:08X}" for element in ds}
    assert list(metadata) == sorted(metadata)


def test_metadata_is_kept_and_comes_in_the_order_asked_for(archive: Archive) -> None:
    rows = [kept(archive, ds) for ds in a_series(5)]
    first = list(documents.metadata(archive, rows))
    archive.db.close()  # commits what need not be waited for
    for row in rows:
        archive.store.delete(row.key)
    assert list(documents.metadata(archive, rows[::-1])) == first[::-1]


def test_metadata_made_of_a_version_that_was_replaced_meanwhile_is_not_kept(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, on_conflict=OnConflict.REPLACE)
    ds = a_ct(SeriesDescription="first")
    old = kept(archive, ds)
    ds.SeriesDescription = "second"
    new = kept(archive, ds)
    list(documents.metadata(archive, [old]))
    archive.db.close()  # commits what need not be waited for
    (document,) = documents.metadata(archive, [new])
    assert orjson.loads(document)["0008103E"]["Value"] == ["second"]
    close_archive(archive)


def test_missing_metadata_is_made_until_none_is_missing(archive: Archive) -> None:
    rows = [kept(archive, ds) for ds in a_series(3)]
    assert documents.make_missing(archive) == (rows[-1].id, 3)
    assert documents.make_missing(archive, rows[-1].id) is None


def test_an_instance_that_cannot_be_read_does_not_hold_up_the_others(archive: Archive) -> None:
    rows = [kept(archive, ds) for ds in a_series(3)]
    archive.store.delete(rows[1].key)
    assert documents.make_missing(archive) == (rows[-1].id, 2)


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_pixel_data_is_bulk_data_however_it_is_stored(archive: Archive, syntax: str) -> None:
    row = kept(archive, a_ct(transfer_syntax=syntax))
    path, pixels = documents.pixel_data(archive, row)
    assert path == "7FE00010"
    for body in (pixels, documents.bulkdata(archive, row, path)):
        content = b"".join(body.chunks)
        assert content == a_ct().PixelData
        assert len(content) == body.length


def test_all_bulk_data_is_named_by_the_metadata(archive: Archive) -> None:
    ds = a_ct(transfer_syntax=ExplicitVRLittleEndian)
    inside = Dataset()
    inside.add_new(0x00420011, "OB", bytes(2000))
    ds.add_new(0x00400275, "SQ", [Dataset(), inside])
    assert documents.bulk_paths(documents.make(archive, kept(archive, ds))) == ["00400275/1/00420011", "7FE00010"]


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_a_frame_and_an_instance_can_be_had_compressed(archive: Archive, syntax: str) -> None:
    row = kept(archive, a_ct(transfer_syntax=syntax))
    assert forms.encodable(archive, [row], [HTJ2KLossless, JPEGBaseline8Bit, "1.2.3"]) == [{HTJ2KLossless}]
    frame = retrieve.frame(archive, row, 1, HTJ2KLossless)
    assert (frame.data[:4], frame.transfer_syntax_uid) == (b"\xff\x4f\xff\x51", HTJ2KLossless)
    content = b"".join(retrieve.part10(archive, row, HTJ2KLossless).chunks)
    (bitstream,) = generate_frames(dcmread(io.BytesIO(content)).PixelData, number_of_frames=1)
    assert decode(bitstream, HTJ2KLossless, a_ct().pixel_array).tobytes() == a_ct().PixelData


def test_what_has_no_pixels_has_no_compressed_form(archive: Archive) -> None:
    rows = [kept(archive, a_sr()), kept(archive, a_ct())]
    assert forms.encodable(archive, rows, [JPEGLSLossless]) == [frozenset(), {JPEGLSLossless}]


def test_a_document_is_bulk_data(archive: Archive) -> None:
    ds = a_pdf(EncapsulatedDocument=b"%PDF-1.4" * 1000)
    row = kept(archive, ds)
    (document,) = documents.metadata(archive, [row])
    uri = orjson.loads(document)["00420011"]["BulkDataURI"]
    body = documents.bulkdata(archive, row, uri.removeprefix("bulkdata/"))
    assert b"".join(body.chunks) == ds.EncapsulatedDocument


@pytest.mark.parametrize("path", ["00420012", "00080005/0/00420011", "00400275/7/00420011"])
def test_bulk_data_that_is_not_there_is_not_found(archive: Archive, path: str) -> None:
    with pytest.raises(NotFound):
        documents.bulkdata(archive, kept(archive, a_pdf()), path)


@pytest.mark.parametrize("path", ["", "x", "0042001", "00420011/0", "../../etc/passwd", "00420011/-/00420011"])
def test_a_path_that_is_none_is_an_invalid_request(archive: Archive, path: str) -> None:
    with pytest.raises(InvalidRequest):
        documents.bulkdata(archive, kept(archive, a_pdf()), path)


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_a_frame_is_rendered(archive: Archive, syntax: str) -> None:
    row = kept(archive, a_ct(transfer_syntax=syntax, rows=32, columns=48))
    image = Image.open(io.BytesIO(render.rendered(archive, row, 1, RenderRequest("image/png"))))
    assert image.size == (48, 32)
    assert image.convert("L").getextrema() != (0, 0)


def test_what_is_no_image_is_not_rendered(archive: Archive) -> None:
    with pytest.raises(NotAcceptable):
        render.rendered(archive, kept(archive, a_sr()), 1, RenderRequest("image/png"))


def test_the_thumbnail_of_a_study_shows_its_first_images(archive: Archive) -> None:
    shared = {"StudyInstanceUID": uid("mixed")}
    kept(archive, a_sr(SeriesNumber=0, **shared))
    row = kept(archive, a_ct(SeriesNumber=2, rows=300, columns=400, **shared))
    content = render.thumbnail(archive, OPERATOR, row.ref.study)
    assert Image.open(io.BytesIO(content)).size == (render.THUMBNAIL_PX, render.THUMBNAIL_PX * 3 // 4)
    assert render.thumbnail(archive, OPERATOR, row.ref.study) == content
    assert render.thumbnail(archive, OPERATOR, row.ref) == content


def test_mallory_learns_nothing(archive: Archive) -> None:
    row = kept(archive, a_ct())
    closed = Archive(archive.db, archive.store, archive.pixels, Policy(Mode.ENFORCED), archive.settings)
    mallory = Principal(Protocol.WEB, "mallory", "127.0.0.1")
    absent = InstanceRef(uid("a"), uid("b"), uid("c"))
    messages = []
    for ref in (row.ref, absent):
        with pytest.raises(NotFound) as caught:
            retrieve.instances(closed, mallory, ref)
        messages.append(caught.value.message)
        with pytest.raises(NotFound):
            render.thumbnail(closed, mallory, ref)
        with pytest.raises(NotFound):
            retrieve.attributes(closed, mallory, ref)
    assert messages[0] == messages[1]


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_a_large_value_beside_the_pixels_is_bulk_data_and_is_little_endian(archive: Archive, syntax: str) -> None:
    ds = a_ct(transfer_syntax=syntax)
    table = bytes(range(256)) * 16
    stored = b"".join(table[at : at + 2][::-1] for at in range(0, len(table), 2))
    ds.add_new(0x00281201, "OW", stored if syntax == ExplicitVRBigEndian else table)
    ds.add_new(0x00281202, "OW", (stored if syntax == ExplicitVRBigEndian else table)[:16])
    row = kept(archive, ds)
    metadata = orjson.loads(documents.make(archive, row))
    body = documents.bulkdata(archive, row, metadata["00281201"]["BulkDataURI"].removeprefix("bulkdata/"))
    assert (b"".join(body.chunks), body.length) == (table, len(table))
    assert metadata["00281202"]["InlineBinary"] == base64.b64encode(table[:16]).decode()


def test_the_memory_for_metadata_does_not_grow_with_bulk_data(archive: Archive) -> None:
    ds = a_ct(transfer_syntax=DeflatedExplicitVRLittleEndian)
    ds.add_new(0x00091001, "OB", bytes(40_000_000))
    ds.add_new(0x00090010, "LO", "RELAIS TEST")
    row = kept(archive, ds)
    tracemalloc.start()
    metadata = orjson.loads(documents.make(archive, row))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert metadata["00091001"] == {"vr": "OB", "BulkDataURI": "bulkdata/00091001"}
    assert peak < 10_000_000


def test_a_transcoded_instance_that_nobody_reads_is_closed_with_its_chunks(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = retrieve.part10(archive, kept(archive, a_ct(transfer_syntax=RLELossless)), ExplicitVRLittleEndian)
    assert [name for name in open_below(tmp_path) if name.endswith("(deleted)")]
    made.chunks.close()  # type: ignore[attr-defined]
    assert not [name for name in open_below(tmp_path) if name.endswith("(deleted)")]
