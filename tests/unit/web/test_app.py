"""The application under the standard library's own WSGI checker: no server is needed to run it, and any will do."""

import gzip
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from fixtures.builders import a_ct, a_series, part10
from fixtures.node import close_archive, make_archive
from fixtures.real_files import real_files
from fixtures.waiting import eventually
from fixtures.web import BOUNDARY, multipart_body
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete
from relais.dicom.refs import StudyRef
from relais.web.app import create_app
from relais.web.settings import WebSettings

CT = a_ct()
PATH = f"/dicom-web/studies/{CT.StudyInstanceUID}/series/{CT.SeriesInstanceUID}/instances/{CT.SOPInstanceUID}"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    made = make_archive(tmp_path_factory.mktemp("app"))
    yield made
    close_archive(made)


@pytest.fixture(scope="module")
def application(archive: Archive) -> Any:
    return create_app(archive, WebSettings(host="::1"), {})


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
        "HTTP_HOST": "localhost",
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
            is_described = method == "OPTIONS" and path.startswith("/dicom-web/")
            assert bool(answer) == (method == "GET" or is_described)
    for path in ("/nothing", "/dicom-web/studies/1.2.3", "/dicom-web/studies?limit=x", f"{PATH}?accept=a/b"):
        (status,), _ = call(application, "GET", path)
        assert status[0] == "4"


def test_under_another_public_url_nothing_is_what_it_was(archive: Archive) -> None:
    """RFC 9110 8.8.1: metadata and searches have absolute URLs in them."""
    ds = a_ct()
    call(
        create_app(archive, WebSettings(), {}),
        "POST",
        "/dicom-web/studies",
        part10(ds),
        CONTENT_TYPE="application/dicom",
    )
    north, south = (
        create_app(archive, WebSettings(), {}, public_url=url).test_client()
        for url in ("http://north.example.org", "https://south.example.org")
    )
    for path in (f"/dicom-web/studies/{ds.StudyInstanceUID}/metadata", "/dicom-web/studies"):
        known = {"If-None-Match": north.get(path).headers["ETag"]}
        assert (north.get(path, headers=known).status_code, south.get(path, headers=known).status_code) == (304, 200)


def test_metadata_that_is_kept_is_as_fresh_and_as_audited_as_any(application: Any, archive: Archive) -> None:
    """Evidence 13 and 16; rule 5: every release is written down."""
    series = a_series(3)
    study = series[0].StudyInstanceUID
    asked = f"/dicom-web/studies/{study}/metadata"

    def store(ds: Dataset) -> None:
        call(application, "POST", "/dicom-web/studies", part10(ds), CONTENT_TYPE="application/dicom")

    def documents(**environ: str) -> int:
        _, answer = call(application, "GET", asked, **environ)
        return len(orjson.loads(gzip.decompress(answer) if environ else answer))

    store(series[0])
    store(series[1])
    assert [documents(), documents(), documents(HTTP_ACCEPT_ENCODING="gzip")] == [2, 2, 2]
    store(series[2])
    assert [documents(), documents(HTTP_ACCEPT_ENCODING="gzip"), documents(HTTP_ACCEPT_ENCODING="gzip")] == [3, 3, 3]
    delete.delete(
        archive, OPERATOR, StudyRef(study).series(series[0].SeriesInstanceUID).instance(series[1].SOPInstanceUID)
    )
    assert [documents(), documents()] == [2, 2]
    assert call(application, "GET", asked, HTTP_ACCEPT="text/html")[0] == ["406 NOT ACCEPTABLE"]
    assert eventually(lambda: releases_of(archive, study) >= 8)  # reads are audited soon, not at once
    assert releases_of(archive, study) == 8


def releases_of(archive: Archive, study: str) -> int:
    """How many releases of *study* the audit trail holds."""
    text = "SELECT count(*) FROM audit WHERE action = 'retrieve' AND study_instance_uid = ?"
    with archive.db.read() as connection:
        return int(connection.execute(text, (study,)).fetchone()[0])


MUTATED = [file.path.read_bytes() for file in real_files() if file.path.stat().st_size < 50_000]
mutation = st.tuples(st.integers(0, 50_000), st.integers(0, 3), st.binary(min_size=1, max_size=4))


def mutate(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """*content* with bytes replaced, taken out or put in, or cut off."""
    mutated = bytearray(content)
    for place, kind, text in changes:
        at = 132 + place % max(len(mutated) - 132, 1)
        mutated[at:] = (text + mutated[at + len(text) :], mutated[at + len(text) :], text + mutated[at:], b"")[kind]
    return bytes(mutated)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.sampled_from(MUTATED), st.lists(mutation, max_size=8))
@example(part10(a_ct()).replace(b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.\xff\xff008.5.1.4.1.1.2", 1), [])
def test_no_file_makes_anything_answer_with_a_500(
    application: Any, caplog: pytest.LogCaptureFixture, content: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    """hardening.md 10."""
    sent = mutate(content, changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about what is odd
        (status,), answer = call(application, "POST", "/dicom-web/studies", sent, CONTENT_TYPE="application/dicom")
        assert status[:3] in {"200", "409"}, caplog.text
        if status.startswith("200"):
            url = orjson.loads(answer)["00081199"]["Value"][0]["00081190"]["Value"][0]
            path = url.removeprefix("http://[::1]:8080")
            for resource in ("/metadata", "/frames/1", "/bulkdata/7FE00010", ""):
                (status,), _ = call(application, "GET", path + resource)
                assert status[:3] in {"200", "400", "404", "406", "413", "503"}, caplog.text
        (status,), _ = call(application, "GET", "/dicom-web/instances?includefield=all&limit=5")
        assert status.startswith("200"), caplog.text


def test_what_nobody_foresaw_is_a_500_without_a_detail(
    application: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hardening.md 10: no traceback in an answer, all of it in the log."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("relais.archive.search.found", lambda *_: 1 / 0)
    (status,), answer = call(application, "GET", "/dicom-web/studies?PatientID=unforeseen")
    assert status.startswith("500")
    assert b"ZeroDivisionError" not in answer
    assert b"division" not in answer
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info
