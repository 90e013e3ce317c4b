"""Answers as bytes."""

import json
from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from relais.errors import Unavailable
from relais.web import payload
from relais.web.payload import Single

app = Flask("test")


def single(content: bytes, pieces: int, method: str = "GET", **headers: str) -> tuple[int, bytes, str]:
    chunks = [content[n : n + pieces] for n in range(0, len(content), pieces)]
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    with app.test_request_context("/", method=method, headers=fields):
        response = payload.single(Single("a/b", len(content), chunks, etag="tag"))
        response.direct_passthrough = False
        return response.status_code, response.get_data(), response.headers.get("Content-Range", "")


@given(st.binary(min_size=1, max_size=50), st.integers(1, 10), st.integers(0, 60), st.integers(0, 60))
def test_any_range_over_any_chunks_is_that_slice(content: bytes, pieces: int, first: int, last: int) -> None:
    """RFC 9110 14.1.2"""
    status, body, content_range = single(content, pieces, Range=f"bytes={first}-{last}")
    if first > last:
        assert (status, body) == (200, content)
    elif first >= len(content):
        assert (status, content_range) == (416, f"bytes */{len(content)}")
    else:
        end = min(last, len(content) - 1)
        assert (status, body) == (206, content[first : end + 1])
        assert content_range == f"bytes {first}-{end}/{len(content)}"


@given(st.binary(min_size=1, max_size=50), st.integers(1, 60))
def test_the_last_bytes_are_all_there_are_where_more_are_asked_for(content: bytes, length: int) -> None:
    """RFC 9110 14.1.2"""
    first = max(len(content) - length, 0)
    expected = (206, content[first:], f"bytes {first}-{len(content) - 1}/{len(content)}")
    assert single(content, 7, Range=f"bytes=-{length}") == expected


def test_a_range_means_nothing_but_with_get() -> None:
    """RFC 9110 14.2"""
    assert single(b"abc", 1, "HEAD", Range="bytes=1-")[0] == 200
    assert single(b"abc", 1, "HEAD", Range="bytes=9-")[0] == 200


def test_a_range_is_heeded_only_while_the_validator_is_the_same() -> None:
    assert single(b"abc", 1, Range="bytes=1-", If_Range='"tag"')[0] == 206
    assert single(b"abc", 1, Range="bytes=1-", If_Range='"other"')[0] == 200
    assert single(b"abc", 1, If_None_Match='"tag"')[0] == 304


@given(st.lists(st.integers(0, 200_000), max_size=5))
def test_documents_are_joined_into_one_array(sizes: list[int]) -> None:
    documents = [json.dumps("x" * size).encode() for size in sizes]
    assert json.loads(b"".join(payload.json_array(documents))) == ["x" * size for size in sizes]


def test_an_array_that_breaks_off_is_no_json() -> None:
    def documents(count: int) -> Iterator[bytes]:
        yield from [json.dumps("x" * 100_000).encode()] * count
        raise Unavailable

    for count in (0, 1, 5):
        sent = []
        with pytest.raises(Unavailable):
            sent.extend(payload.json_array(documents(count)))
        with pytest.raises(json.JSONDecodeError):
            json.loads(b"".join(sent))


def test_json_holds_numbers_and_texts_that_others_stumble_over() -> None:
    with app.test_request_context("/"):
        for value in (2**70, -(2**63) - 1, 1.5, "é", None):
            assert json.loads(payload.json_document([value]).get_data()) == [value]
        assert payload.json_document(["a\ud800"]).get_data() == b'["a?"]'


@pytest.mark.parametrize("sentence", ['with "quotes"', "back\\slash", "line\nbreak", "été"])
def test_a_warning_is_always_one_plain_header_field(sentence: str) -> None:
    with app.test_request_context("/"):
        response = payload.add_warning(payload.json_document([]), sentence, "Second.")
        warning = response.headers["Warning"]
        assert warning.startswith('299 relais "')
        assert warning.endswith('", 299 relais "Second."')
        assert warning.isascii()
        assert warning.count('"') == 4
