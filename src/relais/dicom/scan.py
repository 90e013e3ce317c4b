"""The structural walk over an encoded Data Set: where its elements are, and that they are all there. Knows no values.

1. No length is believed: every element must end where what holds it ends, or before. Nothing is allocated by length.
2. Nothing recurses: Items are kept on a list, at most MAX_DEPTH deep.
3. What does no harm is a warning: padding behind the Data Set, odd lengths, tags out of order, a sequence of known
   length that is malformed inside. What would be guesswork is refused with a sentence that names the element.
"""

from array import array
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from relais.dicom import uids
from relais.dicom.elements import (
    DOUBLE_FLOAT_PIXEL_DATA,
    EXTENDED_LENGTHS,
    EXTENDED_OFFSETS,
    FLOAT_PIXEL_DATA,
    ITEM,
    ITEM_END,
    LONG_VRS,
    NESTING_VRS,
    PIXEL_DATA,
    SEQUENCE_END,
    SEQUENCE_TAGS,
    SHORT_VRS,
    UNDEFINED,
    VR_NAMES,
    Element,
    Encoding,
    Header,
    Malformed,
    ReadAt,
    Window,
    name,
    read_element,
)
from relais.errors import InvalidDataSet

# Sequences within sequences. Beyond it a Data Set is refused: the deepest content trees of structured reports that we
# know have a dozen levels, while a reader that recurses dies some hundred levels down.
MAX_DEPTH = 64
MAX_ELEMENTS = 4_000_000  # elements, Items and fragments in one Data Set; beyond it, it is refused
MAX_FRAGMENTS = 1_000_000  # of Pixel Data; beyond it the Data Set is refused
MAX_WARNINGS = 20  # sentences kept about one Data Set; what else is odd goes unmentioned

_LOWEST = 0x0002FFFF  # groups 0000 and 0002 belong into command sets and File Meta Information (PS3.5 7.1)
_DELIMITERS = 0xFFFE0000  # Items and their delimiters are in this group (PS3.5 7.5)
_ITEM_BYTES = b"\xfe\xff\x00\xe0"  # as Implicit VR has it, which is little endian
_PIXELS = (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA)
_ALWAYS = frozenset({*_PIXELS, EXTENDED_OFFSETS, EXTENDED_LENGTHS})


@dataclass(frozen=True, slots=True)
class Fragments:
    """The fragments of encapsulated Pixel Data (PS3.5 A.4): where each value is, and its length.

    The first is the Basic Offset Table.
    """

    offsets: "array[int]"
    lengths: "array[int]"


@dataclass(frozen=True, slots=True)
class Scan:
    """Top-level elements by tag (the last one, where a tag comes twice), Pixel Data of any kind, and the end.

    *end* is behind the last element; padding may follow. *fragments* only if Pixel Data is encapsulated. *implicit*
    says how the Data Set is really encoded.
    """

    elements: dict[int, Element]
    pixel: Element | None
    end: int
    warnings: tuple[str, ...]
    fragments: Fragments | None
    implicit: bool


def scan(
    read_at: ReadAt, start: int, size: int, transfer_syntax_uid: str, wanted: frozenset[int] | None = None
) -> Scan:
    """Walk the Data Set that lies from *start* to *size*, the end of the object, and is not deflated.

    *wanted* are the tags that shall be kept besides Pixel Data; None keeps all. Raises InvalidDataSet if it ends inside
    an element, is nested deeper than MAX_DEPTH, or is no Data Set.
    """
    walk = _Walk(read_at, start, size, transfer_syntax_uid)
    walk.wanted = _Everything() if wanted is None else _with_pixels(wanted)
    try:
        end = walk.run(start)
    except Malformed as exc:
        raise InvalidDataSet(exc.message) from None
    pixel = next((walk.found[tag] for tag in _PIXELS if tag in walk.found), None)
    return Scan(walk.found, pixel, end, tuple(walk.warnings), walk.fragments, walk.encoding.implicit)


def scan_start(
    read_at: ReadAt, start: int, size: int, transfer_syntax_uid: str, wanted: frozenset[int]
) -> dict[int, Element]:
    """Those *wanted* elements that are whole in a Data Set of which only the bytes from *start* to *size* have come."""
    walk = _Walk(read_at, start, size, transfer_syntax_uid)
    walk.wanted = wanted
    with suppress(InvalidDataSet):  # it ends inside an element, for now
        walk.run(start)
    return walk.found


