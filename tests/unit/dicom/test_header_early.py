"""What the beginning of an instance that is still coming says of which one it is."""

from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.uid import RLELossless

from fixtures.builders import a_ct, a_multiframe, a_pdf, part10
from fixtures.encoded import DEFLATED, EXPLICIT, IMPLICIT
from relais.dicom.header import early_ref
from relais.dicom.part10 import parse_whole_head
from relais.dicom.refs import InstanceRef


@pytest.mark.parametrize(
    "ds",
    [a_ct(), a_multiframe(), a_pdf(), a_ct(transfer_syntax=RLELossless), a_ct(transfer_syntax=IMPLICIT)],
    ids=["ct", "mf", "pdf", "rle", "implicit"],
)
def test_the_beginning_of_an_instance_says_which_it_is_or_nothing(ds: Dataset) -> None:
    content = part10(ds)
    meta, start = parse_whole_head(content)
    ref = InstanceRef(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    said = []
    for size in (*range(start, min(start + 3000, len(content))), len(content)):
        come = content[:size]

        def read_at(offset: int, length: int, come: bytes = come) -> bytes:
            return come[offset : offset + length]

        said.append(early_ref(read_at, size, start, meta.transfer_syntax_uid))
    assert said[0] is None
    assert said[-1] == ref
    assert set(said) == {None, ref}
    assert said.index(ref) == len(said) - said.count(ref)


def test_the_beginning_of_what_is_deflated_or_nonsense_says_nothing() -> None:
    for content, syntax in ((part10(a_ct()), DEFLATED), (b"\xff" * 500, EXPLICIT), (b"", EXPLICIT)):
        come = BytesIO(content)
        assert (
            early_ref(lambda at, count, come=come: (come.seek(at), come.read(count))[1], len(content), 0, syntax)
            is None
        )
