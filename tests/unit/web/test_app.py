"""The application under the standard library's own WSGI checker: no server is needed to run it, and any will do."""

import io
import logging
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from fixtures.builders import a_ct, part10
from fixtures.node import close_archive, make_archive
from fixtures.web import BOUNDARY, multipart_body
from relais.web.app import create_app
from relais.web.settings import WebSettings

CT = a_ct()
PATH = f"/dicom-web/studies/{CT.StudyInstanceUID}/series/{CT.SeriesInstanceUID}/instances/{CT.SOPInstanceUID}"


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    archive = make_archive(tmp_path_factory.mktemp("app"))
    yield create_app(archive, WebSettings(host="::1"), {})
    close_archive(archive)


def call(application: Any, method: str, path: str, body: bytes = b"", **environ: str) -> tuple[str, bytes]:
    """What the application answers to a server that checks every promise of PEP 3333."""
    path, _, query = path.partition("?")
    full = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
        **environ,
    }
    said: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        said.append(status)
        return lambda _: None

    chunks = validator(application)(full, start_response)
    try:
        return said, b"".join(chunks)
    finally:
        chunks.close()


def test_every_transaction_keeps_the_promises_of_wsgi(application: Any) -> None:
    content_type = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    body = multipart_body([part10(CT)])
    (status,), answer = call(application, "POST", "/dicom-web/studies", body, CONTENT_TYPE=content_type)
    assert status == "200 OK", answer
    assert b"http://[::1]:8080/dicom-web/studies/" in answer
    for path in (
        "/dicom-web/studies",
        f"{PATH}/metadata",
        PATH,
        f"{PATH}/frames/1",
        f"{PATH}/rendered",
        "/health/live",
    ):
        for method in ("GET", "HEAD", "OPTIONS"):
            (status,), answer = call(application, method, path)
            assert status == "200 OK", (method, path, answer)
            assert bool(answer) == (method == "GET")
    for path in ("/nothing", "/dicom-web/studies/1.2.3", "/dicom-web/studies?limit=x", f"{PATH}?accept=a/b"):
        (status,), _ = call(application, "GET", path)
        assert status[0] == "4"


def test_what_nobody_foresaw_is_a_500_without_a_detail(
    application: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hardening.md 10: no traceback in an answer, all of it in the log."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("relais.archive.search.search", lambda *_: 1 / 0)
    (status,), answer = call(application, "GET", "/dicom-web/studies")
    assert status.startswith("500")
    assert b"ZeroDivisionError" not in answer
    assert b"division" not in answer
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info
