"""archive.export, wherever the objects lie."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.builders import a_series, part10
from fixtures.node import close_archive, content_of, lose, make_archive, spoil
from relais.access.principals import OPERATOR
from relais.archive import Archive, export, ingest
from relais.dicom.origin import Channel, Origin


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path / "north")
    yield made
    close_archive(made)


@pytest.mark.parametrize("largest", [0, 10**6])
def test_what_cannot_be_had_keeps_nothing_behind_it_from_being_read(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """Small ones are read ahead from a store that is far away; large ones are compared before they are given away."""
    monkeypatch.setattr(export, "WHOLE_BYTES", largest)
    for ds in a_series(20):
        stored = ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    named = list(export.study_files(archive, OPERATOR, stored.ref.study))
    damaged, missing = named[3][1], named[11][1]
    spoil(archive, damaged.key)
    lose(archive, missing.key)
    done = export.Exported()
    read = {row.key: b"".join(chunks) for _, row, chunks in export.readable(archive, named, done)}
    assert (done.damaged, done.missing) == ([damaged.key], [missing.key])
    assert read == {row.key: content_of(archive, row.key) for _, row in named if row not in (damaged, missing)}
