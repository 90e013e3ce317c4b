"""Data Elements copied from one Transfer Syntax into Explicit or Implicit VR Little Endian. Knows VRs, not pixels.

1. Values are kept byte for byte; only numbers of a big endian Data Set are turned round, by their VR, and values of
   odd length are padded (PS3.5 7.1.1).
2. Where the encoding stays the same, elements are copied as they are. Where it changes, sequences and items get
   undefined lengths and Group Lengths are left out (PS3.5 7.2, 7.5).
3. Going from implicit to explicit, the VR is that of the dictionary; private and unknown elements become UN, whose
   content stays as it is (PS3.5 6.2.2). A value too long for its VR becomes UN, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from struct import Struct
from typing import BinaryIO, NamedTuple

import numpy as np
from pydicom.datadict import dictionary_VR

from relais.dicom import uids
from relais.dicom.elements import (
    ITEM,
    ITEM_END,
    PIXEL_DATA,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    Element,
    Encoding,
    Header,
    ReadAt,
    Window,
    name,
    read_element,
)
from relais.dicom.scan import MAX_DEPTH, Scan, scan
from relais.errors import InvalidDataSet

CHUNK_BYTES = 1024 * 1024

_TAG_LENGTH = Struct("<HHI")
_SHORT = Struct("<HH2sH")
_LONG = Struct("<HH2s2xI")
_MAX_SHORT = 0xFFFF

# Bytes of the numbers in a value (PS3.5 6.2); every other VR is a string of bytes.
_WORD_BYTES = (
    dict.fromkeys((b"AT", b"OW", b"SS", b"US"), 2)
    | dict.fromkeys((b"FL", b"OF", b"OL", b"SL", b"UL"), 4)
    | dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8)
)
_PADDED_WITH_SPACE = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())  # PS3.5 6.2
_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR = 0x00280100, 0x00280103, 0x00283002
_WAVEFORM_BITS, _WAVEFORM_DATA = 0x54001004, 0x54001010
_OBSERVED = frozenset({_BITS_ALLOCATED, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR, _WAVEFORM_BITS})


class Form(NamedTuple):
    """How the elements of a Data Set are written (PS3.5 A)."""

    is_implicit: bool
    is_big_endian: bool = False


EXPLICIT, IMPLICIT = Form(is_implicit=False), Form(is_implicit=True)


def form_of(found: Scan, transfer_syntax_uid: str) -> Form:
    """That of a Data Set which was scanned."""
    return Form(found.implicit, uids.is_big_endian(transfer_syntax_uid))


class CompressedInside(InvalidDataSet):
    """There are compressed pixels inside a sequence."""


@dataclass(slots=True)
class Scope:
    """What the Data Set around an element says about ambiguous VRs (PS3.6: "US or SS", "OB or OW")."""

    is_signed: bool = False
    bits_allocated: int = 16
    waveform_bits: int = 16
    lut_entries: int = 0

    def observe(self, tag: int, value: bytes) -> None:
        """Take in the little endian *value* of *tag*."""
        number = int.from_bytes(value[:2], "little")
        if tag == _PIXEL_REPRESENTATION:
            self.is_signed = number == 1
        elif tag == _BITS_ALLOCATED:
            self.bits_allocated = number
        elif tag == _LUT_DESCRIPTOR:
            self.lut_entries = number
        elif tag == _WAVEFORM_BITS:
            self.waveform_bits = number


class Recoder:
    """Copies elements of a Data Set in *form*, which ends at *size*, to *out*, a stream in *target* form."""

    def __init__(self, read_at: ReadAt, size: int, form: Form, out: BinaryIO, target: Form) -> None:
        self._read_at, self._size, self._form = read_at, size, form
        self._out, self._target = out, target
        self._window = Window(read_at, size)
        self._encoding = Encoding(implicit=form.is_implicit, big_endian=form.is_big_endian)

    def copy(self, element: Element, scope: Scope) -> None:
        """One element of the top level. Raises InvalidDataSet, CompressedInside."""
        if element.tag in _OBSERVED:
            scope.observe(element.tag, self._turned(element.value_offset, 2, 2))
        if self._form == self._target and (element.length == UNDEFINED or element.length % 2 == 0):
            self.copy_bytes(element.offset, element.end - element.offset)
        else:
            header = Header(element.tag, (element.vr or "").encode(), element.value_offset, element.length)
            self._recode(header, element.end, scope, depth=0)

    def write_header(self, tag: int, vr: bytes, length: int) -> None:
        """In the target form; UN for a value that is too long for its VR (PS3.5 6.2.2)."""
        group, element = tag >> 16, tag & 0xFFFF
        if self._target.is_implicit:
            self._out.write(_TAG_LENGTH.pack(group, element, length))
        elif vr in SHORT_VRS and length <= _MAX_SHORT:
            self._out.write(_SHORT.pack(group, element, vr, length))
        else:
            self._out.write(_LONG.pack(group, element, b"UN" if vr in SHORT_VRS else vr, length))

    def write(self, tag: int, vr: bytes, value: bytes) -> None:
        """One element with a little endian *value* of even length."""
        self.write_header(tag, vr, len(value))
        self._out.write(value)

    def copy_bytes(self, offset: int, length: int, word_bytes: int = 1) -> None:
        """*length* bytes at *offset*, turned round in words of *word_bytes*."""
        for start in range(offset, offset + length, CHUNK_BYTES):
            self._out.write(self._turned(start, min(CHUNK_BYTES, offset + length - start), word_bytes))

    def _recode(self, header: Header, limit: int, scope: Scope, depth: int) -> int:
        """Write one element in the target form; returns where it ends."""
        tag, vr, value_at, length = header
        vr = vr or self._vr_of(header, scope)
        if length == UNDEFINED:
            return self._recode_undefined(Header(tag, vr, value_at, length), limit, scope, depth)
        if value_at + length > limit:
            raise InvalidDataSet(f"The Data Set ends inside {name(tag)}.")
        if vr == b"SQ":
            self.write_header(tag, vr, UNDEFINED)
            return self._recode_items(value_at, value_at + length, scope, depth)
        word_bytes = _WORD_BYTES.get(vr, 1) if self._form.is_big_endian else 1
        padding = (b" " if vr in _PADDED_WITH_SPACE else b"\0") * (length % 2)
        self.write_header(tag, vr, length + len(padding))
        self.copy_bytes(value_at, length, word_bytes)
        self._out.write(padding)
        if tag in _OBSERVED and length >= 2:
            scope.observe(tag, self._turned(value_at, 2, word_bytes))
        return value_at + length

    def _recode_undefined(self, header: Header, limit: int, scope: Scope, depth: int) -> int:
        if header.vr == b"UN":
            # Implicit VR Little Endian inside, whatever is around it (PS3.5 6.2.2).
            self.write_header(header.tag, b"UN", UNDEFINED)
            inside = Recoder(self._read_at, self._size, IMPLICIT, self._out, IMPLICIT)
            return inside._recode_items(header.value_at, None, scope, depth, limit)
        if header.vr != b"SQ":
            raise CompressedInside(f"{name(header.tag)} inside a sequence is compressed.")
        self.write_header(header.tag, b"SQ", UNDEFINED)
        return self._recode_items(header.value_at, None, scope, depth, limit)

    def _recode_items(self, position: int, end: int | None, scope: Scope, depth: int, limit: int | None = None) -> int:
        """The items of a sequence up to *end*, or to their delimiter somewhere before *limit*."""
        if depth > MAX_DEPTH:
            raise InvalidDataSet(f"Sequences are nested more than {MAX_DEPTH} deep.")
        limit = end if end is not None else limit or self._size
        while end is None or position < end:
            tag, _, position, length = read_element(self._window, self._encoding, position, limit, implicit=True)
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise InvalidDataSet(f"{name(tag)} stands where an Item should.")
            self._write_mark(ITEM, UNDEFINED)
            item_end = None if length == UNDEFINED else position + length
            position = self._recode_elements(position, item_end, replace(scope), depth + 1, limit)
            self._write_mark(ITEM_END, 0)
        self._write_mark(SEQUENCE_END, 0)
        return position

    def _recode_elements(self, position: int, end: int | None, scope: Scope, depth: int, limit: int) -> int:
        """The elements of an item."""
        limit = min(limit, end) if end is not None else limit
        is_implicit = self._form.is_implicit
        while end is None or position < end:
            header = read_element(self._window, self._encoding, position, limit, implicit=is_implicit)
            if header.tag == ITEM_END:
                return header.value_at
            if header.tag & 0xFFFF:
                position = self._recode(header, limit, scope, depth)
            else:
                position = header.value_at + header.length  # a Group Length
        return position

    def _vr_of(self, header: Header, scope: Scope) -> bytes:
        """The VR of an element that came without. An undefined length is a sequence's (PS3.5 7.5)."""
        return b"SQ" if header.length == UNDEFINED else vr_of(header.tag, scope)

    def _write_mark(self, tag: int, length: int) -> None:
        self._out.write(_TAG_LENGTH.pack(tag >> 16, tag & 0xFFFF, length))

    def _turned(self, offset: int, length: int, word_bytes: int) -> bytes:
        data = self._read_at(offset, length)
        if len(data) < length:
            raise InvalidDataSet("The Data Set ends within a value.")
        return swapped(data, word_bytes) if self._form.is_big_endian else data


