"""What is kept of deleted instances goes, also of those that another node or a process that died has deleted."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from fixtures.builders import a_ct, part10
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete, forgetting, ingest, render
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.index import composite


@pytest.fixture
def a_note(archive: Archive) -> Callable[[str], None]:
    def write(text: str) -> None:
        folder = Path(archive.settings.cache_dir)
        folder.mkdir(exist_ok=True)
        (folder / "note").write_text(text)

    return write


def stored(archive: Archive) -> InstanceRef:
    return ingest.store_part10(archive, BytesIO(part10(a_ct())), Origin(Channel.IMPORT)).ref


def pictures(archive: Archive) -> int:
    return len(list(Path(archive.settings.cache_dir).glob("??/*")))


def test_pictures_of_what_another_node_deleted_are_forgotten(archive: Archive) -> None:
    gone, kept = stored(archive), stored(archive)
    for ref in (gone, kept):
        render.thumbnail(archive, OPERATOR, ref)
    assert not forgetting.forget_deleted(archive)
    assert pictures(archive) == 2
    elsewhere = replace(archive, settings=replace(archive.settings, cache_dir=""))
    delete.delete(elsewhere, OPERATOR, gone)
    assert pictures(archive) == 2
    forgetting.forget_deleted(archive)
    assert pictures(archive) == 1
    render.thumbnail(archive, OPERATOR, kept)
    assert pictures(archive) == 1


def test_it_goes_on_where_it_was_and_in_steps(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    refs = [stored(archive) for _ in range(3)]
    forgetting.forget_deleted(archive)
    for ref in refs:
        render.thumbnail(archive, OPERATOR, ref)
        archive.db.write(lambda tx, ref=ref: composite.remove(tx, ref))
    assert forgetting.forget_deleted(archive)
    assert pictures(archive) == 1
    assert not forgetting.forget_deleted(archive)
    assert pictures(archive) == 0


def test_an_index_made_anew_is_followed_from_its_end(archive: Archive, a_note: Callable[[str], None]) -> None:
    stored(archive)
    a_note("another-feed 500")
    assert not forgetting.forget_deleted(archive)
    assert not forgetting.forget_deleted(archive)
