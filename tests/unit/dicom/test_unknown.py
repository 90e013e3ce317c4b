"""Sequences that come with VR UN (PS3.5 6.2.2)."""

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from fixtures.builders import a_code, a_ct, part10
from fixtures.unknown import as_unknown
from relais.dicom.unknown import with_sequences

ITEMS = [a_code(str(number), "99LONG", "x" * 60) for number in range(2000)]
TAG = "ViewCodeSequence"


@pytest.mark.parametrize("count", [1, 2000], ids=["short", "of more than 64 KB"])
def test_a_sequence_that_comes_as_un_is_one(count: int) -> None:
    ds = a_ct()
    as_unknown(ds, TAG, ITEMS[:count])
    found = with_sequences(dcmread(BytesIO(part10(ds))))
    assert [item.CodeValue for item in found.ViewCodeSequence] == [item.CodeValue for item in ITEMS[:count]]
    assert found.PatientName == ds.PatientName


def test_what_is_no_sequence_stays_as_it_is() -> None:
    ds = Dataset()
    ds.add_new(0x00091001, "UN", b"\xfe\xff\x00\xe0" + bytes(70_000))
    ds.add_new(0x00280010, "US", 40)
    assert with_sequences(ds)[0x00091001].VR == "UN"
