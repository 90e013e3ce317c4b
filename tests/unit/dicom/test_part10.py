import io
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info

from fixtures.encoded import EXPLICIT, element
from fixtures.real import real_files
from relais.dicom import part10
from relais.dicom.origin import Channel, Origin
from relais.dicom.part10 import FileMeta
from relais.errors import InvalidDataSet

ROSA = Origin(Channel.WEB, "192.0.2.7", "CT1", "RELAIS", "rosa@nord.example")
META = FileMeta(EXPLICIT, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "CT1", "CT1", "RELAIS")
PREAMBLE = bytes(128) + b"DICM"


def head_of(*elements: bytes, group_length: int | None = None) -> bytes:
    group = b"".join(elements)
    length = len(group) if group_length is None else group_length
    return PREAMBLE + element(0x00020000, "UL", pack("<I", length)) + group


def test_what_is_written_can_be_read() -> None:
    head = part10.encode_head(META)
    assert part10.read_head(io.BytesIO(head + b"rest").read) == (META, head)


def test_another_library_reads_what_is_written() -> None:
    """PS3.10 7.1"""
    meta = dcmread(io.BytesIO(part10.encode_head(META))).file_meta
    assert meta.FileMetaInformationGroupLength == len(part10.encode_head(META)) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert (meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID) == (EXPLICIT, "1.2.3")
    assert meta.ReceivingApplicationEntityTitle == "RELAIS"


def test_empty_ae_titles_are_left_out() -> None:
    meta = dcmread(io.BytesIO(part10.encode_head(FileMeta(EXPLICIT, "1.2", "1.2.3")))).file_meta
    assert "SourceApplicationEntityTitle" not in meta
    assert "PrivateInformation" not in meta


def test_an_ae_title_that_is_too_long_or_not_ascii_cannot_break_the_head() -> None:
    head = part10.encode_head(FileMeta(EXPLICIT, "1.2", "1.2.3", source_ae_title="É" * 40))
    assert part10.read_head(io.BytesIO(head).read)[0].source_ae_title == "?" * 16


def test_a_stream_is_left_where_the_data_set_begins() -> None:
    stream = io.BytesIO(part10.encode_head(META) + b"data set")
    part10.read_head(stream.read)
    assert stream.read() == b"data set"


def test_streams_may_give_less_than_was_asked() -> None:
    stream = io.BytesIO(part10.encode_head(META) + b"data set")
    assert part10.read_head(lambda length: stream.read(min(length, 3)))[0] == META


def test_without_group_length_the_head_ends_where_another_group_begins() -> None:
    head = PREAMBLE + element(0x00020010, "UI", EXPLICIT.encode() + b"\0")
    rest = bytearray()
    data_set = element(0x00080060, "CS", b"CT") + b"x" * 5000
    stream = io.BytesIO(head + data_set)
    meta, raw = part10.read_head(stream.read, rest)
    assert (meta.transfer_syntax_uid, raw) == (EXPLICIT, head)
    assert bytes(rest) + stream.read() == data_set


@pytest.mark.parametrize("lie", [1, 10, 30, 4000])
def test_a_wrong_group_length_is_not_believed(lie: int) -> None:
    head = head_of(element(0x00020010, "UI", EXPLICIT.encode() + b"\0"), group_length=lie)
    data_set = element(0x00080060, "CS", b"CT") + bytes(5000)
    rest = bytearray()
    assert part10.read_head(io.BytesIO(head + data_set).read, rest)[1] == head
    with pytest.raises(InvalidDataSet):
        part10.read_head(io.BytesIO(head + data_set).read)


def test_a_file_that_ends_after_its_head_has_an_empty_data_set() -> None:
    head, rest = part10.encode_head(META), bytearray()
    assert part10.read_head(io.BytesIO(head).read, rest) == (META, head)
    assert rest == b""


