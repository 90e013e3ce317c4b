"""PS3.18 8.7: trap 3, 10, 11 and evidence of real clients, as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid

from relais.dicomweb import media_types
from relais.dicomweb.media_types import (
    DICOM,
    DICOM_JSON,
    JPEG,
    JSON,
    OCTET_STREAM,
    PNG,
    MediaRange,
    Offer,
    parse_accept,
    select,
)
from relais.errors import InvalidRequest, NotAcceptable

EXPLICIT = str(uid.ExplicitVRLittleEndian)
JPEG_LS = str(uid.JPEGLSLossless)

JSON_OFFERS = (Offer(DICOM_JSON), Offer(JSON), Offer("application/dicom+xml", is_multipart=True))
INSTANCE_OFFERS = (
    Offer(DICOM, True, EXPLICIT, is_default=True, is_stored=False),
    Offer(DICOM, True, JPEG_LS, is_default=False, is_stored=True),
    Offer(DICOM, False, EXPLICIT, is_default=True, is_stored=False),
    Offer(DICOM, False, JPEG_LS, is_default=False, is_stored=True),
)


def chosen(accept: str, offers: tuple[Offer, ...] = JSON_OFFERS) -> Offer:
    return select(parse_accept(accept), offers)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", DICOM_JSON),
        ("*/*", DICOM_JSON),
        ("*", DICOM_JSON),
        ("application/*", DICOM_JSON),
        ("APPLICATION/DICOM+JSON", DICOM_JSON),
        ("application/json", JSON),
        ("application/json;q=0.9, application/dicom+json;q=0.1", JSON),
        ("application/dicom+json;q=0, */*", JSON),
        ("application/*;q=0.2, application/json", JSON),
        ("text/html, image/gif, */*; q=.2", DICOM_JSON),
        ("application/dicom+json; charset=utf-8", DICOM_JSON),
        (",, application/json ,", JSON),
        ('multipart/related; type="application/dicom+xml"', "application/dicom+xml"),
        ("multipart/related; TYPE=Application/DICOM+XML", "application/dicom+xml"),
        ("multipart/*", "application/dicom+xml"),
        ("multipart/related", "application/dicom+xml"),
    ],
)
def test_the_best_acceptable_representation_is_selected(accept: str, media_type: str) -> None:
    """Trap 3."""
    assert chosen(accept).media_type == media_type


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/*",
        "application/dicom+json;q=0",
        "*/*;q=0",
        'multipart/related; type="application/dicom"',
        "application/dicom+xml",
        "multipart/form-data",
        "*/*;q=0.5, application/*;q=0, multipart/*;q=0",
    ],
)
def test_what_cannot_be_made_is_not_acceptable(accept: str) -> None:
    """Trap 3: 406."""
    with pytest.raises(NotAcceptable):
        chosen(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "application",
        "application/",
        "/json",
        "a b/c",
        "*/json",
        "application/json;q=2",
        "application/json;q=-1",
        "application/json;q=nan",
        "application/json;q=high",
        'multipart/related; type="application/dicom',
        "multipart/related; type=; boundary",
        'multipart/related; type="application/dicom"; transfer-syntax=best',
        "application/json, " * 2000,
    ],
)
def test_what_cannot_be_parsed_is_an_invalid_request(accept: str) -> None:
    """Trap 3: 400."""
    with pytest.raises(InvalidRequest):
        parse_accept(accept)


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related; transfer-syntax="*"; type="application/dicom"',
        'multipart/related; type="application/dicom; transfer-syntax=*"',
        'multipart/related;type="application/dicom";boundary=x;transfer-syntax=1.2.840.10008.1.2.4.80',
        f"{DICOM}; transfer-syntax={JPEG_LS}",
    ],
)
def test_a_transfer_syntax_is_understood_wherever_clients_put_it(accept: str) -> None:
    """Trap 11, clients.md 2."""
    assert chosen(accept, INSTANCE_OFFERS).transfer_syntax_uid == JPEG_LS


@pytest.mark.parametrize("accept", ["", "*/*", 'multipart/related; type="application/dicom"', DICOM])
def test_no_transfer_syntax_means_the_default_one(accept: str) -> None:
    """Trap 10."""
    assert chosen(accept, INSTANCE_OFFERS).transfer_syntax_uid == EXPLICIT


def test_single_part_is_made_only_when_it_is_asked_for() -> None:
    assert chosen("*/*", INSTANCE_OFFERS).is_multipart
    assert not chosen(DICOM, INSTANCE_OFFERS).is_multipart


def test_a_wild_card_inside_type_covers_its_images() -> None:
    offers = (Offer(OCTET_STREAM, True), Offer("image/jls", True))
    assert chosen('multipart/related; type="image/*"', offers).media_type == "image/jls"


def test_the_query_parameter_wins_over_the_header_field() -> None:
    """PS3.18 8.7.8.1; trap 3, clients.md: OHIF's thumbnails."""
    header = 'multipart/related; type="application/octet-stream"'
    by_header = MediaRange(OCTET_STREAM, is_multipart=True)
    assert media_types.acceptable(header, "image/jpeg") == (MediaRange("image/jpeg", is_by_query=True), by_header)
    assert media_types.acceptable(header, " ") == (by_header,)
    assert media_types.acceptable("", "image/jpeg") == (MediaRange("image/jpeg", is_by_query=True),)
    assert media_types.acceptable("no/media/range", "image/jpeg") == (MediaRange("image/jpeg", is_by_query=True),)


