"""Which presentation contexts to propose for instances, and which accepted one to use. Knows no association."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relais.dicom.uids import TRANSCODE_TARGETS
from relais.peers.base import Outgoing


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
