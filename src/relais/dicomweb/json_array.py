"""A JSON array of objects, cut into its objects while it arrives. Knows where they begin and end, not what they say.

Each object leaves as soon as it is whole, so that memory is bounded by the largest of them. What stands between them is
checked; what is inside is for a JSON parser, which the caller asks about one object at a time.
"""

import re
from collections.abc import Iterator

from relais.errors import InvalidRequest, TooLarge

MAX_OBJECT_BYTES = 16 * 1024**2  # a larger object makes the body TooLarge
MAX_TOKENS = 1_000_000  # strings and brackets of one object: with more the body is TooLarge
MAX_PIECES = 300_000  # its objects, nulls, commas and backslashes; each makes some 400 bytes of a Data Set
_PIECES = (b"{", b"null", b",", rb"\\", rb"\u005c", rb"\u005C")  # numbers and names may come as one text of many values

# Nothing is tried twice (`*+`): what could be is remembered, a hundred bytes for each backslash.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_WHITE_SPACE = b" \t\r\n"
_TOO_MANY = "The metadata of an instance may have at most {} names and values; use bulk data."
_NO_ARRAY = "The metadata must be a JSON array of objects (PS3.18 F.2.1)."


class Splitter:
    """Takes the text of an array apart, fed in pieces of any size."""

    def __init__(self) -> None:
        self._text = b""
        self._start = 0  # of what has not left yet
        self._at = 0  # of what has not been looked at yet
        self._depth = 0
        self._tokens = 0
        self._has_objects = False
        self._is_over = False

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """The objects that *data* completes, each as text. Consume them before feeding more.

        Raises InvalidRequest where it is no array of objects, TooLarge beyond the limits.
        """
        self._text = self._text[self._start :] + data
        self._start, self._at = 0, self._at - self._start
        for token in _TOKEN.finditer(self._text, self._at):
            if token[0] == b'"':  # the start of a string whose end has not come
                self._at = token.start()
                break
            self._at = token.end()
            if self._pass(token):
                text = self._text[self._start : self._at]
                _check_pieces(text)
                yield text
                self._start = self._at
        else:
            self._at = len(self._text)
        if len(self._text) - self._start > MAX_OBJECT_BYTES:
            raise TooLarge(f"The metadata of an instance may have at most {MAX_OBJECT_BYTES} bytes; use bulk data.")

    def close(self) -> None:
        """Raise InvalidRequest unless the array is whole and nothing comes behind it."""
        if not self._is_over or self._text[self._start :].strip(_WHITE_SPACE):
            raise InvalidRequest(_NO_ARRAY)

    def _pass(self, token: re.Match[bytes]) -> bool:
        """Whether *token* ends an object."""
        kind = token[0]
        if self._depth < 2:
            self._pass_outside(kind, token)
        self._depth += (kind in (b"{", b"[")) - (kind in (b"}", b"]"))
        self._tokens += 1
        if self._tokens > MAX_TOKENS:
            raise TooLarge(_TOO_MANY.format(MAX_TOKENS))
        return self._depth == 1 and kind in (b"}", b"]")

    def _pass_outside(self, kind: bytes, token: re.Match[bytes]) -> None:
        """The beginning of the array or of an object, or the end of the array."""
        before = self._text[self._start : token.start()].strip(_WHITE_SPACE)
        comma = b"," if kind == b"{" and self._has_objects else b""
        may_come = () if self._is_over else (b"{", b"]") if self._depth else (b"[",)
        if kind not in may_come or before != comma:
            raise InvalidRequest(_NO_ARRAY)
        self._start = token.start() if kind == b"{" else token.end()
        self._has_objects = self._has_objects or kind == b"{"
        self._is_over = kind == b"]"
        self._tokens = 0


def _check_pieces(text: bytes) -> None:
    """Raise TooLarge for an object of very many pieces. Those within texts count too: they are few."""
    if sum(map(text.count, _PIECES)) > MAX_PIECES:
        raise TooLarge(_TOO_MANY.format(MAX_PIECES))
