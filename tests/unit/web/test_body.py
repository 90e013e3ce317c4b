"""Bodies of requests under every kind of WSGI server."""

import io
from typing import Any

import pytest
from flask import Flask

from relais.errors import InvalidRequest, NodeError, TooLarge, UnsupportedMedia
from relais.web.body import Body


def read(sent: bytes, max_bytes: int = 1000, headers: dict[str, str] | None = None, **environ: Any) -> bytes:
    app = Flask("test")
    environ = {"wsgi.input": io.BytesIO(sent), **environ}
    with app.test_request_context("/", method="POST", headers=headers, environ_overrides=environ):
        return b"".join(Body(max_bytes).chunks())


def test_a_body_with_content_length_is_read_to_that_length_and_no_further() -> None:
    assert read(b"abcdef", CONTENT_LENGTH="4") == b"abcd"
    assert read(b"abcdef", CONTENT_LENGTH="0") == b""


def test_a_body_without_content_length_is_read_where_the_server_ends_it() -> None:
    assert read(b"abcdef", **{"wsgi.input_terminated": True}) == b"abcdef"
    assert read(b"abcdef") == b""


@pytest.mark.parametrize(
    ("sent", "environ", "error"),
    [
        (b"abc", {"CONTENT_LENGTH": "4"}, InvalidRequest),
        (b"", {"CONTENT_LENGTH": "4"}, InvalidRequest),
        (b"", {"CONTENT_LENGTH": "1001"}, TooLarge),
        (b"x" * 1001, {"wsgi.input_terminated": True}, TooLarge),
        (b"abcd", {"CONTENT_LENGTH": "4", "HTTP_CONTENT_ENCODING": "gzip"}, UnsupportedMedia),
    ],
)
def test_what_is_not_to_be_taken_is_refused(sent: bytes, environ: dict[str, Any], error: type[NodeError]) -> None:
    with pytest.raises(error):
        read(sent, **environ)


def test_a_refused_body_is_drained_unless_it_is_known_to_be_too_much() -> None:
    app = Flask("test")
    for size, limit, left in ((100, 200, 0), (100, 50, 100)):
        stream = io.BytesIO(b"x" * size)
        environ = {"wsgi.input": stream, "CONTENT_LENGTH": str(size)}
        with app.test_request_context("/", method="POST", environ_overrides=environ):
            Body(10).drain(limit)
        assert len(stream.read()) == left
    stream = io.BytesIO(b"x" * 100)
    environ = {"wsgi.input": stream, "wsgi.input_terminated": True}
    with app.test_request_context("/", method="POST", environ_overrides=environ):
        Body(10).drain(60)
    assert len(stream.read()) == 40
