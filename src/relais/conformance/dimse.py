"""The chapter of DIMSE services: what is negotiated, stored, matched and answered. Knows tables of dimse and dicom."""

from collections.abc import Iterator
from itertools import compress

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.uid import UID

from relais.config import Config
from relais.conformance.document import Section, Table
from relais.dicom import contexts, uids
from relais.dicom.attributes import REQUEST_ATTRIBUTES, TABLE, Attribute, Level, declared
from relais.dicom.commitment import PUSH_MODEL
from relais.dicom.json_model import tag_key
from relais.dicom.query_keys import MAX_VALUES
from relais.dicom.values import BINARY_VRS, NUMBER_VRS, RANGE_VRS, WILD_CARD_VRS
from relais.dimse import models, status
from relais.dimse.negotiation import EXTENDED
from relais.peers import retrieving
from relais.peers.dimse import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from relais.pixels import syntaxes

EXTENSIONS = (
    "relational queries",
    "combined date-time matching",
    "fuzzy matching of person names",
    "timezone query adjustment",
    "conversion of enhanced multi-frame images",
    "empty value matching",
    "multiple value matching",
)
"""What the bytes of C-FIND's SOP Class Extended Negotiation are about, in their order (PS3.4 C.5.1.1)."""
ASKED = frozenset({STUDY_ROOT_FIND, PATIENT_ROOT_FIND, retrieving.GET, retrieving.MOVE})
"""Of the Query/Retrieve SOP Classes, those that `relais find --peer` and `relais pull` ask with."""

MEANINGS = {
    0x0000: "Success.",
    0xB000: "Some sub-operations failed or warned; the Failed SOP Instance UID List says which failed.",
    0xFE00: "Cancelled by the peer.",
    0xFF00: "Pending.",
    0xFF01: "Pending; some optional keys were not matched or are not kept.",
}


def overview() -> Iterator[tuple[str, str, str]]:
    """Services, and whether we are SCU or SCP of them."""
    yield "Verification (PS3.4 A)", "yes", "yes"
    yield f"Storage (PS3.4 B), {len(contexts.STORAGE_SOP_CLASSES)} SOP Classes of the standard", "yes", "yes"
    yield "Query/Retrieve C-FIND (PS3.4 C)", "yes", "yes"
    yield "Query/Retrieve C-MOVE, C-GET (PS3.4 C)", "yes", "yes"
    yield "Storage Commitment Push Model (PS3.4 J)", "yes", "yes"


def sections(config: Config) -> tuple[Section, ...]:
    """What is done for a peer that calls, service by service."""
    return (_negotiation(), _storage(config), _transfer_syntaxes(), _query(config), _statuses())


def _negotiation() -> Section:
    models_of = {uid: " ".join(models.model_of(uid)[0].levels) for uid in models.sop_classes()}
    rows = [("Verification", contexts.VERIFICATION, "SCP", "C-ECHO", "")]
    for uid, levels in models_of.items():
        service = models.model_of(uid)[1]
        names = tuple(compress(EXTENSIONS, EXTENDED[service])) if service == "C-FIND" else ("relational retrieval",)
        role = "SCP, SCU" if uid in ASKED else "SCP"
        rows.append((UID(uid).name, uid, role, f"{service}, levels {levels}", "; ".join(names)))
    rows.append((UID(PUSH_MODEL).name, PUSH_MODEL, "SCP, SCU", "N-ACTION, N-EVENT-REPORT", ""))
    syntaxes_of_messages = ", ".join(UID(uid).name for uid in contexts.MESSAGE_TRANSFER_SYNTAXES)
    return Section(
        "Presentation contexts",
        (
            f"With these SOP Classes the Transfer Syntaxes {syntaxes_of_messages} are accepted, in this order of "
            "preference. Of what a peer proposes in SOP Class Extended Negotiation, what stands in the last column "
            "is agreed to.",
            Table(("SOP Class", "UID", "Role", "Services", "Extended negotiation"), tuple(rows)),
        ),
    )


