"""Character sets: bytes to text and back by Specific Character Set (PS3.3 C.12.1.1.2). Knows no Data Sets.

1. Nothing that arrives can fail: what a declared set cannot decode becomes U+FFFD, an unknown set is taken for none.
2. Deviation: known escape sequences are followed even where they were not declared, and bytes beyond ASCII without a
   declared set are UTF-8 if they can be, else Latin-1.
3. Strict out: `encode` raises rather than lose a character.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

UTF_8 = "ISO_IR 192"

# PS3.3 tables C.12-2 and C.12-3: the number in the defined term, and the codec of that set over ASCII.
_SINGLE_BYTE = {
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "166": "iso8859_11",
}
# Read with the superset that senders in fact use: Shift JIS for JIS X 0201, UHC for KS X 1001, GB 18030 for GB 2312.
_G1_OF_NUMBER = _SINGLE_BYTE | {"13": "shift_jis", "149": "cp949", "58": "gb18030"}
# PS3.3 table C.12-5: sets that take no code extensions.
_WHOLE = {"ISO_IR 192": "utf_8", "UTF-8": "utf_8", "UTF8": "utf_8", "GB18030": "gb18030", "GBK": "gbk"}
_STANDARD_WHOLE = ("ISO_IR 192", "GB18030", "GBK")
_TERM = re.compile(r"ISO[ _-]?(?:2022)?[ _-]?(?:IR)?[ _-]*([0-9]+|GBK)")

# What we write. Latin alphabet No. 9 (ISO_IR 203) is new and few readers know it: such text goes out as UTF-8.
_ENCODERS = {f"ISO_IR {number}": codec for number, codec in _SINGLE_BYTE.items() if number != "203"} | {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

# PS3.3 tables C.12-3 and C.12-4: what escape sequences designate, to G1 and to G0.
_G1_OF_ESCAPE = {
    b"-A": "latin_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-L": "iso8859_5",
    b"-G": "iso8859_6",
    b"-F": "iso8859_7",
    b"-H": "iso8859_8",
    b"-M": "iso8859_9",
    b"-b": "iso8859_15",
    b"-T": "iso8859_11",
    b")I": "shift_jis",
    b"$)C": "cp949",
    b"$)A": "gb18030",
}
_ONE_BYTE = b""  # G0 is ASCII or JIS X 0201 romaji, which are read alike
_G0_OF_ESCAPE = {b"(B": _ONE_BYTE, b"(J": _ONE_BYTE, b"$B": b"\x1b$B", b"$@": b"\x1b$B", b"$(D": b"\x1b$(D"}
_ESCAPE = re.compile(rb"\x1b(\$[()]?[@-~]|[()-][@-~])")

_DELIMITERS = re.compile(rb"[\t\n\f\r\\]")  # after these the initial sets hold again (PS3.5 6.1.2.5.3)
_NAME_DELIMITERS = re.compile(rb"[\t\n\f\r\\^=]")
_G1_BYTES = re.compile(rb"([\x80-\xff]+)")
_CONTROLS = re.compile(rb"[\0-\x20]")  # a set of two bytes a character has none of these


def readable() -> tuple[str, ...]:
    """The defined terms of the sets that are read, without those of code extensions (PS3.3 C.12.1.1.2)."""
    return ("ISO_IR 6", *(f"ISO_IR {number}" for number in sorted(_G1_OF_NUMBER, key=int)), *_STANDARD_WHOLE)


def decode(value: bytes, specific_character_set: str | Sequence[str] | None, vr: str = "LO") -> str:
    """The text that *value*, all values of one element, encodes. Nothing is split or stripped.

    *vr* only says whether "^" and "=" end an escape sequence (PN). Never raises.
    """
    escaped = b"\x1b" in value
    if not escaped and value.isascii():
        return value.decode("ascii")
    whole, initial = _sets(_terms(specific_character_set))
    if whole is not None:
        return value.decode(whole, "replace")
    if not escaped:
        return _decode_run(value, initial)
    return _decode_extended(value, initial, _NAME_DELIMITERS if vr == "PN" else _DELIMITERS)


def _terms(specific_character_set: str | Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(specific_character_set, str):
        return tuple(specific_character_set.split("\\"))
    return tuple(specific_character_set or ())


@lru_cache(maxsize=256)
def _sets(terms: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The codec of a set without code extensions, or else that of the initial G1; both None for plain ASCII."""
    term = (terms[0] if terms else "").strip(" \0").upper()
    found = _TERM.fullmatch(term)
    if found is not None and found[1] in ("192", "GBK"):
        term = "GBK" if found[1] == "GBK" else UTF_8
    if term in _WHOLE:
        return _WHOLE[term], None
    return None, found and _G1_OF_NUMBER.get(found[1])


def _decode_run(run: bytes, g1: str | None) -> str:
    """Bytes under one G1 and a one-byte G0."""
    if g1 is not None:
        return run.decode(g1, "replace")
    try:
        return run.decode("utf_8")
    except UnicodeDecodeError:
        return run.decode("latin_1")


def _decode_extended(value: bytes, initial: str | None, delimiters: re.Pattern[bytes]) -> str:
    """Code extensions (PS3.5 6.1.2.5): escape sequences designate G0 or G1 until the next delimiter.

    Reading: after a delimiter a designated G1 stays if there is no initial one to return to; bytes beyond ASCII could
    mean nothing else. An unknown escape sequence is dropped.
    """
    pieces = _ESCAPE.split(value)  # text, escape, text, escape, ... text
    g0, g1 = _ONE_BYTE, initial
    decoded = [_decode_run(pieces[0], g1)]
    for escape, run in zip(pieces[1::2], pieces[2::2], strict=True):
        g0, g1 = _G0_OF_ESCAPE.get(escape, g0), _G1_OF_ESCAPE.get(escape, g1)
        end = (_CONTROLS if g0 else delimiters).search(run)
        cut = end.start() if end else len(run)
        decoded.append(_decode_pairs(run[:cut], g0, g1) if g0 else _decode_run(run[:cut], g1))
        if end:
            g0, g1 = _ONE_BYTE, initial or g1
            decoded.append(_decode_run(run[cut:], g1))
    return "".join(decoded)


def _decode_pairs(run: bytes, escape: bytes, g1: str | None) -> str:
    """Bytes under a G0 of two bytes a character; those with the eighth bit set are in G1."""
    return "".join(
        _decode_run(piece, g1) if number % 2 else (escape + piece).decode("iso2022_jp_2", "replace")
        for number, piece in enumerate(_G1_BYTES.split(run))
    )


def encode(text: str, specific_character_set: str | Sequence[str] | None) -> bytes:
    """*text* in a set without code extensions. Raises UnicodeEncodeError if the set has not all of its characters.

    With code extensions, or a term that is not in PS3.3, only ASCII can be encoded.
    """
    terms = _terms(specific_character_set)
    term = terms[0] if len(terms) == 1 else ""
    return text.encode(_ENCODERS.get(term, "ascii"))


def can_encode(text: str, specific_character_set: str | Sequence[str] | None) -> bool:
    """Whether `encode` would succeed."""
    try:
        encode(text, specific_character_set)
    except UnicodeEncodeError:
        return False
    return True
