import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from relais.dicom import uids
from relais.errors import InvalidRequest


@pytest.mark.parametrize("uid", ["1", "1.2", "0.0", "2.25." + "9" * 39, "1." + "2" * 62, "1.2.840.10008.1.2"])
def test_digits_and_dots_are_a_uid(uid: str) -> None:
    """PS3.5 9.1"""
    assert uids.is_valid(uid)


def test_leading_zeros_are_tolerated() -> None:
    assert uids.is_valid("1.02.003")


NO_UIDS = [
    ".",
    "1.",
    ".1",
    "1..2",
    "..",
    "../1.2",
    "1.2/3",
    "1.2\\3",
    "1.a",
    "１.２",
    "1.²",
    "-1",
    "1.2%2e",
    "*",
    "1.2*",
    "1,2",
]


@pytest.mark.parametrize("uid", ["", "1.2 ", "1.2\n", "1.2\0", "1." + "2" * 63, *NO_UIDS])
def test_nothing_else_is_a_uid(uid: str) -> None:
    assert not uids.is_valid(uid)


def test_a_required_uid_comes_without_its_padding() -> None:
    assert uids.require(" 1.2.3\0", "StudyInstanceUID") == "1.2.3"


@pytest.mark.parametrize("uid", [None, "", "\0", "  "])
def test_a_missing_uid_is_named(uid: str | None) -> None:
    with pytest.raises(InvalidRequest, match="StudyInstanceUID is missing"):
        uids.require(uid, "StudyInstanceUID")


def test_a_malformed_uid_is_named() -> None:
    with pytest.raises(InvalidRequest, match="SOPInstanceUID is not a UID"):
        uids.require("../../etc/passwd", "SOPInstanceUID")


def test_generated_uids_are_valid_and_differ() -> None:
    """PS3.5 B.2"""
    made = {uids.generate() for _ in range(100)}
    assert len(made) == 100
    assert all(uids.is_valid(uid) and UID(uid).is_valid and uid.startswith("2.25.") for uid in made)


def test_our_own_names_are_allowed_values() -> None:
    assert UID(uids.IMPLEMENTATION_CLASS_UID).is_valid
    assert len(uids.IMPLEMENTATION_VERSION_NAME) <= 16


@given(st.text(max_size=70))
def test_no_uid_can_leave_a_folder(text: str) -> None:
    if uids.is_valid(text):
        assert set(text) <= set("0123456789.")
        assert ".." not in text


def test_what_we_say_of_transfer_syntaxes_agrees_with_pydicom() -> None:
    for uid in uids.NATIVE | uids.ENCAPSULATED:
        known = UID(uid)
        if known.type == "Transfer Syntax":
            assert known.is_encapsulated == uids.is_encapsulated(uid)
            assert known.is_deflated == uids.is_deflated(uid)
            assert known.is_little_endian != uids.is_big_endian(uid)
            assert known.is_implicit_VR == uids.is_implicit(uid)


def test_lossy_and_video_syntaxes_are_encapsulated() -> None:
    assert uids.LOSSY < uids.ENCAPSULATED
    assert uids.VIDEO < uids.LOSSY
    assert not uids.NATIVE & uids.ENCAPSULATED


@pytest.mark.parametrize("last", ["70", "57", "80", "90", "92", "201", "202", "110"])
def test_lossless_syntaxes_are_not_called_lossy(last: str) -> None:
    assert f"1.2.840.10008.1.2.4.{last}" in uids.ENCAPSULATED - uids.LOSSY