def vr_of(tag: int, scope: Scope) -> bytes:
    """The VR of *tag* by the dictionary, ambiguous ones decided by *scope*; UN for private and unknown elements."""
    element = tag & 0xFFFF
    if not element:
        return b"UL"
    if tag >> 16 & 1:
        return b"LO" if 0x10 <= element <= 0xFF else b"UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return b"UN"
    decide = _AMBIGUOUS.get(vr)
    return decide(tag, scope) if decide else vr.encode()


def _byte_or_word(tag: int, scope: Scope) -> bytes:
    bits = {PIXEL_DATA: scope.bits_allocated, _WAVEFORM_DATA: scope.waveform_bits}.get(tag, 16)
    return b"OB" if bits <= 8 else b"OW"


_AMBIGUOUS: dict[str, Callable[[int, Scope], bytes]] = {
    "OB or OW": _byte_or_word,
    "US or SS": lambda _, scope: b"SS" if scope.is_signed else b"US",
    "US or OW": lambda _, scope: b"US" if scope.lut_entries == 1 else b"OW",
    "US or SS or OW": lambda _, scope: b"OW",
}


def swapped(data: bytes, word_bytes: int) -> bytes:
    """*data* with the bytes of every word turned round; an incomplete last word stays as it is."""
    if word_bytes == 1:
        return data
    whole = len(data) - len(data) % word_bytes
    return np.frombuffer(data[:whole], dtype=f"u{word_bytes}").byteswap().tobytes() + data[whole:]


def in_explicit_little_endian(data_set: bytes, transfer_syntax_uid: str) -> bytes:
    """*data_set*, which ends before its Pixel Data, in Explicit VR Little Endian. Raises InvalidDataSet."""

    def read_at(offset: int, length: int) -> bytes:
        return data_set[offset : offset + length]

    found, out, scope = scan(read_at, 0, len(data_set), transfer_syntax_uid), BytesIO(), Scope()
    recoder = Recoder(read_at, len(data_set), form_of(found, transfer_syntax_uid), out, EXPLICIT)
    for element in found.elements.values():
        if element.tag & 0xFFFF:
            recoder.copy(element, scope)
    return out.getvalue()
