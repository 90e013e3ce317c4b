"""Frames of images of pydicom and of real devices, and of whatever bytes."""

from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import UID

from fixtures.builders import a_ct, a_multiframe, dataset_bytes, part10
from fixtures.encoded import EXPLICIT, IMPLICIT, JPEG, SEQUENCE_END, element
from fixtures.framed import J2K, MPEG2, RLE, TAGS, frames_of, pixels, table_of
from fixtures.real import real_files
from relais.dicom.frames import FrameTable
from relais.dicom.part10 import parse_whole_head
from relais.errors import InvalidDataSet

FRAGMENTS = st.lists(st.binary(min_size=2, max_size=8).map(lambda b: b + bytes(len(b) % 2)), min_size=1, max_size=3)


@given(st.lists(FRAGMENTS, min_size=1))
def test_frames_of_any_fragments_are_found(content: list[list[bytes]]) -> None:
    starts = [0]
    for frame in content:
        starts.append(starts[-1] + sum(len(fragment) + 8 for fragment in frame))
    fragments = [fragment for frame in content for fragment in frame]
    data = pixels(*fragments, offsets=pack(f"<{len(content)}I", *starts[:-1]))
    assert frames_of(data, table_of(data, RLE, NumberOfFrames=len(content))) == [b"".join(f) for f in content]


@given(
    st.integers(1, 2**32 - 1),
    st.integers(0, 2**50),
    st.one_of(
        st.integers(1, 2**40),
        st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20),
    ),
    st.booleans(),
)
def test_any_table_survives_packing(count: int, first: int, content: int | list[int], is_shared: bool) -> None:
    if isinstance(content, int):
        table = FrameTable(count, first, size=content)
    else:
        shares = (1,) * len(content) if is_shared else None
        table = FrameTable(len(content), first, lengths=tuple(content), shares=shares)
    assert FrameTable.unpack(table.pack()) == table


@pytest.mark.parametrize("fragments_per_frame", [1, 2, 3])
@pytest.mark.parametrize("has_offsets", [True, False])
def test_pydicom_and_we_find_the_same_frames(fragments_per_frame: int, has_offsets: bool) -> None:
    ds = a_multiframe(frames=3, rows=16, columns=16, transfer_syntax=RLE)
    encoded = [f"{'ab' * 40}{n}_".encode() for n in range(3)]
    ds.PixelData = encapsulate(encoded, fragments_per_frame=fragments_per_frame, has_bot=has_offsets)
    data = dataset_bytes(ds)
    table = table_of(data, RLE, NumberOfFrames=3)
    if has_offsets or fragments_per_frame == 1:
        assert [frame.rstrip(b"\0") for frame in frames_of(data, table)] == encoded
    else:
        assert table is None


def test_extended_offsets_of_pydicom_are_understood() -> None:
    ds = a_multiframe(frames=3, transfer_syntax=RLE)
    encoded = list(generate_frames(ds.PixelData, number_of_frames=3))
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(encoded)
    data = dataset_bytes(ds)
    assert frames_of(data, table_of(data, RLE, NumberOfFrames=3)) == encoded


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_native_frames_are_the_pixels(syntax: str) -> None:
    ds = a_ct(rows=4, columns=5, transfer_syntax=syntax)
    data = part10(ds)
    start = parse_whole_head(data)[1]
    (frame,) = frames_of(data, table_of(data, syntax, start, Rows=4, Columns=5, BitsAllocated=16))
    assert np.frombuffer(frame, "<u2").tolist() == ds.pixel_array.ravel().tolist()


# What has no table, though its frames lie in order: odd Number of Frames, or too little Pixel Data.
WITHOUT_TABLE = {"badVR.dcm", "MR_truncated.dcm"}


@pytest.mark.filterwarnings("ignore")
def test_real_images_have_the_frames_that_pydicom_finds() -> None:
    tables = 0
    for path in real_files():
        data = path.read_bytes()
        meta, start = parse_whole_head(data)
        ds = dcmread(path)
        syntax = UID(meta.transfer_syntax_uid)
        if "PixelData" not in ds or "Rows" not in ds or path.name in WITHOUT_TABLE or syntax.is_deflated:
            continue
        values = {keyword: ds.get(keyword) for keyword in TAGS if ds.get(keyword) is not None}
        table = table_of(data, syntax, start, **values)
        if table is None:
            assert not syntax.is_little_endian, path
            continue
        tables += 1
        found = frames_of(data, table)
        if syntax.is_encapsulated:
            assert found == list(generate_frames(ds.PixelData, number_of_frames=table.count)), path
        else:
            assert ds.PixelData.startswith(b"".join(found)), path
    assert tables > 80


@given(st.binary(max_size=60), st.integers(-1, 5), st.sampled_from([JPEG, J2K, RLE, MPEG2, EXPLICIT]))
def test_any_fragments_have_frames_or_none(content: bytes, count: int, syntax: str) -> None:
    data = element(0x7FE00010, "OB", content, 0xFFFFFFFF) + SEQUENCE_END
    try:
        table = table_of(data, syntax, NumberOfFrames=count)
    except InvalidDataSet:
        return
    if table is not None:
        frames_of(data, table)
