"""Storage (PS3.4 B) over real sockets: DCMTK and pynetdicom send, the store and the index are looked at."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, UID_dictionary
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from fixtures import dcmtk
from fixtures.builders import a_ct, a_multiframe, a_pdf, a_series, a_sr, dataset_bytes, part10, uid
from fixtures.cast import LEFEBVRE, MALLORY, SURYA, YAMADA
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import content_of
from fixtures.pynetdicom_scu import scu, store_bytes
from fixtures.waiting import eventually
from relais.access.policy import Action, Mode, Policy, Rule
from relais.access.principals import OPERATOR
from relais.archive import retrieve
from relais.dicom import contexts
from relais.dicom.refs import StudyRef

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PRIVATE = "1.3.12.2.1107.5.9.1"  # Siemens CSA Non-Image Storage
ENFORCED = Policy(Mode.ENFORCED, {"MODALITY1": Rule(frozenset({Action.STORE})), MALLORY.upper(): Rule()})


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node", private_sop_classes=(PRIVATE,)) as node:
        yield node


def write(folder: Path, *datasets: Dataset) -> list[Path]:
    """The Data Sets as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, ds in enumerate(datasets):
        path = folder / f"{number:04d}.dcm"
        path.write_bytes(part10(ds))
        paths.append(path)
    return paths


def send(
    node: DimseNode, data: bytes, sop_instance_uid: str, sop_class_uid: str = CT, syntax: str = EXPLICIT
) -> Dataset:
    """Any bytes under any UIDs."""
    with scu(node.port, [(sop_class_uid, [syntax])]) as assoc:
        return store_bytes(assoc, data, sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid)


def assert_nothing_was_kept(node: DimseNode) -> None:
    assert node.instances == 0
    assert node.kept == []


def test_a_folder_of_all_kinds_is_stored(node: DimseNode, tmp_path: Path) -> None:
    files = write(tmp_path / "in", a_ct(**YAMADA), a_ct(**LEFEBVRE), a_multiframe(**SURYA), a_sr(), a_pdf())
    ran = dcmtk.storescu(node.port, files)
    assert ran.code == 0
    assert ran.statuses == [0] * 5
    assert node.instances == 5


def test_storing_again_is_a_success_that_changes_nothing(node: DimseNode, tmp_path: Path) -> None:
    files = write(tmp_path / "in", *a_series(3))
    assert dcmtk.storescu(node.port, files).statuses == [0, 0, 0]
    before = node.kept
    assert dcmtk.storescu(node.port, files).statuses == [0, 0, 0]
    assert node.instances == 3
    assert node.kept == before


def test_another_data_set_under_a_kept_uid_is_refused(node: DimseNode, tmp_path: Path) -> None:
    """PS3.7 C.5.5: duplicate SOP Instance"""
    first, second = a_ct(SOPInstanceUID=uid("one")), a_ct(SOPInstanceUID=uid("one"), PatientComments="other")
    second.StudyInstanceUID, second.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
    assert dcmtk.storescu(node.port, write(tmp_path / "a", first)).statuses == [0]
    assert dcmtk.storescu(node.port, write(tmp_path / "b", second)).statuses == [0x0111]
    assert node.instances == 1
    assert len(node.kept) == 1


def test_the_stored_file_holds_the_data_set_as_sent_and_says_where_it_came_from(node: DimseNode) -> None:
    """PS3.10 7.1"""
    ds = a_ct()
    with scu(node.port, [(CT, [EXPLICIT])], calling="MODALITY1") as assoc:
        status = store_bytes(assoc, dataset_bytes(ds), sop_class_uid=CT, sop_instance_uid=ds.SOPInstanceUID)
    assert status.Status == 0
    [key] = node.kept
    content = content_of(node.archive, key)
    meta = dcmread(BytesIO(content)).file_meta
    assert content.endswith(dataset_bytes(ds))
    assert meta.TransferSyntaxUID == EXPLICIT
    assert (meta.SendingApplicationEntityTitle, meta.ReceivingApplicationEntityTitle) == ("MODALITY1", "RELAIS")


