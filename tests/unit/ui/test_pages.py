"""The pages as a browser gets them, over a real archive."""

import io
import logging
import re
import zipfile
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from flask import Flask
from flask.testing import FlaskClient

from fixtures.builders import a_ct, part10, uid
from fixtures.node import close_archive, make_archive
from relais.access.policy import Action, Mode, Policy, Rule
from relais.access.principals import OPERATOR
from relais.archive import Archive, delete, ingest
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import StudyRef
from relais.errors import Unavailable
from relais.ui import pages
from relais.ui.facts import NodeFacts
from relais.ui.pages import install

THORAX, AXIAL, SLICE = uid("thorax"), uid("axial"), uid("slice")


def text(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.content_type == "text/html; charset=utf-8"
    return answer.text


def studies_of(html: str) -> list[str]:
    return re.findall(r'<a class="cover" href="/studies/([\d.]+)"', html)


def test_an_empty_archive_tells_how_to_send_the_first_study(client: FlaskClient) -> None:
    html = text(client, "/")
    assert "Waiting for the first study" in html
    assert "dcmsend -aec RIVEMONT +sd +r -nh 127.0.0.1 11112 FOLDER" in html
    assert "data-filters" not in html


@pytest.mark.usefixtures("studies")
def test_the_list_shows_every_study_with_its_facts(client: FlaskClient) -> None:
    html = text(client, "/")
    assert len(studies_of(html)) == 4
    assert "4 studies" in html
    assert '<span class="family">MOREL</span> Hélène' in html
    assert "12 Apr 1961 <em>62 y</em>" in html
    assert f'src="/dicom-web/studies/{THORAX}/thumbnail"' in html
    assert "5 instances" in html
    assert "3 series" in html
    assert "A20240310001" in html


@pytest.mark.usefixtures("studies")
def test_names_in_other_scripts_are_shown(client: FlaskClient) -> None:
    assert '<span class="script">山田 太郎</span><span class="script">やまだ たろう</span>' in text(client, "/")


def test_a_name_in_one_script_only_is_a_name(client: FlaskClient, archive: Archive) -> None:
    """PS3.5 6.2.1: the first component group may be empty."""
    ds = a_ct(SpecificCharacterSet="ISO_IR 192", PatientName="=山田^太郎")
    ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    for path in ("/", f"/studies/{ds.StudyInstanceUID}"):
        html = text(client, path)
        assert '<span class="script">山田 太郎</span>' in html
        assert "No name" not in html
    assert "<title>山田 太郎" in text(client, f"/studies/{ds.StudyInstanceUID}")


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    ("query", "count"),
    [("name=morel", 2), ("name=yamada", 1), ("description=genou", 1), ("accession=K1", 1), ("modality=SR", 1),
     ("modality=SR&modality=CT", 4), ("date_to=2020-12-31", 1), ("date_from=2020-12-31&name=helene", 1),
     ("patient_id=0004", 2), ("name=nobody", 0)],
)  # fmt: skip
def test_search_narrows_the_list(client: FlaskClient, query: str, count: int) -> None:
    html = text(client, f"/?{query}")
    assert len(studies_of(html)) == count
    assert "Clear all" in html


@pytest.mark.usefixtures("studies")
def test_nothing_found_says_so_and_leads_back(client: FlaskClient) -> None:
    assert "Show all studies" in text(client, "/?name=nobody")


@pytest.mark.usefixtures("studies")
def test_a_date_that_is_none_is_explained_beside_the_form(client: FlaskClient) -> None:
    html = text(client, "/?date_from=soon")
    assert 'role="alert"' in html
    assert "StudyDate" in html
    assert "data-filters" in html


@pytest.mark.usefixtures("studies")
def test_pages_of_the_list_do_not_overlap_and_keep_the_search(client: FlaskClient) -> None:
    first = text(client, "/?limit=3")
    second = text(client, "/?limit=3&offset=3")
    assert len(studies_of(first)) == 3
    assert len(studies_of(second)) == 1
    assert not set(studies_of(first)) & set(studies_of(second))
    assert 'rel="next" href="/?limit=3&amp;offset=3"' in first
    assert 'rel="prev" href="/?limit=3"' in second
    assert "There is no page this far down" in text(client, "/?offset=900")


@pytest.mark.usefixtures("studies")
def test_values_of_strangers_are_never_markup(client: FlaskClient) -> None:
    html = text(client, "/")
    assert "<script>alert" not in html
    assert "<b>MALLORY" not in html
    assert "<img src=x>" not in html
    assert "&lt;b&gt;MALLORY&lt;/b&gt;" in html
    searched = text(client, '/?name="><script>x</script>&modality="><b>')
    assert "<script>x" not in searched
    assert '"><b>' not in searched


