"""What an association may be about: our side of its negotiation (PS3.7 D). Knows UIDs and contexts, no associations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from relais.dicom import contexts, uids
from relais.dicom.commitment import PUSH_MODEL
from relais.dicom.contexts import Supported
from relais.dimse import identity, models
from relais.peers.wire import associate
from relais.peers.wire.associate import Answer, Proposal, Proposed, Remembered

# What we can do where the peer proposes it, byte by byte (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1). C-FIND: relational queries,
# combined date-time matching, fuzzy matching of person names, timezone query adjustment, no conversion of enhanced
# multi-frame images, empty value matching, multiple value matching. C-MOVE and C-GET: relational retrieval.
EXTENDED: Mapping[str, bytes] = {"C-FIND": b"\1\1\1\1\0\1\1", "C-MOVE": b"\1", "C-GET": b"\1"}

# Storage Commitment: as SCP we are asked, as SCU we are told (PS3.4 J.3.1).
COMMITMENT_SERVICES = ("N-ACTION", "N-EVENT-REPORT")


@dataclass(frozen=True, slots=True)
class Terms:
    """What we agree to. *accepted* are the contexts by ID, *items* all of it as an A-ASSOCIATE-AC says it.

    *supported* is what there is of ours in the proposal, *confirms_user* whether the user is answered.
    """

    supported: tuple[Supported, ...]
    accepted: Mapping[int, Answer]
    extended: Mapping[str, bytes]
    confirms_user: bool
    items: bytes


class Negotiator:
    """Our side of every negotiation. The same proposal again costs a look-up: see associate.Remembered."""

    def __init__(self, private_sop_classes: Iterable[str] = (), max_length: int = 131072) -> None:
        self._supported, self._max_length = supported(private_sop_classes), max_length
        self._known: Remembered[Terms] = Remembered()

    def terms(self, proposal: Proposal) -> Terms:
        """What we agree to of *proposal*."""
        terms = self._known.get(proposal.encoded)
        if terms is None:
            terms = self._negotiated(proposal)
            if proposal.identity is None:
                self._known.keep(proposal.encoded, terms)
        return terms

    def _negotiated(self, proposal: Proposal) -> Terms:
        ours = self._supported
        answers = [answer(one, ours.get(one.abstract_syntax), proposal.roles) for one in proposal.contexts]
        accepted = {one.context_id: one for one in answers if one.result == associate.ACCEPTED}
        roles = agreed_roles(accepted.values(), ours, proposal.roles)
        there = {one.abstract_syntax for one in accepted.values()}
        agreed = extended({uid: info for uid, info in proposal.extended.items() if uid in there})
        confirms_user = identity.is_confirmed(proposal.identity)
        items = associate.accepting_items(answers, self._max_length, roles, agreed, confirms_user=confirms_user)
        asked = sorted({one.abstract_syntax for one in proposal.contexts} & ours.keys())
        return Terms(tuple(ours[uid] for uid in asked), accepted, agreed, confirms_user, items)


def supported(private_sop_classes: Iterable[str] = ()) -> dict[str, Supported]:
    """Every abstract syntax that we accept, and how."""
    rows = (
        *contexts.messages((contexts.VERIFICATION, *models.sop_classes())),
        *contexts.storage(private_sop_classes),
        Supported(PUSH_MODEL, contexts.MESSAGE_TRANSFER_SYNTAXES, as_scu=True),
    )
    return {row.abstract_syntax: row for row in rows}


def answer(proposed: Proposed, ours: Supported | None, roles: Mapping[str, tuple[bool, bool]]) -> Answer:
    """What becomes of one context: accepted in the Transfer Syntax that we prefer of those proposed (PS3.8 9.3.3.2).

    A requestor that wants to be neither SCU nor SCP is refused (PS3.7 D.3.3.4).
    """
    uid, theirs = proposed.abstract_syntax, proposed.transfer_syntaxes
    unused = theirs[:1] or (uids.IMPLICIT_VR_LITTLE_ENDIAN,)  # of a context that is refused it means nothing
    if ours is None:
        return Answer(proposed.context_id, uid, unused, associate.ABSTRACT_SYNTAX_NOT_SUPPORTED)
    chosen = next((one for one in ours.transfer_syntaxes if one in theirs), None)
    if chosen is None:
        return Answer(proposed.context_id, uid, unused, associate.TRANSFER_SYNTAXES_NOT_SUPPORTED)
    scu, scp = roles.get(uid, (True, False)) if ours.as_scu else (True, False)
    if not scu and not scp:
        return Answer(proposed.context_id, uid, (chosen,), associate.USER_REJECTION)
    return Answer(proposed.context_id, uid, (chosen,), as_scu=scp, as_scp=scu)


def agreed_roles(
    accepted: Iterable[Answer], ours: Mapping[str, Supported], roles: Mapping[str, tuple[bool, bool]]
) -> dict[str, tuple[bool, bool]]:
    """What to answer to role selection: where we can be either, what the requestor proposes (PS3.7 D.3.3.4)."""
    found = sorted({one.abstract_syntax for one in accepted if ours[one.abstract_syntax].as_scu} & roles.keys())
    return {uid: roles[uid] for uid in found}


def has_service(sop_class_uid: str, service: str) -> bool:
    """Whether *service* may be asked for in a context of that accepted abstract syntax."""
    if sop_class_uid == PUSH_MODEL:
        return service in COMMITMENT_SERVICES
    return service == service_of(sop_class_uid)


def service_of(sop_class_uid: str) -> str:
    """The DIMSE service of an accepted abstract syntax that has only one."""
    if sop_class_uid == contexts.VERIFICATION:
        return "C-ECHO"
    try:
        return models.model_of(sop_class_uid)[1]
    except KeyError:
        return "C-STORE"


def extended(proposed: Mapping[str, bytes]) -> dict[str, bytes]:
    """What to answer to SOP Class Extended Negotiation: what both can do, in as many bytes as were proposed."""
    return {
        uid: _common(info, EXTENDED[service_of(uid)]) for uid, info in proposed.items() if service_of(uid) in EXTENDED
    }


def _common(theirs: bytes, ours: bytes) -> bytes:
    return bytes(one == other == 1 for one, other in zip(theirs, ours.ljust(len(theirs), b"\0"), strict=False))
