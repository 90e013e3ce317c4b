"""Many images in one answer, some of which cannot be made."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.uid import JPEG2000Lossless

from fixtures.builders import a_ct, part10, uid
from fixtures.node import close_archive, make_archive
from relais.archive import Archive, ingest
from relais.dicom.origin import Channel, Origin
from relais.web import pictures
from relais.web.app import create_app
from relais.web.settings import WebSettings

STUDY = uid("small and large")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    archive = make_archive(tmp_path)
    large = a_ct(StudyInstanceUID=STUDY, SeriesNumber=1, transfer_syntax=JPEG2000Lossless, Rows=9000, Columns=8000)
    for ds in (large, a_ct(StudyInstanceUID=STUDY, SeriesNumber=2)):
        ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    yield archive
    close_archive(archive)


@pytest.mark.parametrize(("most_lost_s", "status"), [(pictures.MOST_LOST_S, 200), (0.0, 413)])
def test_pictures_that_cannot_be_made_take_no_more_time_than_that(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, most_lost_s: float, status: int
) -> None:
    monkeypatch.setattr(pictures, "MOST_LOST_S", most_lost_s)
    client = create_app(archive, WebSettings(), {}).test_client()
    accept = {"Accept": 'multipart/related; type="image/png"'}
    assert client.get(f"/dicom-web/studies/{STUDY}/rendered", headers=accept).status_code == status
