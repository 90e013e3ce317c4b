"""The heads of one series, told from one of them: they differ in a UID and a time. Knows the bytes of a head, no files.

What was told so once is told so for ever: a digest is compared with it. Whoever needs the head of an instance must know
that this is how it was written, by comparing what is told here with the digest of the head once.
"""

import re
from dataclasses import dataclass
from struct import error, pack, unpack_from
from typing import Self

_LENGTH_AT = 140  # of the group, behind preamble and the header of its Group Length
_GROUP_AT = 144
_INSTANCE = b"\2\0\3\0UI"  # Media Storage SOP Instance UID (0002,0003)
_PRIVATE = b"\2\0\2\1OB\0\0"  # Private Information (0002,0102)
_RECEIVED_AT = re.compile(rb'(?<="received_at":)[0-9.]+(?=[,}])')


@dataclass(frozen=True, slots=True)
class HeadForm:
    """What the heads of a series have in common: around the UID, and around the time in the Private Information."""

    start: bytes
    before: bytes
    behind: bytes
    private: tuple[bytes, bytes] | None

    @classmethod
    def of(cls, head: bytes) -> Self | None:
        """The form of *head*; None if it is not one of ours."""
        try:
            return cls._of(head)
        except (ValueError, IndexError, error):
            return None

    @classmethod
    def _of(cls, head: bytes) -> Self:
        at = head.index(_INSTANCE, _GROUP_AT)
        value_at = at + len(_INSTANCE) + 2
        end = value_at + int(unpack_from("<H", head, value_at - 2)[0])
        private_at = head.find(_PRIVATE, end)
        if private_at < 0:
            return cls(head[:_LENGTH_AT], head[_GROUP_AT:at], head[end:], None)
        said = head[private_at + len(_PRIVATE) + 4 :].rstrip(b"\0")
        time = next(_RECEIVED_AT.finditer(said), None)
        parts = (said, b"") if time is None else (said[: time.start()], said[time.end() :])
        return cls(head[:_LENGTH_AT], head[_GROUP_AT:at], head[end:private_at], parts)

    def head(self, sop_instance_uid: str, received_at: float) -> bytes:
        """The head of the instance of that UID, received at that time."""
        uid = sop_instance_uid.encode()
        uid += bytes(len(uid) % 2)
        group = self.before + _INSTANCE + pack("<H", len(uid)) + uid + self.behind
        if self.private is not None:
            before, after = self.private
            said = before + (repr(received_at).encode() if after else b"") + after
            said += bytes(len(said) % 2)
            group += _PRIVATE + pack("<I", len(said)) + said
        return self.start + pack("<I", len(group)) + group
