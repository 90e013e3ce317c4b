"""The query language as a whole: what is asked is answered, refused with a sentence, or told not to have counted."""

from collections.abc import Iterator
from io import BytesIO
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary
from werkzeug.test import Client, TestResponse

from fixtures.builders import a_ct, a_sr, part10, uid
from fixtures.cast import LEFEBVRE, YAMADA
from fixtures.node import close_archive, make_archive
from relais.archive import ingest
from relais.dicom.attributes import TABLE
from relais.dicom.origin import Channel, Origin
from relais.dicomweb import params
from relais.web.app import create_app
from relais.web.settings import WebSettings

STUDY, SERIES = uid("language"), uid("language series")
PATHS = (
    "patients",
    "studies",
    "series",
    "instances",
    f"studies/{STUDY}/series",
    f"studies/{STUDY}/instances",
    f"studies/{STUDY}/series/{SERIES}/instances",
)
# By VR, a value that no instance here has.
NOWHERE = {
    **dict.fromkeys(("DA", "DT"), "18010203"),
    "TM": "040506.789",
    "UI": "1.2.3.4.5.6",
    **dict.fromkeys(("IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"), "31337"),
    "AS": "099D",
    "AT": "00091001",
}
KEYWORDS = sorted({entry[4]: entry[0][:2] for entry in DicomDictionary.values() if entry[4]}.items())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    archive = make_archive(tmp_path_factory.mktemp("language"))
    for ds in (
        a_ct(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, **YAMADA),
        a_sr(StudyInstanceUID=STUDY),
        a_ct(AccessionNumber="", **LEFEBVRE),
    ):
        ingest.store_part10(archive, BytesIO(part10(ds)), Origin(Channel.WEB))
    yield Client(create_app(archive, WebSettings(max_results=2), {}))
    close_archive(archive)


def ask(client: Client, path: str, query: str, **headers: str) -> TestResponse:
    return client.get(f"/dicom-web/{path}", query_string=query, headers=headers)


def test_every_attribute_of_the_standard_filters_or_is_told(client: Client) -> None:
    """Trap 2: asked for a value that nothing has, each finds nothing, is refused, or is named in a Warning."""
    matched = {row.keyword for row in TABLE if row.is_matched}
    for keyword, vr in [*KEYWORDS[::5], *((row.keyword, row.vr) for row in TABLE)]:
        answer = ask(client, "instances", f"{keyword}={NOWHERE.get(vr, 'NOWHERE')}")
        if answer.status_code == 400:
            assert vr in {"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN"}, keyword
            continue
        assert answer.status_code == 200, keyword
        is_told = keyword in answer.headers.get("Warning", "").partition("not matched: ")[2].split(".")[0].split(", ")
        assert is_told != (answer.json == []), keyword
        assert not (is_told and keyword in matched), keyword


def test_every_attribute_that_is_kept_may_be_included(client: Client) -> None:
    for row in TABLE:
        for name in (row.keyword, f"{row.tag:08X}", f"{row.tag:08x}"):
            answer = ask(client, "instances", f"includefield={name}")
            assert answer.status_code == 200
            assert all(f"{row.tag:08X}" in found for found in answer.json) or row.level.value == "PATIENT"
            assert "not matched" not in answer.headers.get("Warning", "")


names = st.one_of(
    st.sampled_from([row.keyword for row in TABLE]),
    st.sampled_from([f"{row.tag:08X}" for row in TABLE]),
    st.sampled_from(KEYWORDS).map(lambda found: found[0]),
    st.sampled_from(
        [*params.RESERVED, "00400275.00400009", "RequestAttributesSequence.AccessionNumber", "00091001", "x.y", ""]
    ),
    st.text(max_size=12),
)
pieces = st.sampled_from(
    [
        "*",
        "?",
        "-",
        "\\",
        ",",
        '""',
        "%",
        "=",
        "^",
        "true",
        "false",
        "all",
        "0",
        "1",
        "20240310",
        "1030",
        "1.2.840",
        "CT",
    ]
)
values = st.one_of(st.lists(pieces, max_size=5).map("".join), st.text(max_size=20), pieces)


@st.composite
def query_strings(draw: st.DrawFn) -> str:
    """Names and values, percent-encoded as they should be, more than needed, or not at all."""
    encode = draw(st.sampled_from([lambda text: quote(text, safe=""), lambda text: quote(text, safe="*,^-"), str]))
    pairs = draw(st.lists(st.tuples(names, values), max_size=5))
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


@given(st.sampled_from(PATHS), query_strings(), st.sampled_from(["*/*", "application/dicom+json", "multipart/related"]))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_is_asked_is_answered_or_refused_with_a_sentence(
    client: Client, path: str, query: str, accept: str
) -> None:
    """hardening.md 10: never a 5xx."""
    answer = ask(client, path, query, Accept=accept)
    assert answer.status_code in {200, 400, 406}, (query, answer.data)
    if answer.status_code != 200:
        assert answer.json["message"].endswith(".")
    elif answer.content_type == "application/dicom+json":
        assert len(answer.json) <= 2
        assert answer.headers["ETag"].startswith('W/"')
        assert ask(client, path, query, Accept=accept, If_None_Match=answer.headers["ETag"]).status_code in {200, 304}
