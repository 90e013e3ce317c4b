"""/viewer/ over a folder that stands in for the build."""

from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from relais.archive import Archive
from relais.ui.facts import NodeFacts
from relais.ui.pages import install

BUNDLE = "/viewer/app.bundle.0f6159c501addfe9.js"


@pytest.mark.parametrize("path", ["/viewer/", "/viewer/viewer?StudyInstanceUIDs=1.2.3", "/viewer/tmtv/deep/address"])
def test_every_address_below_is_the_viewers_page(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert f'src="{BUNDLE}"' in answer.text
    assert "script-src 'self' 'unsafe-eval' blob:;" in answer.headers["Content-Security-Policy"]


def test_the_address_without_a_slash_leads_there(client: FlaskClient) -> None:
    assert client.get("/viewer").headers["Location"] == "/viewer/"


def test_files_have_the_types_that_browsers_insist_on(client: FlaskClient) -> None:
    with client.get("/viewer/5130ccb17e3f3f5b.wasm") as decoder, client.get(BUNDLE) as script:
        assert decoder.content_type == "application/wasm"
    assert script.content_type.startswith("text/javascript")
    assert "immutable" in script.headers["Cache-Control"]
    assert "Content-Encoding" not in script.headers


def test_a_browser_that_takes_gzip_gets_it(client: FlaskClient) -> None:
    with client.get(BUNDLE, headers={"Accept-Encoding": "gzip, br"}) as answer:
        assert (answer.headers["Content-Encoding"], answer.data) == ("gzip", b"squeezed")
    assert answer.content_type.startswith("text/javascript")
    assert "Accept-Encoding" in answer.headers["Vary"]
    with client.get(BUNDLE, headers={"Accept-Encoding": "gzip;q=0"}) as plain:
        assert plain.data == b"start()"


def test_its_configuration_is_ours(client: FlaskClient) -> None:
    with client.get("/viewer/app-config.js") as answer:
        assert answer.content_type.startswith("text/javascript")
        assert 'routerBasename: "/viewer"' in answer.text
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    ["/viewer/nothing.js", "/viewer/../VERSION.js", "/viewer/%2e%2e/x.js", "/viewer//etc/x.js", "/viewer/%00.js"],
)
def test_nothing_outside_its_folder_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_without_a_viewer_the_pages_do_without(archive: Archive, facts: NodeFacts, tmp_path: Path) -> None:
    app = Flask("pages", static_folder=None)
    install(app, archive, replace(facts, viewer_dir=tmp_path / "nothing"))
    client = app.test_client()
    assert "make run" in client.get("/viewer/").text
    assert client.get("/viewer/").status_code == 404
    assert "OHIF viewer</a>" not in client.get("/").text
    assert "not installed" in client.get("/node").text
