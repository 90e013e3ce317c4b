"""What may be negotiated: storage SOP Classes and Transfer Syntaxes, as tables. Knows UIDs, no association.

Every storage SOP Class of PS3.4 B.5 that pydicom's dictionary has, retired ones included: what an archive once
took, another will send. Left out is what has no patient and no study, which our information model cannot hold
(NOT_STORABLE). Every Transfer Syntax of PS3.5 that encodes a whole composite instance; UNSUPPORTED has the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

from relais.dicom import uids

VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 A.4
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

# Storage SOP Classes of instances without patient, study and series (PS3.4 GG.3).
NOT_STORABLE = frozenset(
    {
        MEDIA_STORAGE_DIRECTORY,
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
        "1.2.840.10008.5.1.4.39.1",  # Color Palette
        "1.2.840.10008.5.1.4.43.1",  # Generic Implant Template
        "1.2.840.10008.5.1.4.44.1",  # Implant Assembly Template
        "1.2.840.10008.5.1.4.45.1",  # Implant Template Group
        "1.2.840.10008.5.1.4.1.1.200.1",  # CT Defined Procedure Protocol
        "1.2.840.10008.5.1.4.1.1.200.3",  # Protocol Approval
        "1.2.840.10008.5.1.4.1.1.200.7",  # XA Defined Procedure Protocol
        "1.2.840.10008.5.1.4.1.1.201.1",  # Inventory
    }
)

# Storage SOP Classes that pydicom's dictionary does not have, or not under a name that says so.
_MORE = {
    "1.2.840.10008.5.1.1.27": "Stored Print Storage (retired)",
    "1.2.840.10008.5.1.1.29": "Hardcopy Grayscale Image Storage (retired)",
    "1.2.840.10008.5.1.1.30": "Hardcopy Color Image Storage (retired)",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.12.77": "Zeiss OPT File (retired)",
    "1.2.840.10008.5.1.4.1.1.40": "MR Image Storage Zero Padded (retired)",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
}


def _is_storage(uid: str) -> bool:
    name, kind = UID_dictionary[uid][:2]
    return kind == "SOP Class" and (name.endswith((" Storage", " Storage - Trial")) or " Storage - For Pr" in name)


STORAGE_SOP_CLASSES = (_MORE.keys() | set(filter(_is_storage, UID_dictionary))) - NOT_STORABLE

# What we take, the one we choose first when a peer leaves the choice to us: never one that makes it compress with loss.
TRANSFER_SYNTAXES: tuple[str, ...] = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    *sorted(uids.ENCAPSULATED - uids.LOSSY),
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
    *sorted(uids.LOSSY - uids.VIDEO),
    *sorted(uids.VIDEO),
)

# Of Identifiers and other Data Sets without Pixel Data.
MESSAGE_TRANSFER_SYNTAXES = (
    uids.EXPLICIT_VR_LITTLE_ENDIAN,
    uids.IMPLICIT_VR_LITTLE_ENDIAN,
    uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids.EXPLICIT_VR_BIG_ENDIAN,
)

# Transfer Syntaxes that we do not take, and why.
UNSUPPORTED: dict[str, str] = {
    **dict.fromkeys(
        (
            "1.2.840.10008.1.2.4.94",  # JPIP Referenced
            "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
            "1.2.840.10008.1.2.4.204",  # JPIP HTJ2K Referenced
            "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
        ),
        "The pixels stay with another server; keeping a reference is not keeping the image.",
    ),
    **dict.fromkeys(
        ("1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"),  # RFC 2557 MIME Encapsulation, XML Encoding
        "Retired, and never the encoding of a Data Set.",
    ),
    **dict.fromkeys(
        ("1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.7.2", "1.2.840.10008.1.2.7.3"),  # SMPTE ST 2110
        "For real-time communication (PS3.22), never stored.",
    ),
    "1.2.840.10008.1.20": "Retired: the encoding of Papyrus 3 files.",
}


@dataclass(frozen=True, slots=True)
class Supported:
    """One abstract syntax and the Transfer Syntaxes that we take with it, the preferred one first.

    *as_scu* says whether the peer may be SCP instead of us, as C-GET needs it (PS3.7 D.3.3.4).
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    as_scu: bool = False


def storage_name(sop_class_uid: str) -> str:
    """The name of a storage SOP Class of the standard."""
    return _MORE.get(sop_class_uid) or UID_dictionary[sop_class_uid][0]


def is_transfer_syntax(uid: str) -> bool:
    """Whether Data Sets in this Transfer Syntax are taken."""
    return uid in TRANSFER_SYNTAXES


def storage(private_sop_classes: Iterable[str] = ()) -> tuple[Supported, ...]:
    """The presentation contexts of the Storage service, as acceptor: in both roles, so that C-GET can answer."""
    sop_classes = sorted({*STORAGE_SOP_CLASSES, *private_sop_classes})
    return tuple(Supported(uid, TRANSFER_SYNTAXES, as_scu=True) for uid in sop_classes)


def messages(sop_classes: Iterable[str]) -> tuple[Supported, ...]:
    """The presentation contexts of services whose Data Sets are messages, not images, such as Query/Retrieve."""
    return tuple(Supported(uid, MESSAGE_TRANSFER_SYNTAXES) for uid in sop_classes)
