"""archive.retrieve.large_frame: a large frame in chunks is the same frame."""

import io

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from fixtures.builders import a_ct, a_multiframe, part10
from fixtures.node import content_of, overwrite
from relais.access.principals import OPERATOR
from relais.archive import Archive, ingest, retrieve
from relais.archive.integrity import CHUNK_BYTES, HANDY_BYTES
from relais.dicom.origin import Channel, Origin
from relais.errors import Unavailable
from relais.index.rows import InstanceRow
from relais.storage.base import is_far_away

BITSTREAMS = [bytes(range(256)) * 4000, bytes(range(255)) * 5000 + b"\0" * 5000]


def kept(archive: Archive, content: bytes) -> InstanceRow:
    stored = ingest.store_part10(archive, io.BytesIO(content), Origin(Channel.IMPORT))
    return retrieve.instances(archive, OPERATOR, stored.ref)[0]


def a_loop(syntax: str) -> bytes:
    """Two large frames, compressed ones in three fragments each."""
    ds = a_multiframe(frames=2, rows=1024, columns=1024)
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == JPEG2000Lossless:
        ds.PixelData = encapsulate(BITSTREAMS, fragments_per_frame=3)
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    return part10(ds)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless])
@pytest.mark.parametrize("number", [1, 2])
def test_it_is_the_frame_as_it_is_stored(archive: Archive, syntax: str, number: int) -> None:
    row = kept(archive, a_loop(syntax))
    frame = retrieve.frame(archive, row, number)
    for wanted in (None, frame.transfer_syntax_uid):
        body = retrieve.large_frame(archive, row, number, wanted)
        assert (body is None) == is_far_away(archive.store)
        if body is not None:
            chunks = list(body.chunks)
            assert b"".join(chunks) == frame.data
            assert max(map(len, chunks)) <= CHUNK_BYTES
            assert (body.length, body.transfer_syntax_uid) == (len(frame.data), frame.transfer_syntax_uid)
    if syntax == JPEG2000Lossless:
        assert frame.data.rstrip(b"\0") == BITSTREAMS[number - 1].rstrip(b"\0")


def test_it_is_for_large_ones_that_are_there_and_wanted_as_they_are(archive: Archive) -> None:
    row = kept(archive, a_loop(JPEG2000Lossless))
    assert retrieve.large_frame(archive, row, 0, None) is None
    assert retrieve.large_frame(archive, row, 3, None) is None
    assert retrieve.large_frame(archive, row, 1, ExplicitVRLittleEndian) is None
    many_small = kept(archive, part10(a_multiframe(frames=3, rows=512, columns=512)))
    assert many_small.size_bytes > HANDY_BYTES
    assert retrieve.large_frame(archive, many_small, 1, None) is None
    assert retrieve.large_frame(archive, kept(archive, part10(a_ct())), 1, None) is None


def test_one_that_has_become_shorter_ends_with_an_error(archive: Archive) -> None:
    row = kept(archive, a_loop(ExplicitVRLittleEndian))
    overwrite(archive, row.key, content_of(archive, row.key)[:-1000])
    body = retrieve.large_frame(archive, row, 2, None)
    if body is not None:
        with pytest.raises(Unavailable):
            list(body.chunks)
