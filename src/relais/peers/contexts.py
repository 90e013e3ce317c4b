"""Which presentation contexts to propose for instances, and which accepted one to use. Knows no association."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relais.dicom import uids
from relais.dicom.contexts import TRANSFER_SYNTAXES
from relais.dicom.uids import TRANSCODE_TARGETS
from relais.peers.base import Outgoing

UNCOMPRESSED = (uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN)
OFTEN = tuple(f"1.2.840.10008.1.2.{last}" for last in ("4.70", "4.50", "4.90", "4.91", "4.80", "5", "4.51", "4.57"))
"""The compressed Transfer Syntaxes that archives hold, the commonest first; the others follow."""

COMMON_SOP_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{last}"
    for last in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "2", "2.1", "4", "4.1", "4.2", "6.1", "6.2", "3.1", "7", "7.1"),
        *("7.2", "7.3", "7.4", "9.1.1", "9.1.2", "9.1.3", "11.1", "11.2", "12.1", "12.1.1", "12.2", "12.2.1", "13.1.1"),
        *("13.1.2", "13.1.3", "20", "30", "66", "66.1", "66.2", "66.4", "66.5", "67", "77.1.1", "77.1.2", "77.1.4"),
        *("77.1.5.1", "77.1.5.4", "77.1.6", "88.11", "88.22", "88.33", "88.59", "88.67", "104.1", "104.2", "128"),
        *("128.1", "130", "481.1", "481.2", "481.3", "481.5", "481.8"),
    )
)
"""What a study may hold of which nobody says what it holds."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A presentation context in which we may send: one Transfer Syntax was chosen by the peer."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Instances that fit one association, and what to propose for them."""

    proposals: tuple[tuple[str, tuple[str, ...]], ...]
    instances: tuple[Outgoing, ...]


def batches(instances: Iterable[Outgoing], limit: int) -> list[Batch]:
    """*instances* grouped so that no group needs more than *limit* presentation contexts; order is kept within a group.

    Per SOP Class, one context for each stored Transfer Syntax, and one with the uncompressed ones that are not among
    them, so that a peer that does not take what is stored can have it decoded (PS3.5 10.1).
    """
    by_class: dict[str, list[Outgoing]] = {}
    for instance in instances:
        by_class.setdefault(instance.sop_class_uid, []).append(instance)
    made: list[Batch] = []
    proposals: list[tuple[str, tuple[str, ...]]] = []
    group: list[Outgoing] = []
    for sop_class_uid, of_class in by_class.items():
        wanted = _proposals(sop_class_uid, of_class)
        if proposals and len(proposals) + len(wanted) > limit:
            made.append(Batch(tuple(proposals), tuple(group)))
            proposals, group = [], []
        proposals += wanted
        group += of_class
    if group:
        made.append(Batch(tuple(proposals), tuple(group)))
    return made


def _proposals(sop_class_uid: str, instances: Sequence[Outgoing]) -> list[tuple[str, tuple[str, ...]]]:
    stored = list(dict.fromkeys(instance.transfer_syntax_uid for instance in instances))
    fallback = tuple(uid for uid in TRANSCODE_TARGETS if uid not in stored)
    wanted = [(uid,) for uid in stored] + ([fallback] if fallback else [])
    return [(sop_class_uid, transfer_syntaxes) for transfer_syntaxes in wanted]


def to_receive(
    sop_classes: Sequence[str], limit: int, *, uncompressed: bool = True
) -> list[tuple[str, tuple[str, ...]]]:
    """What to propose to be sent instances of *sop_classes* in whatever Transfer Syntax, in at most *limit* contexts.

    A peer chooses one Transfer Syntax of each context and may be able to send what it holds in no other. So each
    compressed one has a context of its own, as far as they go; the last context of a SOP Class has all the rest.

    Seen: dcmqrscp, which sends in an uncompressed context where one was accepted, and so cannot send what it holds
    compressed: it is asked again without *uncompressed*.
    """
    alone = [(uid,) for uid in dict.fromkeys((*OFTEN, *TRANSFER_SYNTAXES)) if uid not in UNCOMPRESSED]
    groups = [UNCOMPRESSED, *alone] if uncompressed else alone
    each = max(1, limit // max(1, len(sop_classes)))
    if len(groups) > each:
        rest = tuple(uid for group in groups[each - 1 :] for uid in group)
        groups = [*groups[: each - 1], rest]
    return [(sop_class, group) for sop_class in sop_classes[:limit] for group in groups]


class Selection:
    """The accepted contexts of one association, to choose from."""

    def __init__(self, accepted: Iterable[Accepted]) -> None:
        self._by_syntaxes = {(one.abstract_syntax, one.transfer_syntax): one for one in accepted}

    def select(self, instance: Outgoing) -> Accepted | None:
        """The best for *instance*: as it is stored, else uncompressed; None if neither was accepted."""
        for uid in (instance.transfer_syntax_uid, *TRANSCODE_TARGETS):
            found = self._by_syntaxes.get((instance.sop_class_uid, uid))
            if found is not None:
                return found
        return None