@pytest.mark.parametrize(
    ("header", "query", "selected"),
    [
        ("image/png", "image/jpeg;q=0.1", JPEG),
        ("image/png", "image/tiff", PNG),
        ("*/*", "image/tiff", JPEG),
        ("*/*", "image/tiff, image/jpeg;q=0", PNG),
        ("image/jpeg;q=0.2, image/png", "image/*", JPEG),
    ],
)
def test_the_header_field_decides_where_nothing_in_the_query_parameter_can_be_made(
    header: str, query: str, selected: str
) -> None:
    """PS3.18 8.7.8.1, steps 2 to 4."""
    offers = (Offer(JPEG), Offer(PNG))
    assert media_types.select(media_types.acceptable(header, query), offers).media_type == selected


def test_nothing_in_the_query_parameter_and_no_header_field_is_not_acceptable() -> None:
    """PS3.18 8.7.8.1, step 5."""
    with pytest.raises(NotAcceptable):
        media_types.select(media_types.acceptable("", "image/tiff"), (Offer(JPEG),))


@pytest.mark.parametrize("query", ["application/dicom, image/jpeg", "text/html, application/dicom+json"])
def test_dicom_and_what_it_is_rendered_into_do_not_go_together_in_the_query_parameter(query: str) -> None:
    """PS3.18 8.3.3.1"""
    with pytest.raises(InvalidRequest):
        media_types.acceptable("*/*", query)


def test_members_that_cannot_be_parsed_are_ignored_beside_others() -> None:
    """PS3.18 8.7.7"""
    assert parse_accept("nonsense, application/json;q=0.5, */json, text/html;q=7") == parse_accept(
        "application/json;q=0.5"
    )


def test_the_character_set_of_a_media_type_is_kept() -> None:
    """PS3.18 8.8.1"""
    assert [one.character_set for one in parse_accept('text/plain; Charset="ISO-8859-1", text/html')] == [
        "ISO-8859-1",
        "",
    ]


def test_a_content_type_is_parsed_with_its_quoted_boundary() -> None:
    found = media_types.parse_media_type('Multipart/Related; type="application/dicom"; Boundary="a;b,c=\\"d\\""')
    assert found.essence == "multipart/related"
    assert dict(found.parameters) == {"type": "application/dicom", "boundary": 'a;b,c="d"'}


@pytest.mark.parametrize("text", ["", "a/b, c/d", "nonsense", 'a/b; c="d', "a/b; c"])
def test_a_content_type_that_is_none_is_an_invalid_request(text: str) -> None:
    with pytest.raises(InvalidRequest):
        media_types.parse_media_type(text)


def test_type_is_always_quoted_when_written() -> None:
    """Trap 11."""
    text = media_types.format_media_type("multipart/related", {"type": DICOM, "boundary": "abc", "start": 'a"b'})
    assert text == 'multipart/related; type="application/dicom"; boundary=abc; start="a\\"b"'


@given(st.dictionaries(st.sampled_from(["type", "boundary", "x"]), st.text(st.characters(codec="ascii"), min_size=1)))
def test_parameters_survive_writing_and_parsing(parameters: dict[str, str]) -> None:
    text = media_types.format_media_type("multipart/related", parameters)
    assert dict(media_types.parse_media_type(text).parameters) == parameters


@given(st.text(max_size=200))
def test_no_accept_value_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        ranges = parse_accept(text)
    except InvalidRequest:
        return
    assert all(0 <= media_range.quality <= 1 for media_range in ranges)


def test_every_transfer_syntax_of_frames_has_a_media_type() -> None:
    """PS3.18 table 8.7.3-5."""
    assert media_types.frame_media_type(JPEG_LS) == "image/jls"
    assert media_types.frame_media_type(uid.RLELossless) == "image/dicom-rle"
    assert media_types.frame_media_type(uid.HTJ2K) == "image/jphc"
    assert media_types.frame_media_type(EXPLICIT) == OCTET_STREAM
