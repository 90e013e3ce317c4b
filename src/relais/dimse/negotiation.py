"""What an association may be about: our side of its negotiation (PS3.7 D). Knows UIDs and contexts, no associations."""

from collections.abc import Iterable, Mapping

from pynetdicom.presentation import PresentationContext, build_context

from relais.dicom import contexts
from relais.dicom.commitment import PUSH_MODEL
from relais.dimse import models

# What we can do where the peer proposes it, byte by byte (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1). C-FIND: relational queries,
# combined date-time matching, fuzzy matching of person names. C-MOVE and C-GET: relational retrieval.
EXTENDED: Mapping[str, bytes] = {"C-FIND": b"\1\1\1", "C-MOVE": b"\1", "C-GET": b"\1"}

# Storage Commitment: as SCP we are asked, as SCU we are told (PS3.4 J.3.1).
COMMITMENT_SERVICES = ("N-ACTION", "N-EVENT-REPORT")


def supported(private_sop_classes: Iterable[str] = ()) -> dict[str, PresentationContext]:
    """Every abstract syntax that we accept, as the context that we accept it in. Made once; nobody changes them."""
    rows = (
        *contexts.messages((contexts.VERIFICATION, *models.sop_classes())),
        *contexts.storage(private_sop_classes),
        contexts.Supported(PUSH_MODEL, contexts.MESSAGE_TRANSFER_SYNTAXES, as_scu=True),
    )
    return {row.abstract_syntax: _context(row) for row in rows}


def _context(row: contexts.Supported) -> PresentationContext:
    context = build_context(row.abstract_syntax, list(row.transfer_syntaxes))
    if row.as_scu:
        context.scu_role = context.scp_role = True
    return context


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
    return bytes(min(pair) for pair in zip(theirs, ours.ljust(len(theirs), b"\0"), strict=False))
