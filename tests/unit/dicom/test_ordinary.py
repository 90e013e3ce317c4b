"""dicom.ordinary: the same metadata as dicom.json_model makes, or none."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fixtures.builders import a_ct, a_multiframe, a_pdf, a_sr, part10
from fixtures.encoded import element, item, open_item, open_sequence, plain, uids
from fixtures.real_files import RealFile, real_files
from relais.dicom import uids as syntaxes
from relais.dicom.elements import PIXEL_DATA, reader_of
from relais.dicom.json_model import JsonDataset, from_dataset
from relais.dicom.json_values import VRS
from relais.dicom.ordinary import ordinary_json
from relais.dicom.scan import scan

INLINE = 1024


def quick(data: bytes, transfer_syntax: str, bulk: frozenset[int] = frozenset()) -> JsonDataset | None:
    """The metadata of an encoded Data Set."""
    read_at = reader_of(BytesIO(data))
    found = scan(read_at, 0, len(data), transfer_syntax)
    is_big_endian = syntaxes.is_big_endian(transfer_syntax)
    return ordinary_json(found, read_at, bulk, INLINE, is_big_endian=is_big_endian)


def slow(ds: Dataset, bulk: frozenset[int] = frozenset()) -> JsonDataset:
    json = from_dataset(ds, bulk=lambda path, size: path if size > INLINE else None)
    return {key: value for key, value in json.items() if int(key, 16) not in bulk}


FILES = [file for file in real_files() if not syntaxes.is_deflated(file.transfer_syntax_uid)]


@pytest.mark.filterwarnings("ignore")  # real files are what they are
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_real_file_has_the_same_metadata_or_is_not_ordinary(file: RealFile) -> None:
    expected = slow(dcmread(file.path))
    bulk = frozenset(int(key, 16) for key, element in expected.items() if "BulkDataURI" in element)
    found = quick(file.dataset, file.transfer_syntax_uid, bulk)
    assert found is None or found == {key: expected[key] for key in expected if int(key, 16) not in bulk}


@pytest.mark.parametrize("is_implicit", [False, True])
def test_most_real_files_are_ordinary(is_implicit: bool) -> None:
    files = [file for file in FILES if (file.transfer_syntax_uid == ImplicitVRLittleEndian) == is_implicit]
    found = [quick(file.dataset, file.transfer_syntax_uid, frozenset({PIXEL_DATA})) is not None for file in files]
    assert sum(found) > 0.8 * len(found)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("build", [a_ct, a_multiframe, a_pdf, a_sr])
def test_what_is_built_is_ordinary(build: object, syntax: str) -> None:
    ds = build(transfer_syntax=syntax)  # type: ignore[operator]
    ds.pop("EncapsulatedDocument", None)
    file = part10(ds)
    start = file.index(b"DICM") + 4
    meta_length = int.from_bytes(file[start + 8 : start + 12], "little")
    data = file[start + 12 + meta_length :]
    bulk = frozenset({PIXEL_DATA})
    assert quick(data, syntax, bulk) == slow(dcmread(BytesIO(file)), bulk)


@pytest.mark.parametrize(
    "data",
    [
        uids() + element(0x00400275, "UN", item(plain(0x00080104, b"Thorax"))),
        uids() + open_sequence(0x00400275, open_item(element(0x00420011, "OB", bytes(2000)))),
        uids() + element(0x00400275, "SQ", item(element(0x00080005, "CS", b"ISO_IR 192"))),
        uids() + element(0x00100010, "PN", b"A^B") + element(0x00100020, "LO", b"ODD"),
    ],
    ids=["unknown sequence", "bulk data within", "another character set within", "odd lengths"],
)
def test_what_is_out_of_the_ordinary_is_left_to_others(data: bytes) -> None:
    assert quick(data, ExplicitVRLittleEndian) is None


VALUES = st.binary(max_size=40).filter(lambda value: len(value) % 2 == 0)
ELEMENTS = st.dictionaries(
    st.sampled_from([0x00080020, 0x00080060, 0x00081030, 0x00100010, 0x00180050, 0x00280030, 0x00291001, 0x00400555]),
    st.tuples(st.sampled_from(sorted(VRS - {"UN"})), VALUES),
)


@given(ELEMENTS, st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87 "]))
def test_whatever_is_made_up_has_the_same_metadata(made_up: dict[int, tuple[str, bytes]], character_set: bytes) -> None:
    data = element(0x00080005, "CS", character_set)
    for tag, (vr, value) in sorted(made_up.items()):
        data += element(tag, vr, item(element(0x00080104, "LO", value)) if vr == "SQ" else value)
    found = quick(data, ExplicitVRLittleEndian)
    assert found == slow(read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True))


STANDARD = [0x00080020, 0x00080060, 0x00100010, 0x00180050, 0x00280103, 0x00280106, 0x00281201, 0x00283002]
OTHERS = [0x00090010, 0x00091001, 0x00190010, 0x00191002, 0x00291001, 0x0040A730, 0x00420011]
CREATORS = {0x00090010: b"GEMS_IDEN_01", 0x00190010: b"SIEMENS CT VA0  COAD"}
IMPLICIT = st.dictionaries(st.sampled_from([*STANDARD, *OTHERS]), VALUES)


@given(IMPLICIT)
def test_whatever_is_made_up_in_implicit_vr_has_the_same_metadata(made_up: dict[int, bytes]) -> None:
    """Ambiguous VRs, private attributes with and without a creator that is known, sequences."""
    data = plain(0x00080005, b"ISO_IR 192")
    for tag, value in sorted(made_up.items()):
        in_sequence = item(plain(0x00080104, value))
        data += plain(tag, in_sequence if tag == 0x0040A730 else CREATORS.get(tag, value))
    found = quick(data, ImplicitVRLittleEndian)
    expected = slow(read_dataset(BytesIO(data), is_implicit_VR=True, is_little_endian=True))
    assert found in (None, expected)
