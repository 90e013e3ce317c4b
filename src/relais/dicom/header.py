"""What the node needs to know of a Data Set when it arrives: UIDs, the attributes it keeps, and where the pixels are.

Knows dicom.attributes, not the index. Reads only what it needs: a large instance costs a few short reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from threading import Lock
from typing import NamedTuple

from relais.dicom import uids
from relais.dicom.alike import Mold, mold
from relais.dicom.attributes import Use, by_tag
from relais.dicom.elements import Element, ReadAt, Source, name
from relais.dicom.frames import frame_table, lacks_pixels
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

LACKS_PIXELS = "Pixel Data is shorter than its attributes say."

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E

KEPT = {tag: row.vr for tag, row in by_tag().items() if row.use is not Use.DERIVED}
_WANTED_VRS = {**KEPT, SPECIFIC_CHARACTER_SET: "CS"}
_WANTED_KEYS = {tag: f"{tag:08X}" for tag in _WANTED_VRS}
_WANTED = frozenset(_WANTED_VRS)
# Those of which another value changes no other value, and not where the frames are: 0028 is the group of the pixels.
_CHANGING = frozenset(tag for tag, vr in KEPT.items() if vr != "SQ" and tag >> 16 != 0x0028)
MODELS = 64  # headers that are remembered; beyond it the oldest is forgotten

_Place = tuple[str, int, int]  # Transfer Syntax UID, size of the object, offset of the Data Set


class Header(NamedTuple):
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
    they are shared with other headers. The pixel offset of a deflated Data Set with Pixel Data is *dataset_offset*:
    whatever there is begins behind the head. What is laid out as one before (dicom.alike) is not walked through again.

    Raises InvalidDataSet if it is truncated or malformed, or a UID that names or classifies it is missing or none.
    """
    if uids.is_deflated(transfer_syntax_uid):
        inflated = Inflated(read_at, dataset_offset, size)
        source = Source(inflated.read_at, 0)
        return _read(source, 0, inflated.size_bytes, dataset_offset, transfer_syntax_uid)
    source = Source(read_at, dataset_offset)
    if uids.is_encapsulated(transfer_syntax_uid):  # each has a size of its own
        return _read(source, dataset_offset, size, dataset_offset, transfer_syntax_uid)
    place = (transfer_syntax_uid, size, dataset_offset)
    header = _models.like(place, source.head)
    if header is None:
        header = _read(source, dataset_offset, size, dataset_offset, transfer_syntax_uid)
        _models.keep(place, header, source)
    return header


def _read(source: Source, start: int, end: int, dataset_offset: int, transfer_syntax_uid: str) -> Header:
    found = scan(source.read_at, start, end, transfer_syntax_uid, _WANTED)
    warnings = list(found.warnings)
    attributes = _attributes(found, source.read_at, uids.is_big_endian(transfer_syntax_uid), warnings)
    sop_class_uid, ref = _named(attributes)
    layout = _layout(found, source.read_at, attributes, dataset_offset, transfer_syntax_uid)
    if lacks_pixels(found, attributes, transfer_syntax_uid):
        warnings.append(LACKS_PIXELS)
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


def _vr(element: Element) -> str:
    """Its VR; that of the dictionary where the Data Set tells none."""
    return element.vr if element.vr is not None and element.vr != "UN" else _WANTED_VRS[element.tag]


def _attributes(found: Scan, read_at: ReadAt, is_big_endian: bool, warnings: list[str]) -> JsonDataset:
    character_set: CharacterSet = None
    attributes: JsonDataset = {}
    for tag in sorted(found.elements.keys() & _WANTED):
        element = found.elements[tag]
        vr = _vr(element)
        length = element.end - element.value_offset
        if length > (MAX_SEQUENCE_BYTES if vr == "SQ" else MAX_VALUE_BYTES):
            warnings.append(f"{name(tag)} is too long to be searched for: {length} bytes.")
            continue
        value = read_at(element.value_offset, length)
        if tag == SPECIFIC_CHARACTER_SET:
            character_set = _character_set(value)
        elif vr != "SQ":
            attributes[_WANTED_KEYS[tag]] = value_json(vr, value, character_set, is_big_endian=is_big_endian)
        else:
            try:
                json = sequence_json(element, value, character_set, is_big_endian=is_big_endian)
                attributes[_WANTED_KEYS[tag]] = json
            except InvalidDataSet as exc:
                warnings.append(exc.message)
    return attributes