@pytest.mark.parametrize("syntax", contexts.TRANSFER_SYNTAXES)
def test_every_transfer_syntax_is_negotiated_with_every_storage_sop_class(node: DimseNode, syntax: str) -> None:
    sop_classes = sorted(contexts.STORAGE_SOP_CLASSES)
    for start in range(0, len(sop_classes), 128):
        with scu(node.port, [(sop_class, [syntax]) for sop_class in sop_classes[start : start + 128]]) as assoc:
            assert assoc.rejected_contexts == []


def test_the_common_storage_sop_classes_are_among_them() -> None:
    """PS3.4 B.5"""
    names = {UID_dictionary[sop_class][0] for sop_class in contexts.STORAGE_SOP_CLASSES if sop_class in UID_dictionary}
    assert {
        "CT Image Storage",
        "Enhanced MR Image Storage",
        "Encapsulated PDF Storage",
        "Segmentation Storage",
    } <= names


def test_a_private_sop_class_is_stored_only_if_configured(node: DimseNode) -> None:
    ds = a_ct(SOPClassUID=PRIVATE)
    assert send(node, dataset_bytes(ds), ds.SOPInstanceUID, PRIVATE).Status == 0
    with scu(node.port, [("1.3.12.2.1107.5.9.2", [EXPLICIT]), (CT, [EXPLICIT])]) as assoc:
        assert [cx.result for cx in assoc.rejected_contexts] == [3]


def test_a_sop_class_other_than_that_of_the_context_is_refused(node: DimseNode) -> None:
    """PS3.7 C.5.6"""
    ds = a_ct()
    with scu(node.port, [(MR, [EXPLICIT])]) as assoc:
        status = store_bytes(assoc, dataset_bytes(ds), sop_class_uid=CT, sop_instance_uid=ds.SOPInstanceUID)
    assert status.Status == 0x0122
    assert_nothing_was_kept(node)


def test_a_data_set_of_another_sop_class_is_refused(node: DimseNode) -> None:
    """PS3.4 B.2.3: A9xx"""
    ds = a_ct()
    status = send(node, dataset_bytes(ds), ds.SOPInstanceUID, MR)
    assert status.Status == 0xA900
    assert "SOP Class UID" in status.ErrorComment
    assert status.OffendingElement == tag_for_keyword("SOPClassUID")
    assert_nothing_was_kept(node)


def test_a_data_set_of_another_sop_instance_is_refused(node: DimseNode) -> None:
    """PS3.4 B.2.3: A9xx"""
    status = send(node, dataset_bytes(a_ct()), "1.2.3")
    assert status.Status == 0xA900
    assert_nothing_was_kept(node)


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_data_set_without_a_required_uid_is_refused(node: DimseNode, missing: str) -> None:
    """PS3.4 B.2.3: Cxxx"""
    ds = a_ct(SOPInstanceUID=uid("here"))
    delattr(ds, missing)
    status = send(node, encoded(ds), uid("here"))
    assert status.Status == 0xC000
    assert status.OffendingElement == tag_for_keyword(missing)
    assert_nothing_was_kept(node)


def test_less_pixel_data_than_it_says_is_kept_with_a_warning(node: DimseNode, tmp_path: Path) -> None:
    """PS3.4 table B.2-1: Data Set does not match SOP Class; also those laid out like one before."""
    short = [a_ct(Rows=512, SOPInstanceUID=uid(f"short {number}")) for number in range(4)]
    with scu(node.port, [(CT, [EXPLICIT])]) as assoc:
        answers = [assoc.send_c_store(ds) for ds in (*short, a_ct())]
    assert [answer.Status for answer in answers] == [*[0xB007] * 4, 0x0000]
    assert answers[0].ErrorComment == "Pixel Data is shorter than its attributes say."
    assert answers[0].OffendingElement == 0x7FE00010
    assert node.instances == 5
    ran = dcmtk.storescu(node.port, write(tmp_path / "in", a_ct(Rows=512), a_ct()))
    assert (ran.code, ran.statuses) == (0, [0xB007, 0x0000])


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_data_set_is_refused(node: DimseNode, kept: float) -> None:
    """PS3.4 B.2.3: Cxxx"""
    ds = a_ct()
    whole = dataset_bytes(ds)
    status = send(node, whole[: int(len(whole) * kept) & ~1], ds.SOPInstanceUID)
    assert status.Status == 0xC000
    assert_nothing_was_kept(node)


