"""Messages between the pool and its workers: a JSON object and a body, each with its length before it. Knows no pixels.

A message is one small object, `fields`, and as many bytes as the lengths say. Neither end believes a length beyond what
it was told to expect.
"""

import json
from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

_LENGTHS = Struct("<IQ")
PREFIX_BYTES = _LENGTHS.size
MAX_FIELDS_BYTES = 64 * 1024  # a longer object ends the connection


class BrokenPipe(Exception):
    """The other end is gone or does not speak our language."""


class Message(NamedTuple):
    """*fields* are plain JSON values, *body* the bytes that go with them."""

    fields: dict[str, Any]
    body: bytes | bytearray | memoryview = b""


def prefix(fields: dict[str, Any], body_bytes: int) -> bytes:
    """What goes before a body."""
    encoded = json.dumps(fields).encode()
    return _LENGTHS.pack(len(encoded), body_bytes) + encoded


def receive(read: Callable[[int], bytes | bytearray], max_body_bytes: int) -> Message:
    """One message from *read*, which returns exactly as many bytes as it is asked for. Raises BrokenPipe."""
    fields_bytes, body_bytes = _LENGTHS.unpack(read(PREFIX_BYTES))
    if fields_bytes > MAX_FIELDS_BYTES or body_bytes > max_body_bytes:
        raise BrokenPipe("A message is longer than allowed.")
    try:
        fields = json.loads(read(fields_bytes))
    except ValueError as exc:
        raise BrokenPipe("A message cannot be understood.") from exc
    if not isinstance(fields, dict):
        raise BrokenPipe("A message cannot be understood.")
    return Message(fields, read(body_bytes) if body_bytes else b"")
