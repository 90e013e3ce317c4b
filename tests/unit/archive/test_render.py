"""Rendered images are kept within a bound, and never mixed up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydicom import FileDataset

from fixtures.builders import a_ct, a_film, a_multiframe, a_pdf, a_sr, part10
from fixtures.states import a_state
from relais.access.policy import Policy
from relais.access.principals import Principal, Protocol
from relais.archive import Archive, render, reports, video
from relais.archive import cache as archive_cache
from relais.archive.cache import READ_BYTES, SHARE, Cache
from relais.archive.delete import delete
from relais.archive.ingest import store_part10
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.errors import Gone, InvalidRequest, NotAcceptable, NotFound, Unavailable
from relais.index import lookup
from relais.index.rows import InstanceRow
from relais.pixels.workers import AppliedState, RenderRequest, Window
from relais.storage.base import ObjectStore

ROSA = Principal(Protocol.WEB, "", "127.0.0.1")
JPEG, PNG = RenderRequest("image/jpeg"), RenderRequest("image/png")
MPEG4 = "1.2.840.10008.1.2.4.102"


def kept(archive: Archive, ds: FileDataset) -> InstanceRow:
    store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    row = lookup.instance(archive.db, InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID))
    assert row is not None
    return row


def test_whatever_makes_a_picture_different_has_a_picture_of_its_own(archive: Archive) -> None:
    ds = a_ct()
    row, other = kept(archive, ds), kept(archive, a_ct())
    state = AppliedState(part10(a_state(ds, voi=(0, 3000))), ds.SOPInstanceUID)
    inverse = AppliedState(part10(a_state(ds, voi=(0, 3000), PresentationLUTShape="INVERSE")), ds.SOPInstanceUID)
    asked = [PNG, replace(PNG, window=Window(0, 10)), replace(PNG, annotation=("patient",)), JPEG]
    made = [render.rendered(archive, row, 1, request) for request in asked]
    made += [render.rendered(archive, row, 1, PNG, applied) for applied in (state, inverse)]
    assert len(set(made)) == len(made)
    again = [render.rendered(archive, row, 1, request) for request in asked]
    assert again == made[: len(asked)]
    assert render.rendered(archive, other, 1, PNG) == made[0]  # painted alike


def test_the_same_picture_is_made_once(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    row = kept(archive, a_ct())
    first = render.rendered(archive, row, 1, JPEG)
    monkeypatch.setattr(render, "_render", None)
    assert render.rendered(archive, row, 1, JPEG) == first


def test_frames_that_are_not_there_are_told(archive: Archive) -> None:
    row = kept(archive, a_multiframe(frames=3))
    for number, kind in ((4, NotFound), (0, InvalidRequest)):
        with pytest.raises(kind):
            render.rendered(archive, row, number, JPEG)
    with pytest.raises(NotFound):
        render.animation(archive, row, [1, 4], replace(JPEG, media_type="image/gif"))


@contextmanager
def _removed(store: ObjectStore, key: str) -> Iterator[Path]:
    """The path of an object that is removed as soon as somebody knows it, with the copy that a bucket's lies in."""
    with store.as_path(key) as path:
        store.delete(key)
        path.unlink(missing_ok=True)
        yield path


@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_instance_that_is_deleted_while_it_is_rendered_is_gone(archive: Archive, is_deleted: bool) -> None:
    """A file that is missing for another reason is trouble, not an answer."""
    row = kept(archive, a_multiframe(frames=3))
    if is_deleted:
        delete(replace(archive, policy=Policy(deletes=True)), ROSA, row.ref.study)
    store = Mock(wraps=archive.store, as_path=partial(_removed, archive.store))
    with pytest.raises(Gone if is_deleted else Unavailable):
        render.animation(replace(archive, store=store), row, [1, 2], replace(JPEG, media_type="image/gif"))
    with pytest.raises(Gone if is_deleted else (NotFound, Unavailable)):
        render.rendered(archive, row, 1, JPEG)


def test_what_has_no_pixels_is_no_picture(archive: Archive) -> None:
    row = kept(archive, a_sr())
    with pytest.raises(NotAcceptable):
        render.rendered(archive, row, 1, JPEG)
    with pytest.raises(NotAcceptable):
        render.animation(archive, row, [1], JPEG)


