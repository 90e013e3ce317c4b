"""multipart/related (RFC 2046 5.1, PS3.18 8.6.1.2): an incremental reader and a writer. Knows bytes, not their meaning.

1. Bytes in, events out: feed() takes any split of the body, down to one byte at a time, and gives the same parts.
2. A boundary counts only at the very start of the body, or as CRLF `--` boundary; behind it may stand white space, and
   then CRLF. The last one has `--` behind it, and then white space, CRLF or the end of the body. Everything else is
   data, however much it looks like a boundary.
3. Memory is bounded: data leaves as it comes, and only a possible boundary or a part's header is held back.
4. Nothing is half-taken: a body that ends before its last boundary makes close() raise.

Reading: the CRLF that ends a part's header is not the CRLF of a boundary, so a part that begins with `--` boundary is
data, and an empty part is two line ends before its boundary.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from relais.dicomweb.media_types import MULTIPART, MediaType, format_media_type
from relais.errors import InvalidRequest, TooLarge

MAX_HEADER_BYTES = 16_384  # a part with a larger header makes the body an InvalidRequest
MAX_PARTS = 100_000  # a body with more parts is TooLarge
MAX_PADDING_BYTES = 256  # more white space behind a boundary makes it data
MAX_PREAMBLE_BYTES = 65_536  # a body whose first boundary comes later is an InvalidRequest
MAX_BOUNDARY_CHARACTERS = 200  # RFC 2046 5.1.1 allows 70; Seen: 73 (Orthanc's DICOMweb plugin 1.7)

CRLF = b"\r\n"
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:([^\r\n\0]*)")


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part starts. Names of header fields are lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """A piece of the part's content, never empty, and not copied: to be used before more is fed."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The part is complete."""


Event = PartBegins | PartData | PartEnds


class _State(Enum):
    PREAMBLE = "before the first boundary"
    HEADER = "in a part's header"
    CONTENT = "in a part's content"
    EPILOGUE = "after the last boundary"


def boundary_of(content_type: MediaType) -> str:
    """The boundary of a multipart/related body. InvalidRequest if there is none, or one that cannot be such."""
    boundary = content_type.parameters.get("boundary", "")
    printable = boundary.isascii() and boundary.isprintable() and not boundary.endswith(" ")
    if not (boundary and printable and len(boundary) <= MAX_BOUNDARY_CHARACTERS):
        raise InvalidRequest(
            f"multipart/related needs a boundary of 1 to {MAX_BOUNDARY_CHARACTERS} printable characters."
        )
    return boundary


