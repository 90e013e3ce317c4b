"""The answer of the Store transaction: the Store Instances Response Module in the DICOM JSON model (PS3.18 I).

Knows what became of each part, not HTTP: web.errors chooses the status.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from relais.dicom.json_model import JsonDataset
from relais.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    Mismatch,
    NodeError,
    OutOfResources,
    TooLarge,
    UnsupportedMedia,
    UnsupportedSOPClass,
    UnsupportedTransferSyntax,
    Unwanted,
)

# PS3.18 table I.2-2. The first line that fits counts.
_FAILURE_REASONS: tuple[tuple[type[NodeError], int], ...] = (
    (OutOfResources, 0xA700),  # Refused: out of resources
    (TooLarge, 0xA700),
    (Mismatch, 0xA900),  # Error: Data Set does not match SOP Class
    (UnsupportedSOPClass, 0x0122),  # Referenced SOP Class not supported
    (UnsupportedTransferSyntax, 0xC122),  # Referenced Transfer Syntax not supported
    (UnsupportedMedia, 0xC000),  # Error: cannot understand
    (InvalidRequest, 0xC000),
    (Unwanted, 0x0124),  # Not authorized (PS3.7 C.5.16)
    (Conflict, 0x0111),  # Duplicate SOP Instance (PS3.7 C.5.2)
    (Forbidden, 0x0124),
)
PROCESSING_FAILURE = 0x0110
COERCED = 0xB000  # PS3.18 table I.2-1: Coercion of Data Elements
MISMATCHED = 0xB007  # likewise: Data Set does not match SOP Class


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one part: stored where *failure* is None. UIDs are "" where they are not known.

    *retrieve_url* is that of the instance, *warning_reason* one of PS3.18 table I.2-1, *warnings* are sentences.
    """

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    retrieve_url: str = ""
    failure: NodeError | None = None
    warning_reason: int | None = None
    warnings: tuple[str, ...] = ()


def failure_reason(error: NodeError) -> int:
    """Failure Reason (0008,1197) for what went wrong with one instance."""
    return next((reason for kind, reason in _FAILURE_REASONS if isinstance(error, kind)), PROCESSING_FAILURE)


def document(results: Iterable[Result], retrieve_url: str = "") -> JsonDataset:
    """The response's Data Set. *retrieve_url* is that of the study that everything went into, "" if there were several.

    Deviation: a failed part of which no UID is known is told in the Other Failures Sequence, where it belongs, and in
    the Failed SOP Sequence with empty UIDs too, since user agents look for failures only there.
    """
    results = list(results)
    failed = [_failed(result, result.failure) for result in results if result.failure]
    unknown = [result.failure for result in results if result.failure and not result.sop_instance_uid]
    others = [{"00081197": _us(failure_reason(failure))} for failure in unknown]
    stored = [_stored(result) for result in results if result.failure is None]
    sequences = (("00081198", failed), ("00081199", stored), ("0008119A", others))
    found: JsonDataset = {"00081190": _text("UR", retrieve_url)}
    found.update((tag, {"vr": "SQ", "Value": items}) for tag, items in sequences if items)
    return found


def _stored(result: Result) -> JsonDataset:
    stored = {**_reference(result), "00081190": _text("UR", result.retrieve_url)}
    return stored if result.warning_reason is None else stored | {"00081196": _us(result.warning_reason)}


def _failed(result: Result, failure: NodeError) -> JsonDataset:
    return {**_reference(result), "00081197": _us(failure_reason(failure))}


def _reference(result: Result) -> JsonDataset:
    return {"00081150": _text("UI", result.sop_class_uid), "00081155": _text("UI", result.sop_instance_uid)}


def _text(vr: str, value: str) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


def _us(value: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [value]}