def test_the_folder_stays_within_its_bound(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path), 100_000)
    for number in range(500):
        assert cache.get_or_make("a", str(number), lambda: bytes(1000)) == bytes(1000)
        kept_bytes = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        assert min(number, 70) * 1000 <= kept_bytes <= 101_000


def test_a_folder_that_is_nearly_full_is_not_measured_with_every_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    files = archive_cache._files
    monkeypatch.setattr(archive_cache, "_files", lambda folder: looks.append(folder) or files(folder))
    cache = Cache(str(tmp_path), 200_000)
    for number in range(400):
        cache.get_or_make("a", str(number), lambda: bytes(1000))
    assert 400_000 / 200_000 < len(looks) <= 1 + SHARE * 400_000 / 200_000


@pytest.mark.parametrize("size_bytes", [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES])
def test_what_is_kept_comes_back_whole_and_is_not_made_again(tmp_path: Path, size_bytes: int) -> None:
    cache, content = Cache(str(tmp_path), 10_000_000), bytes(range(256)) * (size_bytes // 256 + 1)
    for made in (content[:size_bytes], b"made again"):
        assert cache.get_or_make("a", "b", lambda made=made: made) == content[:size_bytes]


def test_a_folder_that_was_full_before_the_start_is_brought_within_its_bound(tmp_path: Path) -> None:
    former = Cache(str(tmp_path), 10_000_000)
    for number in range(200):
        former.get_or_make("a", str(number), lambda: bytes(1000))
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    Cache(str(moved), 100_000).get_or_make("a", "one more", lambda: bytes(1000))
    assert sum(path.stat().st_size for path in moved.rglob("*") if path.is_file()) <= 75_000


def test_nothing_is_kept_of_an_instance_that_was_deleted(archive: Archive) -> None:
    row, other = kept(archive, a_ct()), kept(archive, a_ct())
    for one in (row, other):
        for request in (JPEG, PNG):
            render.rendered(archive, one, 1, request)
    folder = Path(archive.settings.cache_dir)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 4
    delete(replace(archive, policy=Policy(deletes=True)), ROSA, row.ref.study)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2
    render.forget(replace(archive, settings=replace(archive.settings, cache_dir="")), [other.ref])
    assert render.rendered(archive, other, 1, JPEG)


def test_what_cannot_be_kept_is_given_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert Cache(str(tmp_path / "file"), 100).get_or_make("a", "", lambda: b"made") == b"made"
    assert Cache("", 100).get_or_make("a", "", lambda: b"made") == b"made"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_a_video_is_read_piece_by_piece(archive: Archive) -> None:
    row = kept(archive, a_film(MPEG4, b"\0\0\0\x18ftypmp42"))
    assert video.is_video(row)
    assert video.media_type_of(archive, row) == "video/mp4"
    body = video.stream(archive, row)
    data = b"".join(body.chunks)
    assert (len(data), data[4:8]) == (body.length, b"ftyp")
    assert not video.is_video(kept(archive, a_ct()))


@pytest.mark.parametrize(
    ("start", "media_type"),
    [
        (b"\0\0\1\xba", "video/mpeg"),
        (b"\0\0\1\xb3", "video/mpeg"),
        (b"\0\0\0\1\x40\1", "video/H265"),
        ((b"\x47" + bytes(187)) * 2, "video/mp2t"),
        (b"\x47" * 2, ""),
        (b"RIFF", ""),
    ],
)
def test_a_stream_is_known_by_how_it_begins(archive: Archive, start: bytes, media_type: str) -> None:
    assert video.media_type_of(archive, kept(archive, a_film(MPEG4, start))) == media_type


@pytest.mark.parametrize(("length", "declared", "shown"), [(20, 19, 19), (20, 20, 20), (20, 7, 20), (3000, 2999, 2999)])
def test_a_document_loses_its_padding_and_nothing_else(
    archive: Archive, length: int, declared: int, shown: int
) -> None:
    row = kept(archive, a_pdf(EncapsulatedDocument=b"x" * length, EncapsulatedDocumentLength=declared))
    body = reports.document(archive, row)
    assert (body.length, b"".join(body.chunks)) == (shown, b"x" * shown)


def test_only_reports_are_reports(archive: Archive) -> None:
    assert reports.report(archive, kept(archive, a_ct())) is None
    found = reports.report(archive, kept(archive, a_sr()))
    assert found
    assert found.title == "Diagnostic imaging report"
