"""Instances of nobody, to measure with: a CT and an MR slice as scanners send them. Knows Data Sets, no protocol."""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relais.dicom import uids
from relais.peers import identifier
from relais.peers.base import Outgoing
from relais.telemetry.context import new_id

PIXEL_DATA = struct.pack("<HH2s2x", 0x7FE0, 0x0010, b"OW")  # without its length


@dataclass(frozen=True, slots=True)
class Kind:
    """*side* is how many rows and columns of two bytes there are."""

    modality: str
    sop_class_uid: str
    side: int


CT = Kind("CT", "1.2.840.10008.5.1.4.1.1.2", 512)
MR = Kind("MR", "1.2.840.10008.5.1.4.1.1.4", 256)


@dataclass(frozen=True, slots=True)
class MadeUp:
    """A study of one series, whose patient nobody else has."""

    kind: Kind
    study_instance_uid: str
    patient_id: str
    instances: tuple[Outgoing, ...]

    @property
    def size_bytes(self) -> int:
        """Of all its pixels."""
        return len(self.instances) * 2 * self.kind.side**2


def study(kind: Kind, count: int) -> MadeUp:
    """A study of *count* instances, in Explicit VR Little Endian."""
    study_uid, series_uid, patient = uids.generate(), uids.generate(), f"BENCH{new_id().upper()}"
    pixels = random.Random(1).randbytes(2 * kind.side**2)  # noqa: S311 - nobody needs to be surprised
    made = []
    for number in range(1, count + 1):
        instance_uid = uids.generate()
        head = _head(kind, patient, (study_uid, series_uid, instance_uid), number)
        pieces = (head, PIXEL_DATA + struct.pack("<I", len(pixels)), pixels)
        made.append(Outgoing(kind.sop_class_uid, instance_uid, uids.EXPLICIT_VR_LITTLE_ENDIAN, _Pieces(pieces).read))
    return MadeUp(kind, study_uid, patient, tuple(made))


@dataclass(frozen=True, slots=True)
class _Pieces:
    """A Data Set, whose pixels are those of all the others of its study."""

    pieces: tuple[bytes, ...]

    def read(self, transfer_syntax_uid: str) -> Iterator[bytes]:
        return iter(self.pieces)


def _head(kind: Kind, patient: str, named: tuple[str, str, str], number: int) -> bytes:
    """All but the pixels."""
    study_uid, series_uid, instance_uid = named
    elements: dict[str, tuple[str, Any]] = {
        "00080016": ("UI", kind.sop_class_uid),
        "00080018": ("UI", instance_uid),
        "00080020": ("DA", "20240101"),
        "00080030": ("TM", "120000"),
        "00080050": ("SH", patient[-8:]),
        "00080060": ("CS", kind.modality),
        "00080070": ("LO", "RELAIS"),
        "00081030": ("LO", "MEASURED"),
        "00100010": ("PN", {"Alphabetic": f"NOBODY^{patient}"}),
        "00100020": ("LO", patient),
        "00100030": ("DA", "19700101"),
        "00100040": ("CS", "O"),
        "0020000D": ("UI", study_uid),
        "0020000E": ("UI", series_uid),
        "00200010": ("SH", "1"),
        "00200011": ("IS", 1),
        "00200013": ("IS", number),
        "00200032": ("DS", f"0\\0\\{number}"),
        "00200037": ("DS", "1\\0\\0\\0\\1\\0"),
        "00280002": ("US", 1),
        "00280004": ("CS", "MONOCHROME2"),
        "00280010": ("US", kind.side),
        "00280011": ("US", kind.side),
        "00280030": ("DS", "0.7\\0.7"),
        "00280100": ("US", 16),
        "00280101": ("US", 16),
        "00280102": ("US", 15),
        "00280103": ("US", 0),
    }
    found = {key: {"vr": vr, "Value": [value]} for key, (vr, value) in elements.items()}
    return identifier.encode(found, uids.EXPLICIT_VR_LITTLE_ENDIAN)