@pytest.mark.usefixtures("studies")
def test_a_study_page_shows_its_series_and_the_patients_other_studies(client: FlaskClient) -> None:
    html = text(client, f"/studies/{THORAX}")
    assert html.count('class="series"') == 3
    assert f'data-series="{AXIAL}"' in html
    assert f'href="/studies/{uid("knee")}"' in html, "the other study of the same patient"
    assert f'href="/studies/{uid("tokyo")}"' not in html
    assert f'href="/viewer/viewer?StudyInstanceUIDs={THORAX}"' in html
    assert html.count('aria-current="true"') == 1


def test_strangers_with_the_same_id_of_another_issuer_are_no_other_studies(
    client: FlaskClient, archive: Archive
) -> None:
    """Three people have Patient ID 4711: of one issuer, of another, of none. Each has two studies."""
    studies = {issuer: (uid(f"1{issuer}"), uid(f"2{issuer}")) for issuer in ("RIVEMONT", "VALDORME", "")}
    for issuer, (first, second) in studies.items():
        for study in (first, second):
            ds = a_ct(StudyInstanceUID=study, PatientID="4711", PatientName=f"NOM^{issuer}", IssuerOfPatientID=issuer)
            ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    for first, second in studies.values():
        html = text(client, f"/studies/{first}")
        linked = set(re.findall(r'href="/studies/([\d.]+)"', html)) - {first}
        assert linked == {second}


@pytest.mark.usefixtures("studies")
def test_a_series_can_be_linked_to(client: FlaskClient) -> None:
    html = text(client, f"/studies/{THORAX}?series={AXIAL}")
    assert re.search(rf'data-series="{AXIAL}"[^>]*aria-current="true"', html)


@pytest.mark.usefixtures("studies")
def test_a_series_page_links_its_instances(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/studies/{THORAX}/series/{AXIAL}"
    html = text(client, path)
    assert html.count("CT Image ") == 3
    assert f'href="/dicom-web{path}/instances/{SLICE}/rendered?accept=image/jpeg">CT Image 1</a>' in html
    assert f'href="{path}/instances/{SLICE}">attributes</a>' in html
    monkeypatch.setattr(pages, "MAX_INSTANCES", 2)
    assert "Only the first 2 instances are listed." in text(client, path)
    text(client, f"/studies/{THORAX}/series/1.2.3", 404)


@pytest.mark.usefixtures("studies")
def test_an_instance_page_lists_all_attributes(client: FlaskClient) -> None:
    path = f"/studies/{THORAX}/series/{AXIAL}/instances/{SLICE}"
    html = text(client, path)
    assert "Patient&#39;s Name" in html
    assert "(0028,0010)" in html
    assert f"/dicom-web{path}?accept=application/dicom" in html
    panel = text(client, f"{path}?panel")
    assert "<html" not in panel
    assert "(0028,0010)" in panel


@pytest.mark.usefixtures("studies")
def test_a_study_downloads_as_a_zip_of_part_10_files(client: FlaskClient) -> None:
    answer = client.get(f"/studies/{THORAX}/download")
    assert answer.content_type == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{THORAX}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        found = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    assert len(found) == 5
    assert {ds.StudyInstanceUID for ds in found} == {THORAX}
    assert (
        len(zipfile.ZipFile(io.BytesIO(client.get(f"/studies/{THORAX}/series/{AXIAL}/download").data)).namelist()) == 3
    )


@pytest.mark.usefixtures("studies")
def test_the_node_page_tells_how_to_reach_it(client: FlaskClient) -> None:
    html = text(client, "/node")
    assert "<code>RIVEMONT</code>" in html
    assert "echoscu -aec RIVEMONT 127.0.0.1 11112" in html
    assert "Storage Commitment" in html
    assert "TOKEN" not in html
    assert "http://127.0.0.1:8080/dicom-web" in html
    assert "boundary=b" in html
    assert "<strong>8</strong>" in html.split("Instances</span>")[1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", 404),
        ("/studies/1.2.3", 404),
        ("/studies/1.2.3/series/1.2.4/instances/1.2.5", 404),
        ("/studies/1.2.3/download", 404),
        ("/studies/..%2f..%2fetc", 404),
        ("/studies/1.2.x", 400),
        ("/studies/' OR 1=1", 400),
        ("/?limit=-1", 400),
        ("/static/nothing.css", 404),
        ("/static/../pages.py", 404),
    ],
)
def test_wrong_addresses_get_a_page_with_a_sentence(client: FlaskClient, path: str, status: int) -> None:
    html = text(client, path, status)
    assert f'<p class="status">{status}</p>' in html
    assert "To the study list" in html
    assert "Traceback" not in html


@pytest.mark.usefixtures("studies")
def test_a_page_of_what_was_deleted_says_so_and_one_of_what_never_came_does_not(
    client: FlaskClient, archive: Archive
) -> None:
    delete.delete(archive, OPERATOR, StudyRef(str(THORAX)))
    assert "was in this archive and has been deleted" in text(client, f"/studies/{THORAX}", 410)
    assert "is not in this archive, or its address is not complete" in text(client, "/studies/1.2.3", 404)
    assert "There is no such page." in text(client, "/nowhere", 404)


