"""Every storable real file that ships with pydicom: in by C-STORE, out by C-GET and C-MOVE, identical to the last byte.

Sent and received by pynetdicom and DCMTK. What is not storable is in fixtures.real_files, each with its reason.
"""

from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import evt
from pynetdicom.dsutils import split_dataset

from fixtures import dcmtk
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import STUDY_ROOT, UNCOMPRESSED, Inbox, Received, scu, storage_scp, store_bytes
from fixtures.real_files import REASONS, ROOT, RealFile, every_file, real_files, rounds
from relais.peers.settings import PeerSettings

MOVE, GET = f"{STUDY_ROOT}.2", f"{STUDY_ROOT}.3"
ROUNDS = rounds()


def test_every_file_is_storable_or_has_a_reason() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in every_file()}
    assert names == {file.name for file in real_files()} | set(REASONS)
    assert len(real_files()) > 150


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_every_real_file_goes_in_and_comes_out_the_same(tmp_path: Path, number: int) -> None:
    files = ROUNDS[number]
    expected = {file.sop_instance_uid: (file.transfer_syntax_uid, file.dataset) for file in files}
    inbox = Inbox()
    with ExitStack() as stack:
        port = stack.enter_context(storage_scp(contexts_of(files), inbox))
        peer = PeerSettings("dest", "DESTINATION", "127.0.0.1", port)
        node = stack.enter_context(dimse_node(tmp_path / "node", [peer]))
        store(node, files)
        assert node.instances == len(files)
        assert as_sent(get(node, files)) == expected
        move(node, files)
    assert as_sent(inbox.received) == expected


REFUSED = sorted(name for name, reason in REASONS.items() if not reason.startswith("has no File Meta"))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")  # pydicom on what is wrong with these files
def test_what_is_not_storable_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """As a sender would offer it that believes in it: under the UIDs it has, or else invented ones."""
    whole = (ROOT / name).read_bytes()
    ds = dcmread(BytesIO(whole), force=True)
    sop_class = ds.get("SOPClassUID") or ds.file_meta.get("MediaStorageSOPClassUID") or "1.2.840.10008.5.1.4.1.1.4"
    syntax = ds.file_meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2.1"
    sop_instance = ds.get("SOPInstanceUID") or "1.2.3"
    offset = split_dataset(ROOT / name)[1] if whole[128:132] == b"DICM" else 0
    with dimse_node(tmp_path) as node:
        with scu(node.port, [(sop_class, [syntax])]) as assoc:
            if assoc.is_established:
                data = whole[offset:]
                status = store_bytes(assoc, data, sop_class_uid=sop_class, sop_instance_uid=sop_instance)
                assert status.Status in {0xC000, 0xA900}
        assert node.instances == 0
        assert node.kept == []


def test_storescu_stores_a_folder_of_real_files_and_getscu_gets_them(tmp_path: Path) -> None:
    """DCMTK as the judge, with what its own options let it send: native little endian files of one study."""
    files = [file for file in ROUNDS[0] if file.transfer_syntax_uid == "1.2.840.10008.1.2.1"]
    study = max(
        {file.study_instance_uid for file in files}, key=lambda uid: sum(f.study_instance_uid == uid for f in files)
    )
    files = [file for file in files if file.study_instance_uid == study]
    with dimse_node(tmp_path / "node") as node:
        ran = dcmtk.storescu(node.port, [file.path for file in files])
        assert ran.statuses == [0] * len(files)
        ran = dcmtk.getscu(node.port, ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study}"], into=tmp_path / "got")
        assert ran.statuses[-1] == 0
    got_files = {dcmread(path).SOPInstanceUID: path.read_bytes() for path in (tmp_path / "got").iterdir()}
    assert set(got_files) == {file.sop_instance_uid for file in files}
    assert all(got_files[file.sop_instance_uid].endswith(file.dataset) for file in files)


def contexts_of(files: list[RealFile]) -> list[tuple[str, list[str]]]:
    """One context per pair of SOP Class and Transfer Syntax."""
    pairs = sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in files})
    return [(sop_class, [syntax]) for sop_class, syntax in pairs]


def store(node: DimseNode, files: list[RealFile]) -> None:
    """C-STORE of every Data Set as it is in its file."""
    with scu(node.port, contexts_of(files)) as assoc:
        ids = {(cx.abstract_syntax, cx.transfer_syntax[0]): cx.context_id for cx in assoc.accepted_contexts}
        for number, file in enumerate(files, start=1):
            status = store_bytes(
                assoc,
                file.dataset,
                sop_class_uid=file.sop_class_uid,
                sop_instance_uid=file.sop_instance_uid,
                context_id=ids[file.sop_class_uid, file.transfer_syntax_uid] or 0,
                message_id=number,
            )
            assert (file.name, status.Status, status.get("ErrorComment")) == (file.name, 0, None)


def get(node: DimseNode, files: list[RealFile]) -> list[Received]:
    """C-GET of all their studies."""
    inbox = Inbox()
    sop_classes = sorted({file.sop_class_uid for file in files})
    proposals = [(GET, UNCOMPRESSED), *contexts_of(files)]
    with scu(node.port, proposals, as_scp=sop_classes, handlers=[(evt.EVT_C_STORE, inbox.take)]) as assoc:
        *_, (status, _) = assoc.send_c_get(studies_of(files), GET)
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0, len(files))
    return inbox.received


def move(node: DimseNode, files: list[RealFile]) -> None:
    """C-MOVE of all their studies."""
    with scu(node.port, [(MOVE, UNCOMPRESSED)]) as assoc:
        *_, (status, _) = assoc.send_c_move(studies_of(files), "DESTINATION", MOVE)
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0, len(files))


def studies_of(files: list[RealFile]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = sorted({file.study_instance_uid for file in files})
    return identifier


def as_sent(received: list[Received]) -> dict[str, tuple[str, bytes]]:
    """By SOP Instance UID: the Transfer Syntax and the bytes of the Data Set."""
    return {one.sop_instance_uid: (one.transfer_syntax_uid, one.dataset) for one in received}
