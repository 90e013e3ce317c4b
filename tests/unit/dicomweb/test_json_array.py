"""Metadata arrays (PS3.18 F.2.1) in any split of their bytes."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.dicomweb import json_array
from relais.dicomweb.json_array import Splitter
from relais.errors import InvalidRequest, TooLarge


def split(text: bytes, cuts: list[int] | None = None) -> list[bytes]:
    """The objects of *text*, fed in pieces that end at *cuts*."""
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts or ()), len(text)]
    splitter = Splitter()
    found = [one for start, stop in pairwise(edges) for one in splitter.feed(text[start:stop])]
    splitter.close()
    return found


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a"\\[]{},é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\{', max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), max_size=4),
    st.lists(st.integers(0, 10_000), max_size=30),
    st.sampled_from([None, 1]),
)
def test_any_split_of_the_bytes_gives_the_same_objects(
    objects: list[dict[str, Any]], cuts: list[int], indent: int | None
) -> None:
    text = json.dumps(objects, indent=indent).encode()
    assert [json.loads(one) for one in split(text, cuts)] == objects
    assert split(text, list(range(len(text)))) == split(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{}",
        b"[",
        b"[{}",
        b"[{},]",
        b"[,{}]",
        b"[{} {}]",
        b"[{},,{}]",
        b"[{}]]",
        b"[{}][]",
        b"[{}]x",
        b"x[{}]",
        b"[1]",
        b"[null, {}]",
        b'["a"]',
        b'"[{}]"',
        b"[[]]",
        b"[[{}]]",
        b'[{"a": "]',
        b'[{"a": "\\"}]',
        b"]",
        b"}",
        b"[}]",
    ],
)
def test_what_is_no_array_of_objects_is_refused(text: bytes) -> None:
    for cuts in ([], list(range(len(text)))):
        with pytest.raises(InvalidRequest):
            split(text, cuts)


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=10))
def test_no_text_does_anything_but_be_split_or_refused(text: bytes, cuts: list[int]) -> None:
    with suppress(InvalidRequest):
        split(text, cuts)


def test_an_object_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardening.md 5."""
    monkeypatch.setattr(json_array, "MAX_OBJECT_BYTES", 10_000)
    for start in (b'[{"a": "', b'[{"a": [', b"", b"[", b"[{},"):
        splitter = Splitter()
        list(splitter.feed(start))
        with pytest.raises(TooLarge, match="at most 10000 bytes"):
            for _ in range(20):
                list(splitter.feed(b" " * 1000))


def test_an_object_of_too_many_pieces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """hardening.md 5."""
    monkeypatch.setattr(json_array, "MAX_TOKENS", 100)
    assert len(split(b"[" + b",".join([b'{"a": [1]}'] * 200) + b"]")) == 200
    with pytest.raises(TooLarge, match="at most 100 names"):
        split(b'[{"a": [' + b"[]," * 60 + b"[]]}]")


@pytest.mark.parametrize("piece", [b"{}", b"null", b"1", b'"a"', b'{"a": 1}'])
def test_an_object_that_takes_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    """hardening.md 3: a few bytes each take hundreds in a Data Set."""
    monkeypatch.setattr(json_array, "MAX_PIECES", 100)
    some, many = (b'[{"a": [' + b",".join([piece] * count) + b"]}]" for count in (20, 101))
    assert len(split(some)) == 1
    with pytest.raises(TooLarge, match="at most 100 names"):
        split(many)


@pytest.mark.parametrize("separator", [rb"\\", rb"\u005c"])
def test_values_within_one_text_count_too(monkeypatch: pytest.MonkeyPatch, separator: bytes) -> None:
    monkeypatch.setattr(json_array, "MAX_PIECES", 100)
    with pytest.raises(TooLarge, match="at most 100 names"):
        split(b'[{"a": ["' + separator.join([b"1"] * 101) + b'"]}]')


def test_an_enhanced_image_of_two_thousand_frames_is_taken() -> None:
    """Nine functional groups of each, with thirty attributes in all."""
    macro = {f"0018{number:04X}": {"vr": "FD", "Value": [0.5, 1.5]} for number in range(0x9100, 0x9103)}
    frame = {f"0021{number:04X}": {"vr": "SQ", "Value": [macro]} for number in range(0x9110, 0x9119)}
    text = json.dumps([{"52009230": {"vr": "SQ", "Value": [frame] * 2000}}]).encode()
    assert len(split(text)) == 1