def has_at_most(most: int, read_at: ReadAt, start: int, size: int, transfer_syntax_uid: str) -> bool:
    """Whether the Data Set from *start* to *size* has no more Data Elements and Items, at any depth, than *most*.

    False, too, for one that cannot be walked through: nobody knows then how many there are.
    """
    if size - start <= most * HEADER_BYTES:
        return True
    walk = _Walk(read_at, start, size, transfer_syntax_uid)
    walk.is_thorough, walk.shallow_bytes, walk.left = True, 0, most
    try:
        walk.run(start)
    except InvalidDataSet:
        return False
    return walk.left >= 0


@lru_cache(maxsize=8)
def _with_pixels(wanted: frozenset[int]) -> frozenset[int]:
    return wanted | _ALWAYS


class _Everything:
    def __contains__(self, tag: object) -> bool:
        return True


# One level of nesting takes at least 16 bytes: the header of a sequence and the header of an Item. What is shorter than
# this, less 16 bytes for each level above it, cannot be nested too deep, and is not looked into.
SHALLOW_BYTES = MAX_DEPTH * 16
HEADER_BYTES = 8  # that an element or Item takes at least

_SEQUENCE, _ITEM, _FRAGMENTS = range(3)


class _Level:
    """A sequence, an Item or fragments that the walk is in.

    *tag* is that of the sequence. *end* None: of undefined length; *limit*: what must not be passed in any case.
    """

    __slots__ = ("end", "implicit", "kind", "limit", "tag")

    def __init__(self, kind: int, tag: int, *, implicit: bool, end: int | None, limit: int) -> None:
        self.kind, self.tag, self.implicit, self.end, self.limit = kind, tag, implicit, end, limit