def test_errors_of_machines_are_left_to_their_own_door(client: FlaskClient) -> None:
    for path in ("/dicom-web/nothing", "/api/x", "/metrics", "/health/x", "/wado"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "To the study list" not in answer.text


def test_what_breaks_inside_is_logged_and_not_told(
    client: FlaskClient, archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> SimpleNamespace:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(pages, "overview", broken)
    with caplog.at_level(logging.ERROR):
        html = text(client, "/", 500)
    assert "/secret/path" not in html
    assert "page failed" in caplog.text


def test_what_cannot_be_done_now_is_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> SimpleNamespace:
        raise Unavailable

    monkeypatch.setattr(pages, "overview", away)
    assert "try again later" in text(client, "/", 503)


@pytest.mark.parametrize("path", ["/", "/node", "/nowhere", "/static/relais.css", "/viewer/"])
def test_every_answer_forbids_what_it_does_not_need(client: FlaskClient, path: str) -> None:
    with client.get(path) as answer:
        headers = answer.headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ("'unsafe-eval'" in headers["Content-Security-Policy"]) == (path == "/viewer/")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.usefixtures("studies")
def test_no_page_has_a_script_or_style_of_its_own_or_asks_elsewhere(client: FlaskClient) -> None:
    for path in ("/", "/node", f"/studies/{THORAX}", "/nowhere", f"/studies/{THORAX}/series/{AXIAL}/instances/{SLICE}"):
        html = client.get(path).text
        assert not re.search(r"<style|<script(?![^>]* src=)| style=| on\w+=", html), path
        assert not re.search(r'(src|href)="(https?:)?//(?!127)', html), path


def test_mallory_sees_no_study_and_no_count_where_access_is_enforced(tmp_path: Path, facts: NodeFacts) -> None:
    archive = make_archive(tmp_path / "closed", Policy(Mode.ENFORCED))
    app = Flask("pages", static_folder=None)
    install(app, archive, facts)
    client = app.test_client()
    for path in ("/", "/node", "/?name=moreau"):
        html = text(client, path, 403)
        assert "This is not allowed" in html
        assert "RIVEMONT 127.0.0.1" not in html
    text(client, f"/studies/{THORAX}", 404)
    text(client, f"/studies/{THORAX}/download", 404)
    close_archive(archive)


def test_where_access_is_enforced_the_commands_to_copy_say_who_asks(tmp_path: Path, facts: NodeFacts) -> None:
    """Without an AE title that is a peer's, and without a token, each of them was refused."""
    rosa = Rule(frozenset({Action.SEARCH, Action.RETRIEVE}))
    archive = make_archive(tmp_path / "closed", Policy(Mode.ENFORCED, users={"rosa": rosa}))
    app = Flask("pages", static_folder=None)
    install(app, archive, facts)
    client = app.test_client()
    commands = []
    for path in ("/node", "/"):  # the list of an empty archive tells how to send a folder
        answer = client.get(path, environ_overrides={"REMOTE_USER": "rosa"})
        commands += [unescape(one) for one in re.findall(r'<code tabindex="0">(.*?)</code>', answer.text)]
    close_archive(archive)
    dcmtk = [one for one in commands if re.match("echoscu|findscu|dcmsend", one)]
    curl = [one for one in commands if "curl" in one]
    assert (len(dcmtk), len(curl)) == (4, 2)
    assert all(" -aet YOUR_AE_TITLE -aec RIVEMONT" in one for one in dcmtk)
    assert all('curl -H "Authorization: Bearer $TOKEN" ' in one for one in curl)


def test_static_files_are_kept_by_browsers_until_they_are_others(client: FlaskClient) -> None:
    href = re.search(r'href="(/static/relais.css\?v=[0-9a-f]{12})"', client.get("/").text)
    assert href
    with client.get(href[1]) as kept, client.get("/static/relais.css") as asked:
        assert "immutable" in kept.headers["Cache-Control"]
        assert asked.headers["Cache-Control"] == "no-cache"


def test_a_study_that_is_mostly_empty_is_shown_all_the_same(client: FlaskClient, archive: Archive) -> None:
    bare = dict.fromkeys(("PatientName", "PatientID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber"))
    bare |= dict.fromkeys(("Modality", "SeriesNumber", "IssuerOfPatientID", "InstanceNumber"))
    ds = a_ct(StudyInstanceUID=THORAX, **bare)
    ingest.store_part10(archive, io.BytesIO(part10(ds)), Origin(Channel.IMPORT))
    assert "No name" in text(client, "/")
    html = text(client, f"/studies/{THORAX}")
    assert "No description" in html
    assert re.search(r"<title>No name +· Rivemont</title>", html)
