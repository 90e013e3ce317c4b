"""A-ASSOCIATE PDUs as an acceptor meets them: a request's bytes to plain records, and answers to bytes.

Knows the forms of PS3.8 9.3 and PS3.7 D.3.3; not what we support, no socket, no library. What is malformed is a
ValueError, what is of an unknown kind is skipped (PS3.8 9.3.1).
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from relais.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 1, 2, 3, 5, 6, 7  # PS3.8 9.3.1
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
ACCEPTED, USER_REJECTION, ABSTRACT_SYNTAX_NOT_SUPPORTED, TRANSFER_SYNTAXES_NOT_SUPPORTED = 0, 1, 3, 4  # PS3.8 9.3.3.2

FIXED_BYTES = 68  # before the items: version, AE titles, reserved
REMEMBERED = 32  # proposals that are kept decoded; then all are forgotten and it begins anew
REMEMBERED_BYTES = 16 * 1024  # a longer one is decoded each time

_APPLICATION, _PROPOSED, _ANSWERED, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50
_MAX_LENGTH, _CLASS_UID, _ROLES, _VERSION_NAME, _EXTENDED, _IDENTITY, _CONFIRMED = (
    *(0x51, 0x52, 0x54, 0x55, 0x56, 0x58, 0x59),  # PS3.8 D.1, PS3.7 D.3.3
)
_USER_KINDS = range(0x51, 0x5A)  # PS3.8 D.1, PS3.7 D.3.3
_IDENTITY_KINDS = range(1, 6)  # PS3.7 table D.3-14
_NO_TITLE = b"?".ljust(16)
_ITEM = struct.Struct(">BxH")
_PDU = struct.Struct(">BxI")
_SHORT = struct.Struct(">H")
_LONG = struct.Struct(">I")
_IDENTITY_START = struct.Struct(">BBH")

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Proposed:
    """One presentation context of a request (PS3.8 9.3.2.2)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the requestor says it works for (PS3.7 D.3.3.7); a passcode is not taken over."""

    kind: int
    wants_response: bool
    primary: bytes


@dataclass(frozen=True, slots=True)
class Proposal:
    """The items of a request. *encoded* is what they were read from; *roles* are SCU and SCP by SOP Class (D.3.3.4)."""

    encoded: bytes
    application_context: str
    contexts: tuple[Proposed, ...]
    max_length: int
    roles: Mapping[str, tuple[bool, bool]]
    extended: Mapping[str, bytes]
    identity: Identity | None


@dataclass(frozen=True, slots=True)
class Request:
    """An A-ASSOCIATE-RQ. *fixed* is what an acceptance repeats of it as it came (PS3.8 9.3.3).

    An AE title is "" where there is none, or what stands there is no AE title.
    """

    fixed: bytes
    version: int
    called_ae_title: str
    calling_ae_title: str
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of one proposed context. An accepted one has the one Transfer Syntax to be used, and our roles."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: tuple[str, ...]
    result: int = ACCEPTED
    as_scu: bool = False
    as_scp: bool = True


class Remembered(Generic[Made]):
    """What was made of some bytes, for when the same come again. Any thread may ask."""

    def __init__(self) -> None:
        self._made: dict[bytes, Made] = {}

    def get(self, encoded: bytes) -> Made | None:
        return self._made.get(encoded)

    def keep(self, encoded: bytes, made: Made) -> None:
        if len(encoded) > REMEMBERED_BYTES:
            return
        if len(self._made) >= REMEMBERED:
            self._made.clear()
        self._made[encoded] = made


_PROPOSALS: Remembered[Proposal] = Remembered()


def decode(body: bytes) -> Request:
    """The A-ASSOCIATE-RQ whose PDU has *body* behind its header. Raises ValueError."""
    if len(body) < FIXED_BYTES:
        raise ValueError("A-ASSOCIATE-RQ cut off")
    (version,) = _SHORT.unpack_from(body)
    fixed = body[:FIXED_BYTES]
    return Request(fixed, version, _ae_title(body[4:20]), _ae_title(body[20:36]), _proposal(body[FIXED_BYTES:]))


def familiar(body: bytes) -> bytes:
    """The A-ASSOCIATE-RQ PDU of a request with *body* for a library that fails of what it does not know.

    Without items of unknown kinds, and a user identity of one; what is no AE title is a question mark. What was asked
    for says `decode`. Raises ValueError.
    """
    titles = b"".join(title if _ae_title(title) else _NO_TITLE for title in (body[4:20], body[20:36]))
    items = b"".join(
        _item(kind, _familiar_user(content) if kind == _USER else content)
        for kind, content in _items(body[FIXED_BYTES:])
        if kind in {_APPLICATION, _PROPOSED, _USER}
    )
    known = body[:4] + titles + body[36:FIXED_BYTES] + items
    return _PDU.pack(A_ASSOCIATE_RQ, len(known)) + known


def _familiar_user(content: bytes) -> bytes:
    return b"".join(
        _item(kind, data)
        for kind, data in _items(content)
        if kind in _USER_KINDS and (kind != _IDENTITY or data[0] in _IDENTITY_KINDS)
    )


def acceptance(request: Request, items: bytes) -> bytes:
    """The A-ASSOCIATE-AC PDU to *request* that has *items* (PS3.8 9.3.3)."""
    return _PDU.pack(A_ASSOCIATE_AC, FIXED_BYTES + len(items)) + b"\0\1" + request.fixed[2:] + items


def accepting_items(
    answers: Sequence[Answer],
    max_length: int,
    roles: Mapping[str, tuple[bool, bool]],
    extended: Mapping[str, bytes],
    *,
    confirms_user: bool,
) -> bytes:
    """The items of an acceptance: what becomes of each context, and what else was negotiated (PS3.7 D.3.3)."""
    contexts = b"".join(
        _item(
            _ANSWERED,
            bytes((one.context_id, 0, one.result, 0))
            + b"".join(_item(_TRANSFER, uid.encode()) for uid in one.transfer_syntax),
        )
        for one in answers
    )
    user = _item(_MAX_LENGTH, _LONG.pack(max_length)) + _item(_CLASS_UID, IMPLEMENTATION_CLASS_UID.encode())
    user += b"".join(_item(_ROLES, _counted(uid.encode()) + bytes(both)) for uid, both in roles.items())
    user += _item(_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode())
    user += b"".join(_item(_EXTENDED, _counted(uid.encode()) + info) for uid, info in extended.items())
    if confirms_user:
        user += _item(_CONFIRMED, _counted(b""))
    return _item(_APPLICATION, APPLICATION_CONTEXT.encode()) + contexts + _item(_USER, user)


def rejection(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ PDU (PS3.8 9.3.4)."""
    return _PDU.pack(A_ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def abort(source: int, reason: int) -> bytes:
    """An A-ABORT PDU (PS3.8 9.3.8)."""
    return _PDU.pack(A_ABORT, 4) + bytes((0, 0, source, reason))


RELEASE_RP = _PDU.pack(A_RELEASE_RP, 4) + bytes(4)  # PS3.8 9.3.7


def _proposal(encoded: bytes) -> Proposal:
    found = _PROPOSALS.get(encoded)
    if found is None:
        found = _decoded(encoded)
        if found.identity is None:  # what belongs to a person is not kept
            _PROPOSALS.keep(encoded, found)
    return found


def _decoded(encoded: bytes) -> Proposal:
    application, contexts, user = "", [], _User()
    for kind, content in _items(encoded):
        if kind == _APPLICATION:
            application = _uid(content)
        elif kind == _PROPOSED:
            contexts.append(_context(content))
        elif kind == _USER:
            user.take(content)
    return Proposal(encoded, application, tuple(contexts), user.max_length, user.roles, user.extended, user.identity)


class _User:
    """The User Information of a request as it is read (PS3.8 9.3.2.3)."""

    def __init__(self) -> None:
        self.max_length = 0
        self.roles: dict[str, tuple[bool, bool]] = {}
        self.extended: dict[str, bytes] = {}
        self.identity: Identity | None = None

    def take(self, content: bytes) -> None:
        for kind, data in _items(content):
            reader = _READERS.get(kind)
            if reader is not None:
                reader(self, data)

    def read_max_length(self, data: bytes) -> None:
        (self.max_length,) = _LONG.unpack(_exactly(data, 4))

    def read_role(self, data: bytes) -> None:
        uid, rest = _uid_and_rest(data)
        scu, scp = _exactly(rest, 2)
        self.roles[uid] = scu == 1, scp == 1

    def read_extension(self, data: bytes) -> None:
        uid, rest = _uid_and_rest(data)
        self.extended[uid] = rest

    def read_identity(self, data: bytes) -> None:
        if len(data) < _IDENTITY_START.size:
            raise ValueError("user identity cut off")
        kind, wants_response, length = _IDENTITY_START.unpack_from(data)
        primary = data[_IDENTITY_START.size : _IDENTITY_START.size + length]
        self.identity = Identity(kind, bool(wants_response), _exactly(primary, length))


_READERS: Mapping[int, Callable[[_User, bytes], None]] = {
    _MAX_LENGTH: _User.read_max_length,
    _ROLES: _User.read_role,
    _EXTENDED: _User.read_extension,
    _IDENTITY: _User.read_identity,
}


def _context(content: bytes) -> Proposed:
    if len(content) < 4 or not content[0] % 2:
        raise ValueError("no presentation context ID")
    abstract, transfers = "", []
    for kind, data in _items(content[4:]):
        if kind == _ABSTRACT:
            abstract = _uid(data)
        elif kind == _TRANSFER:
            transfers.append(_uid(data))
    return Proposed(content[0], abstract, tuple(transfers))


def _items(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    at, end = 0, len(encoded)
    while at < end:
        if end - at < _ITEM.size:
            raise ValueError("item cut off")
        kind, length = _ITEM.unpack_from(encoded, at)
        at += _ITEM.size
        yield kind, _exactly(encoded[at : at + length], length)
        at += length


def _item(kind: int, content: bytes) -> bytes:
    return _ITEM.pack(kind, len(content)) + content


def _counted(data: bytes) -> bytes:
    return _SHORT.pack(len(data)) + data


def _uid_and_rest(data: bytes) -> tuple[str, bytes]:
    if len(data) < 2:
        raise ValueError("UID cut off")
    (length,) = _SHORT.unpack_from(data)
    return _uid(_exactly(data[2 : 2 + length], length)), data[2 + length :]


def _exactly(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise ValueError("length does not fit")
    return data


def _uid(data: bytes) -> str:
    """Without the padding that some add although negotiation has none (PS3.8 F)."""
    return data.decode("ascii").rstrip("\0 ")


def _ae_title(data: bytes) -> str:
    """Leading and trailing spaces are not significant; no title is only spaces (PS3.8 9.3.2). "" if it is none.

    Deviation: a title may be padded with nulls, as by senders that copy a text of C.
    """
    text = data.decode("ascii", "replace").rstrip("\0 ").lstrip(" ")
    return text if text.isascii() and text.isprintable() and "\\" not in text else ""