def test_a_missing_group_length_is_named_where_it_is_needed() -> None:
    head = PREAMBLE + element(0x00020010, "UI", EXPLICIT.encode() + b"\0")
    with pytest.raises(InvalidDataSet, match="Group Length"):
        part10.read_head(io.BytesIO(head + bytes(100)).read)


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(131), bytes(200), b"GIF89a" * 100])
def test_what_is_no_part_10_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        part10.read_head(io.BytesIO(data).read)
    with pytest.raises(InvalidDataSet):
        part10.parse_whole_head(data)


def test_every_truncation_is_noticed() -> None:
    head = part10.encode_head(META)
    for end in range(len(head)):
        with pytest.raises(InvalidDataSet):
            part10.read_head(io.BytesIO(head[:end]).read)
        if end >= 144:
            assert part10.parse_head(head[:end]) is None


def test_a_declared_length_is_not_believed() -> None:
    head = head_of(element(0x00020102, "OB", b"", length=0xFFFFFFF0))
    with pytest.raises(InvalidDataSet, match="longer than"):
        part10.parse_head(head)
    with pytest.raises(InvalidDataSet, match="longer than"):
        part10.read_head(io.BytesIO(head_of(group_length=0xFFFFFFF0)).read)


def test_a_head_without_end_is_refused() -> None:
    endless = PREAMBLE + element(0x00020016, "AE", b"NORTH ") * 10_000
    with pytest.raises(InvalidDataSet, match="longer than"):
        part10.read_head(io.BytesIO(endless).read, bytearray())


def test_file_meta_information_without_vr_is_refused() -> None:
    with pytest.raises(InvalidDataSet, match="has no VR"):
        part10.parse_head(PREAMBLE + pack("<HHI", 2, 0x10, 18) + EXPLICIT.encode() + b"\0")


def test_the_origin_comes_back() -> None:
    meta = FileMeta(EXPLICIT, "1.2", "1.2.3", "CT1", "CT1", "RELAIS", part10.private_information(ROSA, 1700000000.25))
    read, _ = part10.read_head(io.BytesIO(part10.encode_head(meta)).read)
    assert part10.origin_of(read) == ROSA
    assert part10.received_at_of(read) == 1700000000.25


def test_private_information_of_others_is_not_ours() -> None:
    theirs = head_of(
        element(0x00020010, "UI", EXPLICIT.encode() + b"\0"),
        element(0x00020100, "UI", b"1.2.3\0"),
        element(0x00020102, "OB", part10.private_information(ROSA)),
    )
    meta, _ = part10.read_head(io.BytesIO(theirs).read)
    assert (meta.private, part10.origin_of(meta), part10.received_at_of(meta)) == (b"", None, None)


@pytest.mark.parametrize(
    "private", [b"", b"no json", b"[]", b'{"channel": "pigeon"}', b'{"channel": ["web"]}', b"\xff"]
)
def test_damaged_private_information_is_no_origin(private: bytes) -> None:
    assert part10.origin_of(FileMeta(EXPLICIT, private=private)) is None


@given(st.sampled_from(Channel), st.text(max_size=300), st.text(max_size=300), st.none() | st.floats(1, 4e9))
def test_any_origin_survives(channel: Channel, address: str, user: str, at: float | None) -> None:
    origin = Origin(channel, address, user=user)
    meta = FileMeta(EXPLICIT, "1.2", "1.2.3", private=part10.private_information(origin, at))
    read, _ = part10.read_head(io.BytesIO(part10.encode_head(meta)).read)
    assert (part10.origin_of(read), part10.received_at_of(read)) == (origin, at)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for candidate in (data, PREAMBLE + data, PREAMBLE + b"\2\0\0\0UL\4\0" + data):
        try:
            part10.read_head(io.BytesIO(candidate).read, bytearray())
        except InvalidDataSet:
            continue


def test_real_heads_are_read_as_pydicom_reads_them() -> None:
    assert len(real_files()) > 100
    for path in real_files():
        meta, end = part10.parse_whole_head(path.read_bytes())
        expected = read_file_meta_info(path)
        assert meta.transfer_syntax_uid == expected.get("TransferSyntaxUID", "")
        assert meta.sop_instance_uid == expected.get("MediaStorageSOPInstanceUID", "")
        assert path.read_bytes()[end : end + 2] != b"\2\0"
