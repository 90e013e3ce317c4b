"""The pages over an archive in a temporary folder, with a viewer of three small files."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fixtures.builders import a_ct, a_pdf, a_sr, part10, uid
from fixtures.cast import YAMADA
from fixtures.node import close_archive, make_archive
from relais.archive import Archive, ingest
from relais.dicom.origin import Channel, Origin
from relais.ui import viewer
from relais.ui.facts import NodeFacts
from relais.ui.pages import install


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path / "node")
    yield made
    close_archive(made)


@pytest.fixture
def facts(tmp_path: Path) -> NodeFacts:
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "VERSION").write_text(viewer.VERSION)
    (folder / "app.bundle.0f6159c501addfe9.js").write_text("start()")
    (folder / "app.bundle.0f6159c501addfe9.js.gz").write_bytes(b"squeezed")
    (folder / "5130ccb17e3f3f5b.wasm").write_bytes(b"\0asm")
    return NodeFacts("Rivemont", "RIVEMONT", "127.0.0.1", 11112, "http://127.0.0.1:8080", viewer_dir=folder)


@pytest.fixture
def client(archive: Archive, facts: NodeFacts) -> FlaskClient:
    app = Flask("pages", static_folder=None)
    install(app, archive, facts)
    return app.test_client()


@pytest.fixture
def studies(archive: Archive) -> None:
    """Two studies of one patient, one of another whose values try to be HTML, one with a Japanese name."""
    knee, thorax = uid("knee"), uid("thorax")
    made = [a_ct(StudyInstanceUID=thorax, SeriesInstanceUID=uid("axial"), InstanceNumber=n) for n in (1, 2, 3)]
    made[0].SOPInstanceUID = made[0].file_meta.MediaStorageSOPInstanceUID = uid("slice")
    made += [
        a_sr(StudyInstanceUID=thorax),
        a_pdf(StudyInstanceUID=thorax),
        a_ct(StudyInstanceUID=knee, StudyDescription="Genou", StudyDate="20200101", AccessionNumber="K1"),
        a_ct(
            PatientName="<b>MALLORY</b>^<script>alert(1)</script>", PatientID='"><img src=x>', StudyDescription="<i>x"
        ),
        a_ct(StudyInstanceUID=uid("tokyo"), **YAMADA),
    ]
    for ds in made:
        ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
