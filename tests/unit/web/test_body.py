"""Bodies of requests under every kind of WSGI server."""

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from flask import Flask

from relais.errors import InvalidRequest, NodeError, TooLarge, UnsupportedMedia
from relais.web import body
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
        (b"abcd", {"CONTENT_LENGTH": "4", "HTTP_CONTENT_ENCODING": "br"}, UnsupportedMedia),
        (b"abcd", {"CONTENT_LENGTH": "4", "HTTP_CONTENT_ENCODING": "gzip, gzip"}, UnsupportedMedia),
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
    environ = {"wsgi.input": stream, "CONTENT_LENGTH": "100", "HTTP_EXPECT": "100-continue"}
    with app.test_request_context("/", method="POST", environ_overrides=environ):
        Body(10).drain(200)
    assert len(stream.read()) == 100
    stream = io.BytesIO(b"x" * 100)
    environ = {"wsgi.input": stream, "wsgi.input_terminated": True}
    with app.test_request_context("/", method="POST", environ_overrides=environ):
        Body(10).drain(60)
    assert len(stream.read()) == 40


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("zstd", zstandard.compress),
    ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
    ("zstd", lambda data: zstandard.compress(data[:7]) + zstandard.compress(data[7:])),
]


def read_packed(sent: bytes, encoding: str, max_bytes: int = 10_000_000) -> bytes:
    return read(sent, max_bytes, CONTENT_LENGTH=str(len(sent)), HTTP_CONTENT_ENCODING=encoding)


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
@pytest.mark.parametrize("content", [b"x", b"abc" * 1000, bytes(5_000_000)])
def test_a_compressed_body_is_opened(encoding: str, pack: Callable[[bytes], bytes], content: bytes) -> None:
    assert read_packed(pack(content), encoding) == content


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_a_compressed_body_that_is_cut_short_or_damaged_is_refused(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b"abc" * 1000)
    for sent in (packed[:-1], packed[: len(packed) // 2], b"nonsense", packed + b"nonsense"):
        with pytest.raises(InvalidRequest):
            read_packed(sent, encoding)


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_a_body_counts_by_what_it_opens_to(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """hardening.md 5."""
    with pytest.raises(TooLarge, match="at most 1000 bytes"):
        read_packed(pack(bytes(1_000_000)), encoding, 1000)


def test_a_bomb_is_refused_long_before_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardening.md 5."""
    monkeypatch.setattr(body, "FREE_BYTES", 100_000)
    assert len(read_packed(gzip.compress(bytes(100_000)), "gzip")) == 100_000
    for encoding, pack in PACKED:
        with pytest.raises(TooLarge, match="more than 100 times"):
            read_packed(pack(bytes(9_000_000)), encoding)


@pytest.mark.parametrize(("encoding", "pack"), PACKED)
def test_a_compressed_body_opens_in_small_pieces(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """hardening.md 5."""
    sent = pack(bytes(60_000_000))
    app, environ = Flask("test"), {"wsgi.input": io.BytesIO(sent), "CONTENT_LENGTH": str(len(sent))}
    environ["HTTP_CONTENT_ENCODING"] = encoding
    with app.test_request_context("/", method="POST", environ_overrides=environ):
        assert max(map(len, Body(10**9).chunks())) <= 17 * 1024**2
