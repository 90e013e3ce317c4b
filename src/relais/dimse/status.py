"""What went wrong, as the status of a response. The only place where a DIMSE status is chosen for an error.

One table per service: C-STORE (PS3.4 B.2.3), C-FIND (PS3.4 C.4.1.1.4), C-MOVE and C-GET (PS3.4 C.4.2.1.5, C.4.3.1.4),
N-ACTION and N-EVENT-REPORT of Storage Commitment (PS3.4 J.3), and the codes of PS3.7 C that all services share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relais import errors
from relais.dicom import header
from relais.errors import NodeError

COMMENT_MAX = 64  # Error Comment (0000,0902) is an LO; a longer sentence ends in three dots


@dataclass(frozen=True, slots=True)
class Status:
    """A status code and, where something is wrong, a sentence for the Error Comment and the Offending Element's tag."""

    code: int
    comment: str = ""
    offending: int | None = None

    @property
    def is_final(self) -> bool:
        return self.code not in {0xFF00, 0xFF01}

    @property
    def is_failure(self) -> bool:
        return self.is_final and self.code not in {0x0000, 0xFE00} and self.code >> 12 != 0xB


SUCCESS: Final = Status(0x0000)
CANCEL: Final = Status(0xFE00)
PENDING: Final = Status(0xFF00)
PENDING_UNSUPPORTED_KEYS: Final = Status(0xFF01)
SOME_FAILED: Final = Status(0xB000)
LACKS_PIXELS: Final = Status(0xB007, header.LACKS_PIXELS, 0x7FE00010)
NONE_SENT: Final = Status(0xA702, "No sub-operation could be performed.")
MOVE_DESTINATION_UNKNOWN: Final = Status(0xA801, "This move destination is not configured.")
INVALID_SOP_INSTANCE: Final = Status(0x0117, "Affected SOP Instance UID is not a UID.")
SOP_CLASS_NOT_SUPPORTED: Final = Status(0x0122, "The context was negotiated for another SOP Class.")
UNRECOGNIZED_OPERATION: Final = Status(0x0211, "This operation does not belong to the SOP Class.")
MISTYPED_ARGUMENT: Final = Status(0x0212, "The request lacks a mandatory field.")
NO_SUCH_INSTANCE: Final = Status(0x0112, "There is no such SOP Instance.")
NO_SUCH_EVENT: Final = Status(0x0113, "There is no such event type.")
NO_SUCH_CLASS: Final = Status(0x0118, "The SOP Class is not that of the presentation context.")
NO_SUCH_ACTION: Final = Status(0x0123, "There is no such action type.")
PROCESSING_FAILURE: Final = Status(0x0110, "Something went wrong inside the node.")
TOO_MANY_MATCHES: Final = Status(0xA701, "More sub-operations than their counters can count.")

# What is answered besides errors, service by service.
_ASKED_WRONGLY = (UNRECOGNIZED_OPERATION, MISTYPED_ARGUMENT, PROCESSING_FAILURE)
ANSWERS: Mapping[str, tuple[Status, ...]] = {
    "C-ECHO": (SUCCESS,),
    "C-STORE": (SUCCESS, LACKS_PIXELS, INVALID_SOP_INSTANCE, SOP_CLASS_NOT_SUPPORTED, *_ASKED_WRONGLY),
    "C-FIND": (SUCCESS, PENDING, PENDING_UNSUPPORTED_KEYS, CANCEL, *_ASKED_WRONGLY),
    "C-MOVE": (
        *(SUCCESS, PENDING, CANCEL, SOME_FAILED, NONE_SENT),
        *(MOVE_DESTINATION_UNKNOWN, TOO_MANY_MATCHES, *_ASKED_WRONGLY),
    ),
    "C-GET": (SUCCESS, PENDING, CANCEL, SOME_FAILED, NONE_SENT, TOO_MANY_MATCHES, *_ASKED_WRONGLY),
    "N-ACTION": (SUCCESS, NO_SUCH_INSTANCE, NO_SUCH_CLASS, NO_SUCH_ACTION, *_ASKED_WRONGLY),
    "N-EVENT-REPORT": (SUCCESS, NO_SUCH_EVENT, NO_SUCH_CLASS, *_ASKED_WRONGLY),
}

_Codes = dict[type[NodeError], int]

# A kind that is missing has the code of the kind it is one of (relais.errors). Internal's own text stays here.
_EVERYWHERE: _Codes = {errors.Forbidden: 0x0124, errors.UnsupportedSOPClass: 0x0122, NodeError: 0x0110}
_STORE: _Codes = _EVERYWHERE | {
    errors.OutOfResources: 0xA700,
    errors.Unavailable: 0xA700,
    errors.TooLarge: 0xA700,
    errors.Mismatch: 0xA900,
    errors.InvalidRequest: 0xC000,
    errors.Unwanted: 0x0124,
    errors.Conflict: 0x0111,
}
_FIND: _Codes = _EVERYWHERE | {
    errors.TooLarge: 0xA700,
    errors.Unavailable: 0xA700,
    errors.Mismatch: 0xA900,
    errors.InvalidRequest: 0xC000,
}
_RETRIEVE: _Codes = _EVERYWHERE | {
    errors.Unavailable: 0xA701,
    errors.TooLarge: 0xA701,
    errors.Mismatch: 0xA900,
    errors.InvalidRequest: 0xC000,
}
_COMMITMENT: _Codes = _EVERYWHERE | {
    errors.Unavailable: 0x0213,
    errors.InvalidRequest: 0x0115,
    errors.NotFound: 0x0115,
}
_SERVICES: Mapping[str, _Codes] = {
    "C-STORE": _STORE,
    "C-FIND": _FIND,
    "C-MOVE": _RETRIEVE,
    "C-GET": _RETRIEVE,
    "N-ACTION": _COMMITMENT,
    "N-EVENT-REPORT": _COMMITMENT,
}


def of_error(service: str, error: NodeError) -> Status:
    """The status that tells *error* to the one who asked for *service* ("C-STORE", "C-FIND", ...)."""
    codes = _SERVICES.get(service, _EVERYWHERE)
    code = next(codes[kind] for kind in type(error).__mro__ if kind in codes)
    if code == PROCESSING_FAILURE.code:
        return PROCESSING_FAILURE
    return Status(code, error.message, error.tag)


def of_service(service: str) -> dict[int, str]:
    """Every status code that *service* may answer with, and a sentence that says when ("" for no failure)."""
    found = {code: kind().message for kind, code in _SERVICES.get(service, {}).items()}
    return found | {status.code: status.comment for status in ANSWERS[service]}


def error_comment(text: str) -> str:
    """*text* as an LO in the default character repertoire."""
    plain = "".join(c if c.isascii() and c.isprintable() and c != "\\" else "?" for c in text)
    return plain if len(plain) <= COMMENT_MAX else plain[: COMMENT_MAX - 3].rstrip() + "..."
