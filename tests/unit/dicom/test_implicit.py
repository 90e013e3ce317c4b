"""What an element says where its VR is not written."""

from typing import Any

import pytest

from relais.dicom.implicit import as_read

NAME, ID, NUMBER, ROWS, REQUESTS, POINTER = 0x00100010, 0x00100020, 0x00200013, 0x00280010, 0x00400275, 0x00280009
B_VALUE, SMALLEST, DATA, PRIVATE = 0x00189087, 0x00280106, 0x00281201, 0x00091001
AN_ITEM = {"00080050": {"vr": "SH", "Value": ["A"]}}


def said(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def raw(vr: str, base64: str) -> dict[str, Any]:
    return {"vr": vr, "InlineBinary": base64}


@pytest.mark.parametrize(
    ("tag", "element"),
    [
        (NAME, said("PN", {"Alphabetic": "A"})),
        (SMALLEST, said("US", 1)),
        (SMALLEST, said("SS", -1)),
        (DATA, raw("OW", "AAA=")),
        (PRIVATE, said("SQ", AN_ITEM)),
        (PRIVATE, raw("UN", "AAA=")),
    ],
)
def test_what_is_by_the_dictionary_or_not_in_it_stays(tag: int, element: dict[str, Any]) -> None:
    assert as_read(tag, element) is element


@pytest.mark.parametrize(
    ("tag", "element", "expected"),
    [
        (NUMBER, said("US", 7, 8), said("IS", "7", "8")),
        (ROWS, said("IS", 256), said("US", 256)),
        (ROWS, said("DS", 2.0), said("US", 2)),
        (ROWS, said("LO", "12", None), said("US", 12)),
        (B_VALUE, said("DS", 0.5), said("FD", 0.5)),
        (SMALLEST, said("IS", -5), said("SS", -5)),
        (ID, said("PN", {"Alphabetic": "A", "Phonetic": "B"}), said("LO", "A==B")),
        (ID, raw("UN", "QUI="), raw("LO", "QUI=")),
        (ROWS, raw("UN", "AAE="), raw("US", "AAE=")),
        (ROWS, {"vr": "IS"}, said("US")),
    ],
)
def test_a_value_is_said_in_the_vr_of_the_dictionary(
    tag: int, element: dict[str, Any], expected: dict[str, Any]
) -> None:
    """PS3.5 A.1"""
    assert as_read(tag, element) == expected


@pytest.mark.parametrize(
    ("tag", "element"),
    [
        (NAME, said("SQ", AN_ITEM)),
        (REQUESTS, said("LO", "abc")),
        (REQUESTS, raw("UN", "AAAAAA==")),
        (POINTER, said("US", 7)),
        (ROWS, said("AT", "00181063")),
        (ROWS, said("LO", "many")),
        (ROWS, said("DS", 1.5)),
        (ROWS, said("IS", 70000)),
        (ROWS, raw("UN", "AAEC")),
        (ID, raw("OB", "QUI=")),
        (ID, raw("UN", "BwA=")),
        (DATA, said("LO", "abc")),
        (0x00189087, said("LO", "1e999999", "NaNa")),
    ],
)
def test_what_the_vr_of_the_dictionary_cannot_say_is_left_empty(tag: int, element: dict[str, Any]) -> None:
    made = as_read(tag, element)
    assert made["vr"] != element["vr"]
    assert not {"Value", "InlineBinary"} & made.keys()
