"""Data Elements copied from one Transfer Syntax into Explicit or Implicit VR Little Endian. Knows VRs, not pixels.

1. Values are kept byte for byte; only numbers of a big endian Data Set are turned round, by their VR, and values of
   odd length are padded (PS3.5 7.1.1).
2. Where the encoding stays the same, so do the lengths. Where it changes, sequences and items get undefined lengths
   and Group Lengths are left out (PS3.5 7.2, 7.5).
3. Going from implicit to explicit, the VR is that of the dictionary; private and unknown elements become UN, whose
   content stays as it is (PS3.5 6.2.2). A value too long for its VR becomes UN, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from struct import Struct
from typing import BinaryIO

import numpy as np
from pydicom.datadict import dictionary_VR

from relais.errors import InvalidDataSet
from relais.pixels.elements import (
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_DELIMITER,
    LONG_VRS,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    ElementHeader,
    ElementReader,
    Encoding,
    check_nesting,
    format_tag,
)

CHUNK_BYTES = 1024 * 1024
PIXEL_DATA = 0x7FE00010

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


_OBSERVED = frozenset({_PIXEL_REPRESENTATION, _BITS_ALLOCATED, _LUT_DESCRIPTOR, _WAVEFORM_BITS})


class Recoder:
    """Copies elements from *reader* to *out*, a stream in *target* encoding."""

    def __init__(self, reader: ElementReader, out: BinaryIO, target: Encoding) -> None:
        self._reader = reader
        self._out = out
        self._target = target
        self._is_same = reader.encoding == target

    def copy(self, header: ElementHeader, scope: Scope, depth: int = 0) -> None:
        """The element whose *header* was just read. Raises InvalidDataSet, CompressedInside."""
        vr = header.vr or self._vr_of(header, scope)
        if header.has_undefined_length:
            self._copy_undefined(header.tag, vr, scope, depth)
        elif vr == b"SQ" and not self._is_same:
            self.write_header(header.tag, vr, UNDEFINED)
            self._copy_items(self._reader.stream.tell() + header.length, scope, depth)
        else:
            self._copy_value(header, vr, scope)

    def write_header(self, tag: int, vr: bytes, length: int) -> None:
        """In the target encoding; UN for a value that is too long for its VR (PS3.5 6.2.2)."""
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

    def copy_bytes(self, length: int, word_bytes: int = 1) -> None:
        """*length* bytes of value, turned round in words of *word_bytes*."""
        while length:
            chunk = self._read(min(length, CHUNK_BYTES))
            length -= len(chunk)
            self._out.write(swapped(chunk, word_bytes))

    def _copy_undefined(self, tag: int, vr: bytes, scope: Scope, depth: int) -> None:
        check_nesting(depth)
        if vr == b"UN":
            # Implicit VR Little Endian inside, whatever is around it (PS3.5 6.2.2).
            self.write_header(tag, b"UN", UNDEFINED)
            Recoder(self._reader.nested(IMPLICIT), self._out, IMPLICIT)._copy_items(None, scope, depth)
        elif vr == b"SQ":
            self.write_header(tag, vr, UNDEFINED)
            self._copy_items(None, scope, depth)
        else:
            raise CompressedInside(f"{format_tag(tag)} inside a sequence is compressed.")

    def _copy_items(self, end: int | None, scope: Scope, depth: int) -> None:
        """The items of a sequence up to *end*, or to their delimiter."""
        while end is None or self._reader.stream.tell() < end:
            item = self._reader.expect()
            if item.tag == SEQUENCE_DELIMITER:
                break
            if item.tag != ITEM:
                raise InvalidDataSet(f"{format_tag(item.tag)} stands where an Item should.")
            self._write_mark(ITEM, UNDEFINED)
            until = None if item.has_undefined_length else self._reader.stream.tell() + item.length
            self._copy_elements(until, replace(scope), depth + 1)
            self._write_mark(ITEM_DELIMITER, 0)
        self._write_mark(SEQUENCE_DELIMITER, 0)

    def _copy_elements(self, end: int | None, scope: Scope, depth: int) -> None:
        while end is None or self._reader.stream.tell() < end:
            header = self._reader.expect()
            if header.tag == ITEM_DELIMITER:
                break
            if header.tag & 0xFFFF:
                self.copy(header, scope, depth)
            else:
                self._reader.skip(header)  # a Group Length

    def _copy_value(self, header: ElementHeader, vr: bytes, scope: Scope) -> None:
        word_bytes = _WORD_BYTES.get(vr, 1) if self._reader.encoding.is_big_endian else 1
        padding = (b" " if vr in _PADDED_WITH_SPACE else b"\0") * (header.length % 2)
        self.write_header(header.tag, vr, header.length + len(padding))
        if header.tag in _OBSERVED and header.length <= _MAX_SHORT:
            value = swapped(self._read(header.length), word_bytes)
            scope.observe(header.tag, value)
            self._out.write(value)
        else:
            self.copy_bytes(header.length, word_bytes)
        self._out.write(padding)

    def _vr_of(self, header: ElementHeader, scope: Scope) -> bytes:
        """The VR of an element that came without. An undefined length is a sequence's (PS3.5 7.5)."""
        return b"SQ" if header.has_undefined_length else vr_of(header.tag, scope)

    def _write_mark(self, tag: int, length: int) -> None:
        self._out.write(_TAG_LENGTH.pack(tag >> 16, tag & 0xFFFF, length))

    def _read(self, length: int) -> bytes:
        data = self._reader.stream.read(length)
        if len(data) < length:
            raise InvalidDataSet("The Data Set ends within a value.")
        return data


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


def recode_header(data_set: bytes, encoding: Encoding) -> bytes:
    """*data_set*, which has no compressed pixels, in Explicit VR Little Endian."""
    out = BytesIO()
    reader = ElementReader(BytesIO(data_set), encoding)
    recoder, scope = Recoder(reader, out, EXPLICIT), Scope()
    while header := reader.next():
        if header.tag & 0xFFFF:
            recoder.copy(header, scope)
        else:
            reader.skip(header)
    return out.getvalue()


def actual_encoding(start: bytes, declared: Encoding) -> Encoding:
    """How a Data Set that begins with *start* is encoded.

    Seen: Implicit VR under a Transfer Syntax UID of explicit VR and the other way round; the first element tells.
    """
    vr = start[4:6]
    if declared.is_big_endian or len(start) < 8:
        return declared
    return EXPLICIT if vr in SHORT_VRS | LONG_VRS else IMPLICIT
