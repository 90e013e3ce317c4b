"""What nobody foresaw in one instance of a Store request costs no other instance."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset
from werkzeug.test import Client, TestResponse

from fixtures.builders import a_series, part10
from fixtures.node import close_archive, kept, make_archive
from fixtures.storing import described, json_body
from fixtures.web import BOUNDARY, multipart_body
from relais.archive import Archive, ingest
from relais.dicom.refs import InstanceRef
from relais.index import lookup
from relais.web.app import create_app
from relais.web.settings import WebSettings

PROCESSING_FAILURE = 0x0110


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path)
    yield made
    close_archive(made)


def as_parts(*instances: FileDataset) -> tuple[bytes, str]:
    body = multipart_body([part10(ds) for ds in instances])
    return body, f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def as_metadata(*instances: FileDataset) -> tuple[bytes, str]:
    return json_body(*(described(ds) for ds in instances))


def post(archive: Archive, body: bytes, content_type: str) -> TestResponse:
    client = Client(create_app(archive, WebSettings(), {}))
    return client.post("/dicom-web/studies", data=body, content_type=content_type)


@pytest.mark.parametrize("form", [as_parts, as_metadata])
@pytest.mark.parametrize("count", [1, 4])
def test_what_nobody_foresaw_is_one_failed_instance(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, form: Any, count: int
) -> None:
    """hardening.md 10: 0110, all of it in the log, and nothing of it in the answer."""
    series = a_series(count)
    unlucky = series[count // 2]
    register = ingest.Receiving._register

    def failing(receiving: ingest.Receiving, facts: Any) -> Any:
        return 1 / 0 if facts.ref.sop_instance_uid == unlucky.SOPInstanceUID else register(receiving, facts)

    monkeypatch.setattr(ingest.Receiving, "_register", failing)
    with caplog.at_level(logging.ERROR):
        answer = post(archive, *form(*series))
    assert answer.status_code == (202 if count > 1 else 409)
    assert answer.json is not None
    (failed,) = answer.json["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [PROCESSING_FAILURE]
    assert failed["00081155"]["Value"] == [unlucky.SOPInstanceUID]
    assert len(answer.json.get("00081199", {}).get("Value", [])) == count - 1
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in answer.text
    for ds in series:
        ref = InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        assert (lookup.instance(archive.db, ref) is None) == (ds is unlucky)


def test_a_connection_that_is_lost_leaves_no_unfinished_upload(archive: Archive) -> None:
    """One instance whole, one half, and then an error of the server's own."""

    class Lost(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(size) or self._lose()

        def _lose(self) -> bytes:
            raise OSError("connection lost")

    body, content_type = as_parts(*a_series(2))
    client = Client(create_app(archive, WebSettings(), {}))
    environ = {"CONTENT_LENGTH": str(len(body))}
    answer = client.post(
        "/dicom-web/studies", input_stream=Lost(body[:-500]), content_type=content_type, environ_overrides=environ
    )
    assert answer.status_code == 500
    (key,) = archive.store.iterate()
    assert kept(archive) == [key]


@pytest.mark.parametrize("form", [as_parts, as_metadata])
def test_results_come_in_the_order_of_the_request(archive: Archive, form: Any) -> None:
    series = a_series(30)
    answer = post(archive, *form(*series))
    assert answer.json is not None
    told = [item["00081155"]["Value"][0] for item in answer.json["00081199"]["Value"]]
    assert told == [ds.SOPInstanceUID for ds in series]