class Reader:
    """Takes a multipart body apart while it arrives."""

    def __init__(self, boundary: str) -> None:
        marker = b"--" + boundary.encode("ascii")
        self._delimiter = CRLF + marker
        padding = rb"[ \t]{0,%d}" % MAX_PADDING_BYTES
        self._next = re.compile(re.escape(self._delimiter) + padding + CRLF)
        self._last = re.compile(re.escape(self._delimiter) + b"--" + padding + rb"(?:\r\n|\Z)")
        self._longest = len(self._delimiter) + 2 + MAX_PADDING_BYTES + len(CRLF)
        self._state = _State.PREAMBLE
        self._data = CRLF  # what has come and not left; so that a boundary at the very start is like any other
        self._at = 0  # how much of it has left
        self._parts = 0
        self._skipped_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much has come and is still held back."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that *data* completes. Consume them before feeding more."""
        if self._state is not _State.EPILOGUE:
            self._data = self._data[self._at :] + data if self.held_bytes else data
            self._at = 0
            yield from self._advance(at_end=False)

    def close(self) -> Iterator[Event]:
        """The events that the end of the body completes. InvalidRequest if the last boundary never came."""
        yield from self._advance(at_end=True)
        if self._state is not _State.EPILOGUE:
            raise InvalidRequest(f"The multipart body ends {self._state.value}.")

    def _advance(self, *, at_end: bool) -> Iterator[Event]:
        while self._state is not _State.EPILOGUE:
            if self._state is _State.HEADER:
                if (headers := self._take_header()) is None:
                    return
                self._state = _State.CONTENT
                yield PartBegins(headers)
                continue
            content, following = self._take_content(at_end=at_end)
            if self._state is _State.PREAMBLE:
                self._skip(len(content))
            else:
                yield from _content_events(content, is_complete=following is not None)
            if following is None:
                return
            self._state = following

    def _take_content(self, *, at_end: bool) -> tuple[bytes | memoryview, _State | None]:
        """The content up to the next boundary and the state behind it, or what is surely content and None."""
        start = self._at
        while (start := self._data.find(self._delimiter, start)) >= 0:
            found = self._boundary_at(start, at_end=at_end)
            if found is not None:
                state, end = found
                return self._cut(start, end), state
            if self._may_grow_into_boundary(start, at_end=at_end):
                return self._cut(start, start), None
            start += 1
        end = len(self._data) - (0 if at_end else self._possible_start())
        return self._cut(end, end), None

    def _boundary_at(self, start: int, *, at_end: bool) -> tuple[_State, int] | None:
        if found := self._next.match(self._data, start):
            return _State.HEADER, found.end()
        found = self._last.match(self._data, start)
        if found and (at_end or self._data[found.end() - 2 : found.end()] == CRLF):
            return _State.EPILOGUE, found.end()
        return None

    def _may_grow_into_boundary(self, start: int, *, at_end: bool) -> bool:
        """Whether the bytes at *start*, which hold a delimiter, end before it is decided what they are."""
        if at_end or len(self._data) - start >= self._longest:
            return False
        rest = self._data[start + len(self._delimiter) :]
        padding = rest.removeprefix(b"--").lstrip(b" \t")
        return padding in (b"", b"\r") or rest == b"-"

    def _possible_start(self) -> int:
        """How many bytes at the end could be the start of a delimiter."""
        tail = self._data[max(self._at, len(self._data) - len(self._delimiter) + 1) :]
        start = tail.find(b"\r")
        while start >= 0:
            if self._delimiter.startswith(tail[start:]):
                return len(tail) - start
            start = tail.find(b"\r", start + 1)
        return 0

    def _cut(self, end: int, following: int) -> bytes | memoryview:
        """What lies before *end*, not copied; go on at *following*."""
        start, self._at = self._at, following
        return self._data if (start, end) == (0, len(self._data)) else memoryview(self._data)[start:end]

    def _skip(self, size_bytes: int) -> None:
        self._skipped_bytes += size_bytes
        if self._skipped_bytes > MAX_PREAMBLE_BYTES:
            raise InvalidRequest("The multipart body does not begin with its boundary (lines end with CRLF).")

    def _take_header(self) -> dict[str, str] | None:
        """The part's header fields, None while they are incomplete."""
        start, data = self._at, self._data
        if data.startswith(CRLF, start):
            self._at += len(CRLF)
            return self._counted({})
        end = data.find(CRLF + CRLF, start)
        if (end if end >= 0 else len(data)) - start > MAX_HEADER_BYTES:
            raise InvalidRequest(f"The header of a part may have at most {MAX_HEADER_BYTES} bytes.")
        if end < 0:
            return None
        self._at = end + len(CRLF + CRLF)
        return self._counted(_header_fields(data[start:end]))

    def _counted(self, headers: dict[str, str]) -> dict[str, str]:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooLarge(f"A request may have at most {MAX_PARTS} parts.")
        return headers


def events(chunks: Iterable[bytes], boundary: str) -> Iterator[Event]:
    """What *chunks*, a whole body, hold. Raises InvalidRequest, TooLarge as Reader does."""
    reader = Reader(boundary)
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.close()


@dataclass(frozen=True, slots=True)
class Part:
    """One part to be written. *size_bytes* is None where it is not known before the content has been made."""

    headers: Sequence[tuple[str, str]]
    chunks: Iterable[bytes]
    size_bytes: int | None = None


class Writer:
    """Puts a multipart body together under a fresh boundary of 128 random bits; content is not searched for it."""

    def __init__(self, media_type: str) -> None:
        self.boundary = secrets.token_hex(16)
        self.content_type = format_media_type(MULTIPART, {"type": media_type, "boundary": self.boundary})
        self._end = f"--{self.boundary}--\r\n".encode("ascii")

    def content_length(self, parts: Iterable[Part]) -> int | None:
        """The size of the body, None if that of any part is unknown."""
        total = len(self._end)
        for part in parts:
            if part.size_bytes is None:
                return None
            total += len(self._begin(part)) + part.size_bytes + len(CRLF)
        return total

    def chunks(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """The body. A part is not opened before those in front of it have gone out."""
        before = b""
        for part in parts:
            yield before + self._begin(part)
            yield from part.chunks
            before = CRLF
        yield before + self._end

    def _begin(self, part: Part) -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
        if part.size_bytes is not None:  # PS3.18 table 8.6.1-1
            fields += f"Content-Length: {part.size_bytes}\r\n"
        return f"--{self.boundary}\r\n{fields}\r\n".encode("latin-1")


def _content_events(content: bytes | memoryview, *, is_complete: bool) -> Iterator[Event]:
    if content:
        yield PartData(content)
    if is_complete:
        yield PartEnds()


def _header_fields(block: bytes) -> dict[str, str]:
    text = re.sub(r"\r\n[ \t]+", " ", block.decode("latin-1"))
    fields: dict[str, str] = {}
    for line in text.split("\r\n"):
        found = _FIELD.fullmatch(line)
        if found is None:
            raise InvalidRequest("The header of a part has a line that is not a header field (lines end with CRLF).")
        fields.setdefault(found[1].lower(), found[2].strip())
    return fields