@pytest.mark.parametrize(
    "data", [b"\0\0", b"no Data Set at all, but some text of which nothing can be made", bytes(5000)]
)
def test_bytes_that_are_no_data_set_are_refused(node: DimseNode, data: bytes) -> None:
    assert send(node, data, "1.2.3").Status == 0xC000
    assert_nothing_was_kept(node)


TRICKS = ["../../../etc/passwd", "/etc/passwd", "1.2.3/../4", "1.2.3\\4", "..", "1.2.3%2f", "1.2 .3", "1" * 65, "a.b"]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_path_in_the_sop_instance_uid_of_the_command_is_refused(node: DimseNode, trick: str) -> None:
    """PS3.7 C.5.12: invalid SOP Instance"""
    assert send(node, dataset_bytes(a_ct()), trick).Status == 0x0117
    assert_nothing_was_kept(node)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("trick", ["../../../etc/passwd", "/etc/passwd", "1.2.3\\4", "..", "a.b"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what this test means
def test_a_path_in_a_uid_of_the_data_set_is_refused(node: DimseNode, keyword: str, trick: str) -> None:
    ds = a_ct(SOPInstanceUID=uid("here"))
    value = trick.encode()
    marker = b"9" * (len(value) + len(value) % 2)
    setattr(ds, keyword, marker.decode())
    data = encoded(ds).replace(marker, value + b"\0" * (len(value) % 2))
    assert send(node, data, uid("here")).Status in {0xC000, 0xA900}
    assert_nothing_was_kept(node)


def test_a_request_without_a_data_set_is_refused(node: DimseNode) -> None:
    """PS3.7 C.5.17: mistyped argument"""
    with scu(node.port, [(CT, [EXPLICIT])]) as assoc:
        request = C_STORE()
        request.MessageID, request.Priority = 1, 0
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT, "1.2.3"
        assoc.dimse.send_msg(request, 1)
        _, response = assoc.dimse.get_msg(block=True)
        assert response is not None
        assert response.Status == 0x0212


def test_a_query_in_a_storage_context_is_refused(node: DimseNode) -> None:
    """PS3.7 C.5.23: unrecognized operation"""
    with scu(node.port, [(CT, [EXPLICIT])]) as assoc:
        request = C_FIND()
        request.MessageID, request.Priority, request.AffectedSOPClassUID = 1, 0, CT
        request.Identifier = BytesIO(b"\x08\x00\x52\x00CS\x06\x00STUDY ")
        assoc.dimse.send_msg(request, 1)
        _, response = assoc.dimse.get_msg(block=True)
        assert response is not None
        assert response.Status == 0x0211


def test_after_a_refusal_the_association_goes_on(node: DimseNode) -> None:
    good = a_ct()
    with scu(node.port, [(CT, [EXPLICIT])]) as assoc:
        bad = store_bytes(assoc, b"\0" * 100, sop_class_uid=CT, sop_instance_uid="1.2.3")
        fine = store_bytes(
            assoc, dataset_bytes(good), sop_class_uid=CT, sop_instance_uid=good.SOPInstanceUID, message_id=2
        )
    assert (bad.Status, fine.Status) == (0xC000, 0)
    assert node.instances == 1


def test_mallory_may_not_store(tmp_path: Path) -> None:
    """PS3.7 C.5.10: not authorized"""
    ds = a_ct()
    with dimse_node(tmp_path, policy=ENFORCED) as node:
        for calling, expected in ((MALLORY.upper(), 0x0124), ("MODALITY1", 0)):
            with scu(node.port, [(CT, [EXPLICIT])], calling=calling) as assoc:
                status = store_bytes(assoc, dataset_bytes(ds), sop_class_uid=CT, sop_instance_uid=ds.SOPInstanceUID)
            assert status.Status == expected
        assert node.instances == 1


def test_an_instance_beyond_the_limit_is_refused_as_out_of_resources(tmp_path: Path) -> None:
    """PS3.4 B.2.3: A7xx"""
    big, small = a_ct(rows=512, columns=512), a_ct()
    with dimse_node(tmp_path, archive_settings={"max_instance_bytes": 100_000}) as node:
        assert send(node, dataset_bytes(big), big.SOPInstanceUID).Status == 0xA700
        assert node.kept == []
        assert send(node, dataset_bytes(small), small.SOPInstanceUID).Status == 0


def test_a_transfer_that_is_aborted_leaves_nothing_behind(node: DimseNode) -> None:
    whole = dataset_bytes(a_ct(rows=512, columns=512))
    with scu(node.port, [(CT, [EXPLICIT])]) as assoc:
        send_without_end(assoc, whole[: len(whole) // 2], "1.2.3")
        assert eventually(lambda: bool(node.kept))
        assoc.abort()
    assert eventually(lambda: not node.kept)
    assert_nothing_was_kept(node)


def test_eight_senders_of_one_new_study_lose_and_double_nothing(node: DimseNode, tmp_path: Path) -> None:
    """An established archive kept 70 of 80."""
    series = a_series(80)
    files = write(tmp_path / "in", *series)
    assert send_at_once(node, [files[start::8] for start in range(8)]) == [[0] * 10] * 8
    assert node.instances == 80
    assert len(node.kept) == 80
    rows = retrieve.instances(node.archive, OPERATOR, StudyRef(series[0].StudyInstanceUID))
    assert sorted(row.ref.sop_instance_uid for row in rows) == sorted(ds.SOPInstanceUID for ds in series)


def test_eight_senders_of_the_same_instance_make_one(node: DimseNode, tmp_path: Path) -> None:
    [file] = write(tmp_path / "in", a_ct())
    assert send_at_once(node, [[file]] * 8) == [[0]] * 8
    assert node.instances == 1
    assert len(node.kept) == 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to measure memory")
def test_memory_does_not_grow_with_the_size_of_an_instance(node: DimseNode, tmp_path: Path) -> None:
    """At most 64 MB per association at any size; measured, with the stock engine: a few."""
    [file] = write(tmp_path / "in", a_multiframe(frames=200, rows=1024, columns=1024))
    assert file.stat().st_size > 200_000_000
    before = _peak_kilobytes()
    assert dcmtk.storescu(node.port, [file]).statuses == [0]
    assert _peak_kilobytes(reset=False) - before < 64_000


def test_uncompressed_instances_survive_a_sender_that_offers_jpeg_first(node: DimseNode, tmp_path: Path) -> None:
    """Client lesson 9"""
    files = write(tmp_path / "in", *a_series(2))
    ran = dcmtk.storescu(node.port, files, "-R", "-xs", "+C")
    assert ran.code == 0
    assert ran.statuses == [0, 0]


def encoded(ds: Dataset) -> bytes:
    """The Data Set in Explicit VR Little Endian, whatever it lacks."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, ds)
    return out.parent.getvalue()  # type: ignore[attr-defined]


def send_without_end(assoc: Association, part: bytes, sop_instance_uid: str) -> None:
    """A C-STORE request whose Data Set stops after *part*."""
    request = C_STORE()
    request.MessageID, request.Priority, request.DataSet = 1, 0, BytesIO()  # an empty buffer announces a Data Set
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(CT), UID(sop_instance_uid)
    assoc.dimse.send_msg(request, 1)
    for start in range(0, len(part), 16_000):
        pdata = P_DATA()
        pdata.presentation_data_value_list.append((1, b"\0" + part[start : start + 16_000]))
        assoc.dul.send_pdu(pdata)


def send_at_once(node: DimseNode, shares: Sequence[Sequence[Path]]) -> list[list[int]]:
    """One storescu for each share, all at the same time, and their statuses."""
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(lambda share: dcmtk.storescu(node.port, share).statuses, shares))


def _peak_kilobytes(*, reset: bool = True) -> int:
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
