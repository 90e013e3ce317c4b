"""Data Elements change their encoding and nothing else."""

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filereader import read_dataset

from fixtures.builders import a_ct, a_sr, dataset_bytes
from fixtures.encoded import BIG_ENDIAN, EXPLICIT, IMPLICIT, element, item, open_item, open_sequence, plain
from relais.dicom.scan import MAX_DEPTH, scan
from relais.errors import InvalidDataSet
from relais.pixels import recode
from relais.pixels.recode import CompressedInside, Form, Recoder, Scope, form_of, swapped, vr_of


def recoded(data: bytes, transfer_syntax: str, target: Form = recode.EXPLICIT) -> bytes:
    """The Data Set in another form."""

    def read_at(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    found, out, scope = scan(read_at, 0, len(data), transfer_syntax), BytesIO(), Scope()
    recoder = Recoder(read_at, len(data), form_of(found, transfer_syntax), out, target)
    for one in found.elements.values():
        recoder.copy(one, scope)
    return out.getvalue()


def parsed(data: bytes, *, is_implicit: bool = False) -> Dataset:
    return read_dataset(BytesIO(data), is_implicit_VR=is_implicit, is_little_endian=True)


def a_rich_dataset(transfer_syntax: str) -> bytes:
    """Sequences, numbers of all sizes, private elements, ambiguous VRs."""
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "1", "nested"
    inner = Dataset()
    inner.PixelRepresentation, inner.SmallestImagePixelValue = 0, 65535
    inner["SmallestImagePixelValue"].VR = "US"
    inner.ConceptNameCodeSequence = [code]
    ds = a_ct(transfer_syntax=transfer_syntax, PixelRepresentation=1, rows=4, columns=4)
    ds.SmallestImagePixelValue = -7
    ds["SmallestImagePixelValue"].VR = "SS"
    ds.FrameIncrementPointer = [0x00181063, 0x00181065]
    ds.SourceImageSequence = [inner, Dataset()]
    ds.DoubleFloatRealWorldValueFirstValueMapped = 1.5
    ds.add_new(0x00186018, "UL", 1 << 31)
    ds.add_new(0x00720083, "UV", [1, 1 << 63])
    block = ds.private_block(0x0019, "RELAIS TEST", create=True)
    block.add_new(1, "OB", b"\x01\x02\x03\x04")
    block.add_new(2, "LO", "text")
    return dataset_bytes(ds)


def test_implicit_becomes_what_explicit_was() -> None:
    expected = parsed(a_rich_dataset(EXPLICIT))
    found = parsed(recoded(a_rich_dataset(IMPLICIT), IMPLICIT))
    for ds in (expected, found):
        ds.remove_private_tags()
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            delattr(ds, keyword)
    assert [one.VR for one in found] == [one.VR for one in expected]
    assert found == expected


def test_there_and_back_again_is_the_same() -> None:
    implicit = a_rich_dataset(IMPLICIT)
    back = recoded(recoded(implicit, IMPLICIT), EXPLICIT, recode.IMPLICIT)
    assert parsed(back, is_implicit=True) == parsed(implicit, is_implicit=True)


def test_private_elements_of_an_implicit_data_set_become_un() -> None:
    """PS3.5 6.2.2"""
    found = parsed(recoded(plain(0x00190010, b"RELAIS  ") + plain(0x00191001, b"\x01\x02"), IMPLICIT))
    assert [(one.VR, one.value) for one in found] == [("LO", "RELAIS"), ("UN", b"\x01\x02")]


def test_a_private_sequence_of_undefined_length_stays_a_sequence() -> None:
    data = plain(0x00190010, b"RELAIS  ") + open_sequence_implicit(0x00191001, item(plain(0x00100020, b"42")))
    found = parsed(recoded(data, IMPLICIT))
    assert found[0x00191001].VR == "SQ"
    assert found[0x00191001].value[0].PatientID == "42"


def open_sequence_implicit(tag: int, *items: bytes) -> bytes:
    return plain(tag, b"".join(items), length=0xFFFFFFFF) + plain(0xFFFEE0DD)


@pytest.mark.parametrize("target", [recode.EXPLICIT, recode.IMPLICIT])
def test_un_of_undefined_length_is_implicit_inside_and_stays_so(target: Form) -> None:
    """PS3.5 6.2.2"""
    inside = item(plain(0x00100020, b"42")) + open_item(plain(0x00100010, b"A^B "))
    data = element(0x00191001, "UN", inside, length=0xFFFFFFFF) + plain(0xFFFEE0DD)
    found = parsed(recoded(data, EXPLICIT, target), is_implicit=target.is_implicit)
    items = found[0x00191001].value
    assert [str(items[0].PatientID), str(items[1].PatientName)] == ["42", "A^B"]


@given(st.binary(min_size=8, max_size=8))
def test_big_endian_numbers_are_turned_round_by_their_vr(value: bytes) -> None:
    """PS3.5 7.3"""
    for vr, size in (("US", 2), ("OW", 2), ("AT", 2), ("UL", 4), ("OF", 4), ("FD", 8), ("OV", 8), ("OB", 1), ("UN", 1)):
        data = element(0x00191001, vr, value, order=">")
        expected = b"".join(value[at : at + size][::-1] for at in range(0, 8, size))
        assert recoded(data, BIG_ENDIAN) == element(0x00191001, vr, expected)


def test_nested_big_endian_elements_are_turned_round() -> None:
    inside = element(0x00280010, "US", b"\x01\x02", order=">")
    start = element(0x00081140, "SQ", b"\xff\xfe\xe0\x00\x00\x00\x00\x0a" + inside, order=">")
    assert parsed(recoded(start, BIG_ENDIAN)).ReferencedImageSequence[0].Rows == 0x0102


def test_explicit_elements_are_copied_as_they_are() -> None:
    data = element(0x00080000, "UL", b"\0\0\0\0") + element(
        0x00081140, "SQ", open_item(element(0x00100020, "LO", b"42"))
    )
    assert recoded(data, EXPLICIT) == data


def test_group_lengths_inside_items_are_left_out_where_lengths_change() -> None:
    inside = element(0x00080000, "UL", b"\x08\0\0\0") + element(0x00080050, "SH", b"")
    data = open_sequence(0x00081140, item(inside))
    assert parsed(recoded(data, EXPLICIT, recode.IMPLICIT), is_implicit=True).ReferencedImageSequence[0].group_dataset(
        8
    ).keys() == {0x00080050}


def test_a_value_too_long_for_its_vr_becomes_un() -> None:
    """PS3.5 6.2.2"""
    assert recoded(plain(0x00081030, b"x" * 65534), IMPLICIT)[4:6] == b"LO"
    assert recoded(plain(0x00081030, b"x" * 65536), IMPLICIT) == element(0x00081030, "UN", b"x" * 65536)


@pytest.mark.parametrize(("vr", "padding"), [("LO", b" "), ("UI", b"\0"), ("OB", b"\0")])
def test_odd_lengths_are_padded(vr: str, padding: bytes) -> None:
    """PS3.5 7.1.1"""
    assert recoded(element(0x00191001, vr, b"1"), EXPLICIT) == element(0x00191001, vr, b"1" + padding)


@pytest.mark.parametrize(
    ("tag", "scope", "vr"),
    [
        (0x00280106, Scope(is_signed=True), b"SS"),
        (0x00280106, Scope(), b"US"),
        (0x7FE00010, Scope(bits_allocated=8), b"OB"),
        (0x7FE00010, Scope(bits_allocated=16), b"OW"),
        (0x54001010, Scope(waveform_bits=8), b"OB"),
        (0x54001010, Scope(), b"OW"),
        (0x60003000, Scope(bits_allocated=8), b"OW"),
        (0x00283006, Scope(lut_entries=1), b"US"),
        (0x00283006, Scope(lut_entries=256), b"OW"),
        (0x00280000, Scope(), b"UL"),
        (0x00190010, Scope(), b"LO"),
        (0x00191010, Scope(), b"UN"),
        (0x0008FFFE, Scope(), b"UN"),
        (0x00081140, Scope(), b"SQ"),
    ],
)
def test_the_vr_of_an_implicit_element_is_that_of_the_dictionary(tag: int, scope: Scope, vr: bytes) -> None:
    """PS3.5 A.1, A.2"""
    assert vr_of(tag, scope) == vr


def test_the_scope_is_that_of_the_innermost_data_set() -> None:
    inner = plain(0x00280103, b"\0\0") + plain(0x00280106, b"\x01\0")
    data = (
        plain(0x00081140, item(inner) + item(plain(0x00280106, b"\x02\0")))
        + plain(0x00280103, b"\x01\0")
        + plain(0x00280106, b"\x03\0")
        + plain(0x00283000, item(plain(0x00283002, b"\x01\0\0\0\x10\0") + plain(0x00283006, b"\0\0")))
    )
    found = parsed(recoded(data, IMPLICIT))
    assert [one["SmallestImagePixelValue"].VR for one in (*found.ReferencedImageSequence, found)] == ["US", "US", "SS"]
    assert found.ModalityLUTSequence[0]["LUTData"].VR == "US"


def test_compressed_pixels_inside_a_sequence_are_recognised() -> None:
    inside = open_item(open_sequence(0x7FE00010, item(), item(b"\xff\xd8"), vr="OB"))
    with pytest.raises(CompressedInside):
        recoded(open_sequence(0x00880200, inside), EXPLICIT, recode.IMPLICIT)


def test_nesting_without_end_is_refused() -> None:
    data = b""
    for _ in range(MAX_DEPTH + 30):
        data = open_sequence_implicit(0x0040A730, item(data))
    with pytest.raises(InvalidDataSet, match="nested"):
        recoded(data, IMPLICIT)


@pytest.mark.parametrize(
    "broken",
    [
        plain(0x0040A730, plain(0x00100010)),  # an element instead of an Item
        plain(0x0040A730, item(plain(0x00100010, b"A", length=99))),
        plain(0x0040A730, item(b"", length=50)),
    ],
)
def test_a_sequence_that_is_malformed_inside_is_refused(broken: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        recoded(broken, IMPLICIT)


def test_a_file_that_ends_while_it_is_read_is_refused() -> None:
    data = plain(0x00081030, b"x" * 100)
    found = scan(lambda offset, length: data[offset : offset + length], 0, len(data), IMPLICIT)
    recoder = Recoder(
        lambda offset, _: data[offset : offset + 10], len(data), recode.IMPLICIT, BytesIO(), recode.EXPLICIT
    )
    with pytest.raises(InvalidDataSet, match="ends within"):
        recoder.copy(found.elements[0x00081030], Scope())


@given(st.integers(0, 40), st.sampled_from([2, 4, 8]))
def test_an_incomplete_word_stays_as_it_is(length: int, word_bytes: int) -> None:
    data = bytes(range(length))
    whole = length - length % word_bytes
    turned = swapped(data, word_bytes)
    assert swapped(turned, word_bytes) == data
    assert turned[whole:] == data[whole:]


A_REPORT = dataset_bytes(a_sr(transfer_syntax=IMPLICIT))


@given(st.data())
def test_what_a_mutated_data_set_becomes_is_readable_or_refused(data: Any) -> None:
    source = bytearray(A_REPORT)
    for _ in range(data.draw(st.integers(1, 4))):
        source[data.draw(st.integers(0, len(source) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = recoded(bytes(source), IMPLICIT)
    except InvalidDataSet:
        return
    again = scan(lambda offset, length: found[offset : offset + length], 0, len(found), EXPLICIT)
    assert again.end == len(found)
