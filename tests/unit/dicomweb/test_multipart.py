"""RFC 2046 5.1 as trap 15 demands it: any split of the bytes, look-alikes, and nothing half-taken."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relais.dicomweb import multipart
from relais.dicomweb.media_types import MediaType, parse_media_type
from relais.dicomweb.multipart import Part, PartBegins, PartData, PartEnds, Reader, Writer
from relais.errors import InvalidRequest, TooLarge

BOUNDARY = "b0"

Parts = list[tuple[dict[str, str], bytes]]


def read(body: bytes, cuts: list[int] | None = None, boundary: str = BOUNDARY) -> Parts:
    """The parts of *body*, fed in pieces that end at *cuts*."""
    reader = Reader(boundary)
    parts: Parts = []
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts or ()), len(body)]
    pieces = [body[start:stop] for start, stop in pairwise(edges)]
    for events in (*(reader.feed(piece) for piece in pieces), reader.close()):
        for event in events:
            match event:
                case PartBegins(headers):
                    parts.append((dict(headers), b""))
                case PartData(data):
                    assert data
                    parts[-1] = (parts[-1][0], parts[-1][1] + data)
                case PartEnds():
                    pass
    return parts


def contents(body: bytes) -> list[bytes]:
    return [content for _, content in read(body, list(range(len(body))))]


# Pieces that look like a boundary, or nearly so.
LOOK_ALIKES = (
    b"\r\n--b0x",
    b"--b0\r\n",
    b"--b0--",
    b"\r\n--b",
    b"\r\n--b0",
    b"\r\n--b0-",
    b"\r\n--b0--x",
    b"\n--b0\r\n",
    b"\r\r\n--b1\r\n",
    b"\r\n--b0 \t x",
    b"\r",
    b"\r\n",
    b"-",
    b"",
)
look_alike = st.lists(st.one_of(st.sampled_from(LOOK_ALIKES), st.binary(max_size=8)), max_size=8).map(b"".join)


def is_harmless(content: bytes) -> bool:
    """Whether no line of *content*, or what its own line end makes of the last one, is a boundary."""
    return re.search(rb"\r\n--b0(--)?[ \t]*\r\n", content + b"\r\n") is None


@given(st.lists(look_alike.filter(is_harmless), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=40))
@example([b"--b0\r\n"], [])
@example([b""], [])
@example([b"\r\n"], list(range(60)))
def test_any_split_of_the_bytes_gives_the_same_parts(sent: list[bytes], cuts: list[int]) -> None:
    """Trap 15; evidence: payloads that begin with the boundary, empty parts, tiny reads."""
    body = b"".join(b"--b0\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n" for content in sent)
    body += b"--b0--\r\n"
    assert read(body, cuts) == [({"content-type": "application/dicom"}, content) for content in sent]
    assert read(body, list(range(len(body)))) == read(body)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20))
def test_no_body_does_anything_but_be_read_or_refused(body: bytes, cuts: list[int]) -> None:
    for start in (b"", b"--b0\r\n\r\n"):
        try:
            read(start + body, cuts)
        except InvalidRequest:
            continue


@given(st.lists(look_alike, max_size=4), st.lists(st.integers(0, 10_000), max_size=20))
def test_what_the_writer_wrote_the_reader_reads(sent: list[bytes], cuts: list[int]) -> None:
    writer = Writer("application/dicom")
    parts = [Part((("Content-Type", "a/b"), ("Content-Location", "http://x/")), [c], len(c)) for c in sent]
    body = b"".join(writer.chunks(parts))
    assert len(body) == writer.content_length(parts)
    boundary = multipart.boundary_of(parse_media_type(writer.content_type))
    told = {"content-type": "a/b", "content-location": "http://x/"}
    assert read(body, cuts, boundary) == [({**told, "content-length": str(len(c))}, c) for c in sent]


def test_a_body_of_unknown_size_has_no_content_length() -> None:
    assert Writer("a/b").content_length([Part((), [b""], 0), Part((), [b""])]) is None


def test_every_boundary_is_fresh() -> None:
    assert Writer("a/b").boundary != Writer("a/b").boundary
    assert len(Writer("a/b").boundary) == 32


def test_preamble_and_epilogue_are_passed_over() -> None:
    assert contents(b"preamble\r\n--b0x\r\n--b0\r\n\r\nA\r\n--b0--\r\nepilogue\r\n--b0\r\n\r\nB") == [b"A"]


@pytest.mark.parametrize("end", [b"--b0--", b"--b0--\r\n", b"--b0-- \t\r\n", b"--b0--  ", b"--b0--\r\n--b0\r\n"])
def test_the_last_boundary_needs_no_final_line_end(end: bytes) -> None:
    """Trap 15."""
    assert contents(b"--b0\r\n\r\nA\r\n" + end) == [b"A"]


def test_white_space_may_follow_a_boundary() -> None:
    """Trap 15, RFC 2046 5.1.1."""
    assert contents(b"--b0 \t\r\n\r\nA\r\n--b0   \r\nx: y\r\n\r\nB\r\n--b0--") == [b"A", b"B"]


def test_a_line_that_only_begins_like_a_boundary_is_content() -> None:
    """Trap 15."""
    assert contents(b"--b0\r\n\r\nA\r\n--b0B\r\n--b0-\r\n--b0 B\r\n--b0--") == [b"A\r\n--b0B\r\n--b0-\r\n--b0 B"]


@pytest.mark.parametrize("name", ["a b", "a'()+_,-./:=?z", "0" * 73, 'with "quotes"', "gc0p4Jq0M2Yt08j34c0p"])
def test_boundaries_of_any_allowed_characters_work(name: str) -> None:
    """Trap 15: quoted boundaries with specials."""
    content_type = multipart.format_media_type("multipart/related", {"boundary": name})
    boundary = multipart.boundary_of(parse_media_type(content_type))
    body = f"--{boundary}\r\n\r\nA\r\n--{boundary}--".encode()
    assert read(body, [3, 9], boundary) == [({}, b"A")]


@pytest.mark.parametrize("boundary", ["", "x" * 201, "ends with space ", "é", "line\nbreak"])
def test_a_boundary_that_cannot_be_one_is_refused(boundary: str) -> None:
    with pytest.raises(InvalidRequest):
        multipart.boundary_of(MediaType("multipart/related", {"boundary": boundary}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b0",
        b"--b0\r\n",
        b"--b0\r\nContent-Type: a/b",
        b"--b0\r\nContent-Type: a/b\r\n\r\nA",
        b"--b0\r\nContent-Type: a/b\r\n\r\nA\r\n--b0",
        b"--b0\r\nContent-Type: a/b\r\n\r\nA\r\n--b0-",
        b"--b0\r\nContent-Type: a/b\r\n\r\nA\r\n--b1--\r\n",
        b"--b0\nContent-Type: a/b\n\nA\n--b0--\n",
        b"--b0\r\nContent-Type: a/b\n\nA\r\n--b0--\r\n",
        b"--b0\r\nContent-Type\r\n\r\nA\r\n--b0--\r\n",
        b"--b0\r\n: a/b\r\n\r\nA\r\n--b0--\r\n",
        b"not multipart at all",
    ],
)
def test_what_is_cut_short_or_not_multipart_is_refused(body: bytes) -> None:
    """Trap 15: truncated, LF-only and headerless bodies."""
    for cuts in ([], list(range(len(body)))):
        with pytest.raises(InvalidRequest):
            read(body, cuts)


def test_folded_and_repeated_header_fields_are_read() -> None:
    body = b"--b0\r\nContent-Type: application/dicom;\r\n transfer-syntax=1.2\r\ncontent-type: x/y\r\n\r\n\r\n--b0--"
    assert read(body) == [({"content-type": "application/dicom; transfer-syntax=1.2"}, b"")]


def test_a_header_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    reader = Reader(BOUNDARY)
    list(reader.feed(b"--b0\r\nX: "))
    with pytest.raises(InvalidRequest, match="at most 16384 bytes"):
        for _ in range(20):
            list(reader.feed(b"y" * 1024))


def test_a_body_without_its_boundary_is_refused_soon() -> None:
    reader = Reader(BOUNDARY)
    with pytest.raises(InvalidRequest, match="CRLF"):
        for _ in range(100):
            list(reader.feed(b"\n" * 1024))


def test_endless_white_space_behind_a_boundary_is_content() -> None:
    padding = b" " * 300
    assert contents(b"--b0\r\n\r\nA\r\n--b0" + padding + b"\r\n\r\n--b0--") == [b"A\r\n--b0" + padding + b"\r\n"]


def test_too_many_parts_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_PARTS", 3)
    assert len(read(b"--b0\r\n\r\n\r\n" * 3 + b"--b0--")) == 3
    with pytest.raises(TooLarge):
        read(b"--b0\r\n\r\n\r\n" * 4 + b"--b0--")


def test_memory_stays_bounded_whatever_the_content() -> None:
    reader = Reader(BOUNDARY)
    list(reader.feed(b"--b0\r\n\r\n"))
    for piece in (b"\r\n--b0 ", b"x\r\n--b", b"\r" * 1000, b"\0" * 100_000) * 20:
        passed = sum(len(event.data) for event in reader.feed(piece) if isinstance(event, PartData))
        assert passed <= len(piece) + 1024
        assert reader.held_bytes <= 1024