class _Walk:
    def __init__(self, read_at: ReadAt, start: int, size: int, transfer_syntax_uid: str) -> None:
        self.window, self.end = Window(read_at, size), size
        self.wanted: Container[int] = frozenset()
        self.found: dict[int, Element] = {}
        self.warnings: list[str] = []
        self.fragments: Fragments | None = None
        self.left = MAX_ELEMENTS
        self.shallow_bytes, self.is_thorough = SHALLOW_BYTES, False
        self.last = _LOWEST
        self.encoding = self._encoding(start, transfer_syntax_uid)

    def run(self, position: int) -> int:
        """Walk from *position* to the end of the Data Set, and say where that is."""
        run = self._run_implicit if self.encoding.implicit else self._run_explicit
        while position < self.end:
            reached = run(position)
            self._spend()
            if reached == position:
                if self._is_padding(position):
                    self.warn(f"{self.end - position} zero bytes follow the Data Set.")
                    break
                reached = self._one(position)
            position = reached
        return position

    def warn(self, sentence: str) -> None:
        if len(self.warnings) < MAX_WARNINGS and sentence not in self.warnings:
            self.warnings.append(sentence)

    def _encoding(self, start: int, transfer_syntax_uid: str) -> Encoding:
        """What the Transfer Syntax says, unless the first element shows otherwise.

        Seen: Data Sets in Implicit VR announced as Explicit VR, and the other way round.
        """
        announced = uids.is_implicit(transfer_syntax_uid)
        at = self.window.index(start, 8)
        vr = self.window.data[at + 4 : at + 6]
        found = vr not in SHORT_VRS and vr not in LONG_VRS
        if found != announced and len(vr) == 2 and (announced or not vr.isalpha()):
            self.warn(f"The Data Set is encoded in {'Implicit' if found else 'Explicit'} VR, against its announcement.")
            announced = found
        return Encoding(implicit=announced, big_endian=uids.is_big_endian(transfer_syntax_uid))

    def _run_explicit(self, position: int) -> int:
        """Pass the ordinary elements from *position* on, as far as the window shows; anything odd stops the run."""
        at = self.window.index(position, 12)
        base, data, bound = self.window.base, self.window.data, self.end - self.window.base
        unpack, unpack_length = self.encoding.short.unpack_from, self.encoding.length.unpack_from
        found, wanted, last, enough = self.found, self.wanted, self.last, len(data) - 12
        short_vrs, names, make, passed = SHORT_VRS, VR_NAMES, tuple.__new__, 0  # most of what reading a header costs
        shallow_bytes = self.shallow_bytes
        while at <= enough:
            group, number, vr, length = unpack(data, at)
            tag = group << 16 | number
            value_at = at + 8
            if vr not in short_vrs:
                if vr not in LONG_VRS:
                    break
                length = unpack_length(data, value_at)[0]
                value_at += 4
                if length >= shallow_bytes and vr in NESTING_VRS:
                    break
            behind = value_at + length
            if not last < tag < _DELIMITERS or behind > bound or length & 1:  # an undefined length is odd, too
                break
            if tag in wanted:
                found[tag] = make(Element, (tag, names[vr], base + at, base + value_at, length, base + behind))
            last = tag
            at = behind
            passed += 1
        self.last = last
        self.left -= passed
        return base + at

    def _run_implicit(self, position: int) -> int:
        """The same for Implicit VR."""
        at = self.window.index(position, 8)
        base, data, bound = self.window.base, self.window.data, self.end - self.window.base
        unpack, enough = self.encoding.plain.unpack_from, len(data) - 8
        found, wanted, last = self.found, self.wanted, self.last
        while at <= enough:
            group, number, length = unpack(data, at)
            tag = group << 16 | number
            behind = at + 8 + length
            if not last < tag < _DELIMITERS or behind > bound or length & 1:
                break
            if length >= self.shallow_bytes and (tag in SEQUENCE_TAGS or self._begins_with_item(tag, base + at + 8)):
                break
            if tag in wanted:
                found[tag] = Element(tag, None, base + at, base + at + 8, length, base + behind)
            last = tag
            at = behind
            self.left -= 1
        self.last = last
        return base + at

    def _is_padding(self, position: int) -> bool:
        """Whether nothing but zeros is left."""
        at = self.window.index(position, 8)
        if any(self.window.data[at : at + 8]):
            return False
        while position < self.end:
            at = self.window.index(position, 1)
            chunk = self.window.data[at:]
            if not chunk or chunk.count(0) != len(chunk):
                return False
            position += len(chunk)
        return True

    def _one(self, position: int) -> int:
        """Pass one element at the top level, whatever is odd about it."""
        top = _Level(_ITEM, 0, implicit=self.encoding.implicit, end=None, limit=self.end)
        header = read_element(self.window, self.encoding, position, self.end, implicit=top.implicit)
        tag, vr, value_at, length = header
        if tag in {ITEM_END, SEQUENCE_END} and length == 0:
            self.warn(f"{name(tag)} delimits nothing.")
            return value_at
        self._check_tag(tag)
        inner = self._inner(header, top, depth=0)
        behind = self._walk(inner, value_at) if inner else value_at + length
        if tag in self.wanted:
            self.found[tag] = Element(tag, vr.decode() if vr else None, position, value_at, length, behind)
        return behind

    def _check_tag(self, tag: int) -> None:
        if tag >> 16 in {0x0000, 0x0002, 0xFFFE}:
            raise InvalidDataSet(f"{name(tag)} does not belong into a Data Set.")
        if _LOWEST < tag <= self.last:
            self.warn(f"{name(tag)} is out of order or comes twice.")
        self.last = max(tag, self.last)

    def _inner(self, header: Header, level: _Level, depth: int) -> _Level | None:
        """What must be walked through to pass an element, *depth* sequences deep; None where its length says enough.

        PS3.5 7.5 for sequences, A.4 for fragments, 6.2.2 for UN: what has VR UN is in Implicit VR inside.
        """
        tag, vr, value_at, length = header
        nests = vr in {None, b"SQ", b"UN"}
        implicit = level.implicit or vr != b"SQ"
        if length == UNDEFINED:
            kind = _SEQUENCE if nests and tag != PIXEL_DATA else _FRAGMENTS
            return _Level(kind, tag, implicit=implicit, end=None, limit=level.limit)
        end = value_at + length
        if end > level.limit:
            raise Malformed(f"The Data Set ends inside {name(tag)}.")
        if length & 1:
            self.warn(f"{name(tag)} has an odd length.")
        if length >= self._shallow_at(depth) and (
            vr == b"SQ" or (nests and tag in SEQUENCE_TAGS) or (vr is None and self._begins_with_item(tag, value_at))
        ):
            return _Level(_SEQUENCE, tag, implicit=implicit, end=end, limit=end)
        return None

    def _shallow_at(self, depth: int) -> int:
        return self.shallow_bytes - depth * 16

    def _begins_with_item(self, tag: int, value_at: int) -> bool:
        """Whether a private element may be a sequence of which nothing says so; asked by a thorough walk only."""
        if not self.is_thorough or not tag >> 16 & 1:
            return False
        at = self.window.index(value_at, 4)
        return self.window.data[at : at + 4] == _ITEM_BYTES

    def _walk(self, level: _Level, position: int) -> int:
        """Walk through *level* and all that is inside, from *position*, and say where it ends."""
        stack = [level]
        while stack:
            level = stack[-1]
            if position == level.end:
                stack.pop()
                continue
            self._spend()
            try:
                position = _STEPS[level.kind](self, stack, position)
            except Malformed as exc:
                position = self._give_up(stack, position, exc)
        return position

    def _give_up(self, stack: list[_Level], position: int, exc: Malformed) -> int:
        """Where to go on after the outermost level whose length is known."""
        for index, level in enumerate(stack):
            if level.end is not None:
                del stack[index:]
                if self.is_thorough:
                    self.left -= (level.end - position) // HEADER_BYTES  # as many as there can be behind it
                self.warn(f"{name(level.tag)} is malformed inside: {exc.message}")
                return level.end
        raise exc

    def _pass_item(self, stack: list[_Level], position: int) -> int:
        """Enter or pass the next Item of a sequence, or leave the sequence."""
        level = stack[-1]
        tag, _, value_at, length = read_element(self.window, self.encoding, position, level.limit, implicit=True)
        if tag == SEQUENCE_END and level.end is None:
            stack.pop()
            return value_at
        if tag != ITEM:
            raise Malformed(f"{name(level.tag)} has {name(tag)} where an Item was expected.")
        if length == UNDEFINED:
            stack.append(_Level(_ITEM, level.tag, implicit=level.implicit, end=None, limit=level.limit))
            return value_at
        end = value_at + length
        if end > level.limit:
            raise Malformed(f"The Data Set ends inside an Item of {name(level.tag)}.")
        if length < self._shallow_at(len(stack) // 2 + 1):
            return end
        stack.append(_Level(_ITEM, level.tag, implicit=level.implicit, end=end, limit=end))
        return value_at

    def _pass_element(self, stack: list[_Level], position: int) -> int:
        """Enter or pass the next element of an Item, or leave the Item."""
        level = stack[-1]
        header = read_element(self.window, self.encoding, position, level.limit, implicit=level.implicit)
        if header.tag == ITEM_END and level.end is None:
            stack.pop()
            return header.value_at
        if header.tag >> 16 == 0xFFFE:
            raise Malformed(f"An Item of {name(level.tag)} has {name(header.tag)} inside.")
        inner = self._inner(header, level, depth=len(stack) // 2)
        if inner is None:
            return header.value_at + header.length
        if len(stack) >= 2 * MAX_DEPTH:
            raise InvalidDataSet(f"Sequences are nested more than {MAX_DEPTH} deep.")
        stack.append(inner)
        return header.value_at

    def _pass_fragments(self, stack: list[_Level], position: int) -> int:
        """Pass all fragments, and keep where they are if they are the Pixel Data of the instance."""
        level, window, offsets, lengths = stack[-1], self.window, array("Q"), array("I")
        while True:
            tag, _, value_at, length = read_element(window, self.encoding, position, level.limit, implicit=True)
            if tag == SEQUENCE_END:
                break
            position = value_at + length
            if tag != ITEM or length == UNDEFINED or position > level.limit:
                raise Malformed(f"The Data Set ends inside a fragment of {name(level.tag)}.")
            offsets.append(value_at)
            lengths.append(length)
            self._spend()
            if len(offsets) > MAX_FRAGMENTS:
                raise InvalidDataSet(f"{name(level.tag)} has more than {MAX_FRAGMENTS} fragments.")
        if len(stack) == 1 and level.tag == PIXEL_DATA:
            self.fragments = Fragments(offsets, lengths)
        stack.pop()
        return value_at

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise InvalidDataSet(f"The Data Set has more than {MAX_ELEMENTS} Data Elements and Items.")


_STEPS = {_SEQUENCE: _Walk._pass_item, _ITEM: _Walk._pass_element, _FRAGMENTS: _Walk._pass_fragments}
