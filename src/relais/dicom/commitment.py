"""Storage Commitment Push Model: what is asked and what is answered, as values and as Data Sets (PS3.4 J.3).

Knows no association and no archive.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from relais.dicom.json_model import JsonDataset, text, values
from relais.dicom.uids import require
from relais.errors import InvalidRequest

PUSH_MODEL = "1.2.840.10008.1.20.1"  # the SOP Class
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"  # its well-known SOP Instance (PS3.4 J.3.5)
REQUEST_COMMITMENT = 1  # Action Type ID (PS3.4 J.3.2)
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type ID (PS3.4 J.3.3)

TRANSACTION_UID, FAILED_SOP_SEQUENCE, REFERENCED_SOP_SEQUENCE = 0x00081195, 0x00081198, 0x00081199
SOP_CLASS_UID, SOP_INSTANCE_UID, FAILURE_REASON = 0x00081150, 0x00081155, 0x00081197


class Reason(IntEnum):
    """Why an instance is not committed to: Failure Reason (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance by its UIDs."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Failed:
    """One instance that is not committed to. *reason* is a Reason, or whatever else a peer gave."""

    reference: Reference
    reason: int


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to be committed to."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a Request."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def event_type(self) -> int:
        return SOME_FAILED if self.failed else ALL_COMMITTED


def format_request(request: Request) -> JsonDataset:
    """The Action Information of the N-ACTION (PS3.4 table J.3-1)."""
    return {
        "00081195": {"vr": "UI", "Value": [request.transaction_uid]},
        "00081199": {"vr": "SQ", "Value": [_item(reference) for reference in request.references]},
    }


def parse_request(information: JsonDataset) -> Request:
    """What `format_request` made, or a peer. An instance that is named twice counts once. Raises InvalidRequest."""
    references = _references(information, REFERENCED_SOP_SEQUENCE)
    if not references:
        raise InvalidRequest("Referenced SOP Sequence is missing or empty.")
    return Request(_transaction_uid(information), tuple(dict.fromkeys(references)))


def format_report(report: Report) -> JsonDataset:
    """The Event Information of the N-EVENT-REPORT (PS3.4 table J.3-2)."""
    information: JsonDataset = {"00081195": {"vr": "UI", "Value": [report.transaction_uid]}}
    if report.failed:
        failed = [_item(one.reference) | {"00081197": {"vr": "US", "Value": [one.reason]}} for one in report.failed]
        information["00081198"] = {"vr": "SQ", "Value": failed}
    if report.committed:
        information["00081199"] = {"vr": "SQ", "Value": [_item(reference) for reference in report.committed]}
    return information


def parse_report(information: JsonDataset) -> Report:
    """What `format_report` made, or a peer. Raises InvalidRequest."""
    failed = values(information, FAILED_SOP_SEQUENCE)
    return Report(
        _transaction_uid(information),
        tuple(_references(information, REFERENCED_SOP_SEQUENCE)),
        tuple(Failed(_reference(item), _reason(item)) for item in failed),
    )


def _item(reference: Reference) -> JsonDataset:
    return {
        "00081150": {"vr": "UI", "Value": [reference.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [reference.sop_instance_uid]},
    }


def _references(information: JsonDataset, tag: int) -> list[Reference]:
    items: Iterable[JsonDataset] = values(information, tag)
    return [_reference(item) for item in items]


def _reference(item: JsonDataset | None) -> Reference:
    item = item or {}
    sop_class_uid = require(text(item, SOP_CLASS_UID), "Referenced SOP Class UID")
    return Reference(sop_class_uid, require(text(item, SOP_INSTANCE_UID), "Referenced SOP Instance UID"))


def _reason(item: JsonDataset) -> int:
    """Reading: a failure without a reason is a failure all the same."""
    found: Sequence[object] = values(item, FAILURE_REASON)
    return found[0] if found and isinstance(found[0], int) else Reason.PROCESSING_FAILURE


def _transaction_uid(information: JsonDataset) -> str:
    return require(text(information, TRANSACTION_UID), "Transaction UID")
