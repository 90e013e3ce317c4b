"""What the node needs to know of a Data Set when it arrives: UIDs, the attributes it keeps, and where the pixels are.

Knows dicom.attributes, not the index. Reads only what it needs: a large instance costs a few short reads.
"""

from dataclasses import dataclass

from relais.dicom import uids
from relais.dicom.attributes import Use, by_tag
from relais.dicom.elements import WINDOW_BYTES, ReadAt, name
from relais.dicom.frames import frame_table
from relais.dicom.inflate import Inflated
from relais.dicom.items import SPECIFIC_CHARACTER_SET, sequence_json, value_json
from relais.dicom.json_model import JsonDataset, values
from relais.dicom.json_values import CharacterSet, from_bytes
from relais.dicom.layout import Layout
from relais.dicom.refs import InstanceRef
from relais.dicom.scan import Scan, scan, scan_start
from relais.errors import InvalidDataSet, InvalidRequest

MAX_VALUE_BYTES = 16 * 1024  # of an attribute to be kept; a longer one is not, with a warning
MAX_SEQUENCE_BYTES = 64 * 1024  # likewise, of a sequence

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E

KEPT = {tag: row.vr for tag, row in by_tag().items() if row.use is not Use.DERIVED}
_WANTED_VRS = {**KEPT, SPECIFIC_CHARACTER_SET: "CS"}
_WANTED_KEYS = {tag: f"{tag:08X}" for tag in _WANTED_VRS}
_WANTED = frozenset(_WANTED_VRS)


@dataclass(frozen=True, slots=True)
class Header:
    """One instance, as far as its index row and its retrieval need it. *warnings* say in sentences what is odd."""

    sop_class_uid: str
    ref: InstanceRef
    transfer_syntax_uid: str
    attributes: JsonDataset
    layout: Layout
    warnings: tuple[str, ...]


def read_header(read_at: ReadAt, size: int, dataset_offset: int, transfer_syntax_uid: str) -> Header:
    """Read the Data Set that lies from *dataset_offset* to *size*, the end of the object.

    *attributes* are those rows of dicom.attributes that the Data Set has, but the derived ones; do not change them,
    they are shared with other headers. The pixel offset of a
    deflated Data Set with Pixel Data is *dataset_offset*: whatever there is begins behind the head.

    Raises InvalidDataSet if it is truncated or malformed, or a UID that names or classifies it is missing or none.
    """
    source, start, end = _Source(read_at, dataset_offset), dataset_offset, size
    if uids.is_deflated(transfer_syntax_uid):
        inflated = Inflated(read_at, dataset_offset, size)
        source, start, end = _Source(inflated.read_at, 0), 0, inflated.size_bytes
    found = scan(source.read_at, start, end, transfer_syntax_uid, _WANTED)
    warnings = list(found.warnings)
    attributes = _attributes(found, source.read_at, uids.is_big_endian(transfer_syntax_uid), warnings)
    ref = InstanceRef(*(_uid(attributes, tag) for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID)))
    layout = _layout(found, source.read_at, attributes, dataset_offset, transfer_syntax_uid)
    sop_class_uid = _uid(attributes, SOP_CLASS_UID)
    return Header(sop_class_uid, ref, transfer_syntax_uid, attributes, layout, tuple(warnings))


def early_ref(read_at: ReadAt, size: int, dataset_offset: int, transfer_syntax_uid: str) -> InstanceRef | None:
    """Which instance it is whose first *size* bytes have come; None if they do not say so, or not plainly."""
    if uids.is_deflated(transfer_syntax_uid):
        return None
    tags = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID)
    found = scan_start(read_at, dataset_offset, size, transfer_syntax_uid, frozenset(tags))
    if len(found) < len(tags):
        return None
    texts = [read_at(found[tag].value_offset, min(found[tag].length, MAX_VALUE_BYTES)) for tag in tags]
    given = [text.decode("ascii", "replace").rstrip("\0 ") for text in texts]
    return InstanceRef(*given) if all(map(uids.is_valid, given)) else None


class _Source:
    """An object whose beginning is read once."""

    def __init__(self, read_at: ReadAt, start: int) -> None:
        self._read_at, self._start = read_at, start
        self._head = read_at(start, WINDOW_BYTES)

    def read_at(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at + length <= len(self._head):
            return self._head[at : at + length]
        return self._read_at(offset, length)


def _attributes(found: Scan, read_at: ReadAt, is_big_endian: bool, warnings: list[str]) -> JsonDataset:
    character_set: CharacterSet = None
    attributes: JsonDataset = {}
    for tag in sorted(found.elements.keys() & _WANTED):
        element = found.elements[tag]
        vr = element.vr if element.vr not in {None, "UN"} else _WANTED_VRS[tag]
        length = element.end - element.value_offset
        if length > (MAX_SEQUENCE_BYTES if vr == "SQ" else MAX_VALUE_BYTES):
            warnings.append(f"{name(tag)} is too long to be searched for: {length} bytes.")
            continue
        value = read_at(element.value_offset, length)
        if tag == SPECIFIC_CHARACTER_SET:
            character_set = tuple(term or "" for term in from_bytes("CS", value).get("Value", ()))
        elif vr != "SQ":
            attributes[_WANTED_KEYS[tag]] = value_json(vr, value, character_set, is_big_endian=is_big_endian)
        else:
            try:
                json = sequence_json(element, value, character_set, is_big_endian=is_big_endian)
                attributes[_WANTED_KEYS[tag]] = json
            except InvalidDataSet as exc:
                warnings.append(exc.message)
    return attributes


def _layout(found: Scan, read_at: ReadAt, attributes: JsonDataset, start: int, transfer_syntax_uid: str) -> Layout:
    if found.pixel is None:
        return Layout(start)
    if uids.is_deflated(transfer_syntax_uid):
        return Layout(start, pixel_offset=start)
    table = frame_table(found, read_at, attributes, transfer_syntax_uid)
    return Layout(start, found.pixel.offset, table.pack() if table else None)


def _uid(attributes: JsonDataset, tag: int) -> str:
    uid = "\\".join(value if isinstance(value, str) else "?" for value in values(attributes, tag))
    if uids.is_valid(uid):
        return uid
    try:
        return uids.require(uid, name(tag))
    except InvalidRequest as exc:
        raise InvalidDataSet(exc.message) from None
