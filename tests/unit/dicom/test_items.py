from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from fixtures.encoded import ITEM_END, SEQUENCE_END, UNDEFINED, element, item, open_item, open_sequence, plain
from relais.dicom.elements import Element
from relais.dicom.items import MAX_DEPTH, sequence_json, value_json
from relais.dicom.json_model import from_element
from relais.dicom.json_values import from_bytes
from relais.errors import InvalidDataSet

MEANING = element(0x00080104, "LO", b"Thorax")
NUMBER = element(0x00200013, "IS", b"12")


def ours(value: bytes, vr: str = "SQ") -> dict[str, Any]:
    return sequence_json(Element(0x00400275, vr, 0, 0, len(value), len(value)), value, ("ISO_IR 192",))


def by_json_model(value: bytes, vr: str = "SQ") -> dict[str, Any]:
    return from_element(RawDataElement(BaseTag(0x00400275), vr, len(value), value, 0, False, True), ("ISO_IR 192",))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        item(),
        item(MEANING + NUMBER) * 2,
        open_item(MEANING),
        open_item(MEANING) + SEQUENCE_END,
        item(open_sequence(0x00080006, open_item(MEANING), item(NUMBER)) + NUMBER),
        item(element(0x00080006, "SQ", item(MEANING)) + element(0x00200000, "UL", b"\0\0\0\0") + NUMBER),
        item(element(0x00080006, "SQ") + NUMBER),
        item(element(0x00091010, "OB", b"ab") + element(0x00091011, "FD", bytes(8))),
        # out of the ordinary
        item(element(0x00080005, "CS", b"ISO_IR 144") + element(0x00080104, "LO", b"\xb0\xb1")),
        item(NUMBER + MEANING),
        item(plain(0x00080104, b"Thorax")),
        item(element(0x00080104, "UN", b"Thorax")),
        item(element(0xFFFCFFFC, "OB", b"ab")),
        item(open_sequence(0x00091010, open_item(plain(0x00091011, b"ab")), vr="UN")),
    ],
)
def test_sequences_are_read_as_json_model_reads_them(value: bytes) -> None:
    assert ours(value) == by_json_model(value)


def test_a_sequence_that_came_as_un_is_read_in_implicit_vr() -> None:
    """PS3.5 6.2.2"""
    value = item(plain(0x00080104, b"Thorax"))
    assert ours(value, "UN") == by_json_model(value, "UN")
    assert ours(value, "UN")["Value"] == [{"00080104": {"vr": "LO", "Value": ["Thorax"]}}]


def test_deep_sequences_are_read_all_the_same() -> None:
    value = item(MEANING)
    for _ in range(MAX_DEPTH + 3):
        value = item(element(0x0040A730, "SQ", value))
    assert ours(value) == by_json_model(value)


@pytest.mark.parametrize(
    "value",
    [
        b"abc",
        item(MEANING, length=1000),
        item(MEANING + element(0x00200013, "IS", b"12", length=500)),
        item(MEANING, length=UNDEFINED),
        item(element(0x00091010, "OB", b"", length=UNDEFINED) + MEANING),
        MEANING,
        ITEM_END,
        item(item()),
        item(SEQUENCE_END),
    ],
)
def test_malformed_sequences_are_what_json_model_makes_of_them(value: bytes) -> None:
    def made(read: Any) -> Any:
        try:
            return read(value)
        except InvalidDataSet as exc:
            return exc.message

    assert made(ours) == made(by_json_model)


@given(
    st.sampled_from(["AE", "AS", "CS", "DA", "LO", "SH", "TM", "UI", "PN", "IS", "DS", "LT", "US", "OB"]),
    st.one_of(st.binary(max_size=12), st.text(alphabet="ab \\\0\x1b^=1.", max_size=8).map(str.encode)),
    st.sampled_from([(), ("ISO_IR 100",), ("ISO_IR 192",), ("", "ISO 2022 IR 87"), ("ISO_IR 13",)]),
    st.booleans(),
)
def test_values_are_what_json_values_makes_of_them(
    vr: str, value: bytes, terms: tuple[str, ...], is_big_endian: bool
) -> None:
    assert value_json(vr, value, terms, is_big_endian=is_big_endian) == from_bytes(
        vr, value, terms, is_big_endian=is_big_endian
    )
