"""A header that is like one before is read as if it were the first: what is remembered may only save time."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import FileDataset

from fixtures.builders import a_code, a_ct, a_multiframe, a_pdf, a_sr, dataset_bytes
from fixtures.encoded import BIG_ENDIAN, EXPLICIT, IMPLICIT, element, item, open_sequence, uids
from fixtures.real import real_files
from relais.dicom import header as headers
from relais.dicom.header import Header, read_header
from relais.dicom.part10 import parse_whole_head
from relais.errors import InvalidDataSet

HEADER_BYTES = 4096  # of a Data Set, where what is changed lies


def a_ct_with_sequences(transfer_syntax: str) -> FileDataset:
    """With a short and a long one, an element that nobody knows, and another character set than ASCII."""
    many = [a_code(str(number), "99TEST", f"the meaning of {number}") for number in range(40)]
    return a_ct(
        transfer_syntax=transfer_syntax,
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Дюпон^Анна",
        ProcedureCodeSequence=[a_code("1", "99TEST", "one")],
        AnatomicRegionSequence=many,
    )


def read(data: bytes, syntax: str = EXPLICIT, start: int = 0) -> Header | str:
    """The header, or why there is none."""
    try:
        return read_header(lambda offset, length: data[offset : offset + length], len(data), start, syntax)
    except InvalidDataSet as exc:
        return exc.message


def forget() -> None:
    """Begin without anything remembered."""
    vars(headers)["_models"] = headers._Models()


def assert_read_alike(base: bytes, other: bytes, syntax: str, start: int = 0) -> None:
    """*other* is read behind several of *base* as it is read alone."""
    forget()
    alone = read(other, syntax, start)
    forget()
    for _ in range(3):
        read(base, syntax, start)
    assert read(other, syntax, start) == alone
    assert read(other, syntax, start) == alone


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("build", [a_ct, a_ct_with_sequences, a_sr, a_pdf, a_multiframe])
@settings(deadline=None, max_examples=20)
@given(changes=st.lists(st.tuples(st.integers(0, HEADER_BYTES), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_bytes_are_others_the_header_is_that_of_the_data_set_alone(
    build: Callable[..., FileDataset], syntax: str, changes: list[tuple[int, int]]
) -> None:
    base = dataset_bytes(build(transfer_syntax=syntax))
    other = bytearray(base)
    for place, value in changes:
        other[place % min(len(base), HEADER_BYTES)] = value
    assert_read_alike(base, bytes(other), syntax)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(
    "values",
    [
        {"SOPInstanceUID": "1.2.3.4.5.6.7.8"},
        {"InstanceNumber": "7"},
        {"PatientName": "MOREL^Helena"},
        {"Rows": 16, "Columns": 64},
        {"PhotometricInterpretation": "MONOCHROME1 "},
    ],
)
def test_values_that_are_others_are_read_and_those_that_decide_about_more_too(
    syntax: str, values: dict[str, object]
) -> None:
    base, other = (a_ct(transfer_syntax=syntax, SOPInstanceUID="1.2.3.4.5.6.7.9") for _ in range(2))
    for keyword, value in values.items():
        setattr(other, keyword, value)
    assert_read_alike(dataset_bytes(base), dataset_bytes(other), syntax)


def test_a_uid_that_is_none_is_refused_behind_one_that_is() -> None:
    base = uids()
    assert_read_alike(base, base.replace(b"1.2.3.44", b"1.2.3.4x"), EXPLICIT)
    assert isinstance(read(base.replace(b"1.2.3.44", b"1.2.3.4x")), str)


def test_another_character_set_makes_other_names_of_the_same_bytes() -> None:
    base = dataset_bytes(a_ct_with_sequences(EXPLICIT))
    other = base.replace(b"ISO_IR 192", b"ISO_IR 144")
    assert other != base
    assert_read_alike(base, other, EXPLICIT)


def test_real_files_are_read_alike_the_first_and_every_later_time() -> None:
    for path in real_files():
        data = path.read_bytes()
        meta, start = parse_whole_head(data)
        assert_read_alike(data, data, meta.transfer_syntax_uid, start)


def test_an_instance_like_one_before_is_not_walked_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    first = dataset_bytes(a_ct(SOPInstanceUID="1.2.3.1"))
    read(first)
    read(first.replace(b"1.2.3.1", b"1.2.3.2"))
    monkeypatch.setattr(headers, "scan", None)
    header = read(first.replace(b"1.2.3.1", b"1.2.3.3"))
    assert isinstance(header, Header)
    assert header.ref.sop_instance_uid == "1.2.3.3"


def test_layouts_that_are_remembered_are_bounded() -> None:
    forget()
    for size in range(2 * headers.MODELS):
        data = uids() + element(0x00400555, "UN", bytes(2 * size))
        for _ in range(3):
            read(data)
    assert len(headers._models._known) == headers.MODELS


def test_the_inside_of_a_long_sequence_is_looked_at_each_time() -> None:
    good = item(element(0x00080100, "SH", b"A " * 600))
    bad = good[:8] + b"\xff" * (len(good) - 8)
    base, other = (uids() + element(0x00321064, "SQ", value) for value in (good, bad))
    assert len(base) == len(other)
    assert_read_alike(base, other, EXPLICIT)
    found = read(other)
    assert isinstance(found, str) or found.warnings


def test_an_odd_layout_is_walked_through_once_for_each_instance_and_never_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sequence of undefined length; the second instance is looked at whole, whether others may be like it."""
    scans, scan = [], headers.scan
    monkeypatch.setattr(headers, "scan", lambda *words: scans.append(words) or scan(*words))
    forget()
    data = uids() + open_sequence(0x00400275, item(element(0x00400007, "LO", b"HEAD")))
    found = [read(data) for _ in range(6)]
    assert len(scans) == len(found) + 1
    assert found.count(found[0]) == len(found)