def _character_set(value: bytes) -> CharacterSet:
    return tuple(term or "" for term in from_bytes("CS", value).get("Value", ()))


def _layout(found: Scan, read_at: ReadAt, attributes: JsonDataset, start: int, transfer_syntax_uid: str) -> Layout:
    if found.pixel is None:
        return Layout(start)
    if uids.is_deflated(transfer_syntax_uid):
        return Layout(start, pixel_offset=start)
    table = frame_table(found, read_at, attributes, transfer_syntax_uid)
    return Layout(start, found.pixel.offset, table.pack() if table else None)


def _named(attributes: JsonDataset) -> tuple[str, InstanceRef]:
    """What it is, and which one. Raises InvalidDataSet if a UID is missing or none."""
    study, series = _uid(attributes, STUDY_INSTANCE_UID), _uid(attributes, SERIES_INSTANCE_UID)
    ref = InstanceRef(study, series, _uid(attributes, SOP_INSTANCE_UID))
    return _uid(attributes, SOP_CLASS_UID), ref


def _uid(attributes: JsonDataset, tag: int) -> str:
    uid = "\\".join([value if isinstance(value, str) else "?" for value in values(attributes, tag)])
    if uids.is_valid(uid):
        return uid
    try:
        return uids.require(uid, name(tag), tag)
    except InvalidRequest as exc:
        raise InvalidDataSet(exc.message, tag=exc.tag) from None


@dataclass(frozen=True, slots=True)
class _Model:
    """A header like which others may come, and what decodes their values."""

    header: Header
    vrs: Mapping[int, str]
    character_set: CharacterSet

    def changed(self, changes: Mapping[int, bytes], *, is_big_endian: bool) -> Header:
        """The header of a Data Set that says the same, but for *changes*."""
        attributes = dict(self.header.attributes)
        for tag, value in changes.items():
            character_set = self.character_set if tag > SPECIFIC_CHARACTER_SET else None
            json = value_json(self.vrs[tag], value, character_set, is_big_endian=is_big_endian)
            attributes[_WANTED_KEYS[tag]] = json
        sop_class_uid, ref = _named(attributes)
        known = self.header
        return Header(sop_class_uid, ref, known.transfer_syntax_uid, attributes, known.layout, ())


class _Seen(Enum):
    """What is remembered of a place instead of a header."""

    ONCE = auto()
    ODD = auto()  # nothing can be told to be laid out like it: that is not looked for again


class _Models:
    """The headers of the last layouts (dicom.alike), by Transfer Syntax, size and offset."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._known: dict[_Place, Mold[_Model] | _Seen] = {}

    def like(self, place: _Place, start: bytes) -> Header | None:
        """The header of the Data Set at *place* that begins with *start*, if it is like one before."""
        mold = self._known.get(place)
        changes = mold.changes(start) if isinstance(mold, Mold) else None
        if not isinstance(mold, Mold) or changes is None or not changes.keys() <= _CHANGING:
            return None
        return mold.found.changed(changes, is_big_endian=uids.is_big_endian(place[0]))

    def keep(self, place: _Place, header: Header, source: Source) -> None:
        """Remember *header*, if another one of its size has come before and is not remembered."""
        known: Mold[_Model] | _Seen | None = self._known.get(place)
        if known is _Seen.ODD:
            return
        found = (_molded(place, header, source) or _Seen.ODD) if known is _Seen.ONCE else _Seen.ONCE
        with self._changing:
            self._known.pop(place, None)
            if len(self._known) >= MODELS:
                del self._known[next(iter(self._known))]
            self._known[place] = found


def _molded(place: _Place, header: Header, source: Source) -> Mold[_Model] | None:
    if header.warnings:
        return None
    syntax, size, base = place
    whole = scan(source.read_at, base, size, syntax)
    wanted = [element for tag, element in whole.elements.items() if tag in _WANTED]
    vrs = {one.tag: _vr(one) for one in wanted}
    said = whole.elements.get(SPECIFIC_CHARACTER_SET)
    character_set = _character_set(source.read_at(said.value_offset, said.length)) if said else None
    return mold(_Model(header, vrs, character_set), whole, _WANTED, source.head, base, size)


_models = _Models()