def _storage(config: Config) -> Section:
    private = config.dimse.private_sop_classes
    rows = sorted((contexts.storage_name(uid), uid) for uid in contexts.STORAGE_SOP_CLASSES)
    rows += [("(configured, private)", uid) for uid in private]
    return Section(
        "Storage SOP Classes",
        (
            "Level 2 (Full): every Data Element is kept, private ones too, as it came. As SCP, also on associations "
            "that `relais pull` requests, and, for C-MOVE, C-GET and `relais send`, as SCU; in every Transfer Syntax "
            "of the next table. No attribute is coerced. The same instance again is a Success, in whatever encoding; "
            "another one under a UID that is kept is "
            + ("refused." if config.archive.on_conflict == "keep" else "kept in its place."),
            Table(("SOP Class", "UID"), tuple(rows)),
        ),
    )


def _transfer_syntaxes() -> Section:
    rows = tuple(
        (
            UID(uid).name,
            uid,
            "yes" if uid in syntaxes.DECODABLE else "no",
            "yes" if uid in syntaxes.ENCODABLE or uid in uids.TRANSCODE_TARGETS else "no",
        )
        for uid in contexts.TRANSFER_SYNTAXES
    )
    refused = tuple((UID(uid).name, uid, why) for uid, why in contexts.UNSUPPORTED.items())
    return Section(
        "Transfer Syntaxes and codecs",
        (
            "Accepted for storage in this order of preference, and sent as stored to whoever takes them. What is "
            "decoded can be rendered, and can be sent in another syntax; what is encoded can be asked for.",
            Table(("Transfer Syntax", "UID", "Decoded", "Encoded"), rows),
            "Not accepted:",
            Table(("Transfer Syntax", "UID", "Why"), refused),
        ),
    )


def _query(config: Config) -> Section:
    sites = {declared(name).tag for name in config.index.search_keys}
    rows = tuple(_attribute(row, row.is_matched or row.tag in sites) for row in TABLE)
    return Section(
        "Attributes: matched and returned",
        (
            "By C-FIND and by the Search transaction alike, at the level where an attribute stands and at those "
            "below it. Person names match without regard to case and accents; fuzzy matching finds their words by "
            "their beginnings in any order, not by sound (PS3.4 C.2.2.2.1 leaves that to us). Unique, required and "
            "derived attributes are always returned by a search, conditional ones where they are known, all others and "
            "SOPClassesInStudy on request, as is a ModalitiesInStudy without a value. A key may have up to "
            f"{MAX_VALUES} values, as in a list of UIDs; a search with more is refused.",
            Table(("Attribute", "Tag", "VR", "Level", "Use", "Matching"), rows),
            "Inside the Items of the Request Attributes Sequence:",
            Table(("Attribute", "Tag"), tuple((word, _tag(tag_for_keyword(word) or 0)) for word in REQUEST_ATTRIBUTES)),
        ),
    )


def _attribute(row: Attribute, is_matched: bool) -> tuple[str, ...]:
    level = "INSTANCE" if row.level is Level.IMAGE else row.level.value
    return row.keyword, _tag(row.tag), row.vr, level, row.use.value, ", ".join(_kinds(row, is_matched))


def _kinds(row: Attribute, is_matched: bool) -> Iterator[str]:
    """The kinds of matching that an attribute takes part in (PS3.4 C.2.2.2)."""
    if not is_matched and row.keyword != "SOPClassesInStudy":
        yield "universal"
        return
    if row.vr == "SQ":
        yield "sequence"
    elif row.vr == "UI":
        yield "single value, list of UID"
    elif row.vr not in BINARY_VRS:
        yield "single value, multiple values"
    if row.vr in RANGE_VRS:
        yield "range"
    if row.vr in WILD_CARD_VRS and row.vr not in NUMBER_VRS:
        yield "wild card"
    yield "universal, empty value"


def _tag(tag: int) -> str:
    assert keyword_for_tag(tag)
    key = tag_key(tag)
    return f"({key[:4]},{key[4:]})"


def _statuses() -> Section:
    rows = tuple(
        (service, f"{code:04X}", MEANINGS.get(code) or sentence)
        for service in status.ANSWERS
        for code, sentence in sorted(status.of_service(service).items())
    )
    return Section("Statuses of responses", (Table(("Service", "Status", "When"), rows),))
