"""archive.ingest: what is kept, what is refused, and what is left behind."""

import io
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import FileDataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from fixtures.builders import a_ct, a_pdf, dataset_bytes, part10, uid
from fixtures.engines import only_sqlite
from fixtures.node import close_archive, kept, lose, make_archive, overwrite, spoil
from relais.access.policy import Action, Mode, Policy, Rule
from relais.access.principals import OPERATOR
from relais.archive import Archive, ingest, maintenance, overview, retrieve
from relais.archive.settings import OnConflict
from relais.dicom.origin import Channel, Origin
from relais.errors import (
    Conflict,
    Forbidden,
    InvalidDataSet,
    Mismatch,
    TooLarge,
    Unavailable,
    UnsupportedSOPClass,
    UnsupportedTransferSyntax,
)
from relais.index.rows import Outcome

MODALITY = Origin(Channel.DIMSE, "127.0.0.1", "CT01", "RELAIS")


def store(archive: Archive, ds: FileDataset) -> ingest.Stored:
    return ingest.store_part10(archive, io.BytesIO(part10(ds)), MODALITY)


def claim_of(ds: FileDataset, **changes: str) -> ingest.Claim:
    given = {"sop_class_uid": str(ds.SOPClassUID), "sop_instance_uid": str(ds.SOPInstanceUID)} | changes
    return ingest.Claim(str(ds.file_meta.TransferSyntaxUID), **given)


def test_a_stored_data_set_is_kept_bit_for_bit(archive: Archive) -> None:
    ds = a_ct()
    stored = store(archive, ds)
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    body = retrieve.dataset_chunks(archive, row)
    assert b"".join(body.chunks) == dataset_bytes(ds)
    assert stored.outcome is Outcome.STORED


def test_the_kept_object_is_a_part_10_file_that_says_where_it_came_from(archive: Archive) -> None:
    stored = store(archive, a_ct())
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    with archive.store.as_path(row.key) as path:
        kept = dcmread(path)
    assert kept.file_meta.SourceApplicationEntityTitle == "CT01"
    assert kept.file_meta.ReceivingApplicationEntityTitle == "RELAIS"
    assert kept.file_meta.MediaStorageSOPInstanceUID == kept.SOPInstanceUID == stored.ref.sop_instance_uid


def test_the_same_data_set_again_is_a_success_that_changes_nothing(archive: Archive, tmp_path: Path) -> None:
    ds = a_ct()
    store(archive, ds)
    again = store(archive, ds)
    assert again.outcome is Outcome.DUPLICATE
    assert len(kept(archive)) == 1
    assert overview.overview(archive).statistics.instances == 1


@pytest.mark.parametrize("second", [ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("first", [ExplicitVRLittleEndian, JPEG2000Lossless, DeflatedExplicitVRLittleEndian])
def test_the_same_instance_in_another_encoding_is_a_duplicate(archive: Archive, first: str, second: str) -> None:
    same = {"SOPInstanceUID": uid("i"), "SeriesInstanceUID": uid("e"), "StudyInstanceUID": uid("s")}
    same["FrameOfReferenceUID"] = uid("f")
    store(archive, a_ct(transfer_syntax=first, **same))
    again = store(archive, a_ct(transfer_syntax=second, **same, SpecificCharacterSet="ISO_IR 192"))
    assert again.outcome is Outcome.DUPLICATE
    assert overview.overview(archive).statistics.instances == 1
    with pytest.raises(Conflict):
        store(archive, a_ct(transfer_syntax=second, **same, PatientName="MOREL^Helene"))
    with pytest.raises(Conflict):
        store(archive, a_ct(transfer_syntax=second, **same, rows=33))


@pytest.mark.parametrize("remains", [None, b"", b"half"])
def test_what_was_lost_is_kept_when_it_comes_again(archive: Archive, remains: bytes | None) -> None:
    """A success means that it is kept, also where somebody removed or cut the file that the index names."""
    ds = a_ct()
    ref = store(archive, ds).ref
    key = retrieve.instances(archive, OPERATOR, ref)[0].key
    lose(archive, key)
    if remains is not None:
        overwrite(archive, key, remains)
    assert store(archive, ds).outcome is Outcome.STORED
    (row,) = retrieve.instances(archive, OPERATOR, ref)
    assert b"".join(retrieve.dataset_chunks(archive, row).chunks) == dataset_bytes(ds)
    assert store(archive, ds).outcome is Outcome.DUPLICATE


@pytest.mark.parametrize("place", [200, -1])
def test_what_is_damaged_is_kept_anew_when_it_comes_again(archive: Archive, place: int) -> None:
    """Of its right size, too: a success means that what is kept is what was sent."""
    ds = a_ct()
    ref = store(archive, ds).ref
    spoil(archive, retrieve.instances(archive, OPERATOR, ref)[0].key, place)
    assert store(archive, ds).outcome is Outcome.STORED
    (row,) = retrieve.instances(archive, OPERATOR, ref)
    assert b"".join(retrieve.dataset_chunks(archive, row).chunks) == dataset_bytes(ds)
    assert store(archive, ds).outcome is Outcome.DUPLICATE
    assert maintenance.check(archive).is_sound


@pytest.mark.parametrize(("harm", "outcome"), [(spoil, Outcome.REPLACED), (lose, Outcome.STORED)])
def test_where_nothing_sound_is_kept_another_encoding_takes_its_place(
    archive: Archive, harm: Callable[[Archive, str], None], outcome: Outcome
) -> None:
    """What is damaged stays as history: who sent another image under the UID has not overwritten it."""
    ds = a_ct()
    ref = store(archive, ds).ref
    key = retrieve.instances(archive, OPERATOR, ref)[0].key
    harm(archive, key)
    ds.SeriesDescription = "corrected"
    assert store(archive, ds).outcome is outcome
    (row,) = retrieve.instances(archive, OPERATOR, ref)
    assert b"".join(retrieve.dataset_chunks(archive, row).chunks) == dataset_bytes(ds)
    assert set(archive.store.iterate()) == ({key, row.key} if outcome is Outcome.REPLACED else {row.key})
    assert maintenance.check(archive).is_sound


def test_what_is_kept_is_looked_at_outside_of_the_writers_turn(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = a_ct()
    store(archive, ds)
    look, looked = ingest.look_at_kept, []

    def look_and_write(*args: Any) -> Any:
        looked.append(archive.db.write(lambda tx: tx.now))  # it would wait for itself
        return look(*args)

    monkeypatch.setattr(ingest, "look_at_kept", look_and_write)
    assert store(archive, ds).outcome is Outcome.DUPLICATE
    assert len(looked) == 1


@pytest.mark.parametrize(("issuer", "is_other"), [("NORTH", False), ("SOUTH", True), (None, False)])
def test_an_instance_of_another_patient_than_its_study_is_told(
    archive: Archive, caplog: pytest.LogCaptureFixture, issuer: str | None, is_other: bool
) -> None:
    study = uid("two issuers")
    store(archive, a_ct(StudyInstanceUID=study, PatientID="4711", IssuerOfPatientID="NORTH"))
    stored = store(archive, a_ct(StudyInstanceUID=study, PatientID="4711", IssuerOfPatientID=issuer))
    assert (ingest.OTHER_PATIENT in stored.warnings) is is_other
    assert ("of another patient" in caplog.text) is is_other
    assert "4711" not in caplog.text


def test_pixels_that_differ_are_a_conflict(archive: Archive) -> None:
    ds = a_ct(transfer_syntax=ImplicitVRLittleEndian)
    store(archive, ds)
    ds.PixelData = ds.PixelData[:-2] + b"\1\0"
    with pytest.raises(Conflict):
        store(archive, ds)


def test_another_data_set_under_a_kept_uid_is_refused_and_leaves_nothing(archive: Archive, tmp_path: Path) -> None:
    ds = a_ct(SeriesDescription="first")
    store(archive, ds)
    ds.SeriesDescription = "second"
    with pytest.raises(Conflict):
        store(archive, ds)
    assert len(kept(archive)) == 1


def test_with_replace_the_newer_data_set_is_served_and_the_older_kept_as_history(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, on_conflict=OnConflict.REPLACE)
    ds = a_ct(SeriesDescription="first")
    store(archive, ds)
    ds.SeriesDescription = "second"
    stored = store(archive, ds)
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    assert stored.outcome is Outcome.REPLACED
    assert b"".join(retrieve.dataset_chunks(archive, row).chunks) == dataset_bytes(ds)
    assert len(kept(archive)) == 2
    close_archive(archive)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_missing_uid_is_refused_and_leaves_nothing(archive: Archive, tmp_path: Path, keyword: str) -> None:
    ds = a_ct()
    claim = claim_of(ds)
    delattr(ds, keyword)
    with pytest.raises(InvalidDataSet):
        ingest.store(archive, claim, [dataset_bytes(ds)], MODALITY)
    assert kept(archive) == []


@pytest.mark.parametrize("value", ["../../../etc/passwd", "1.2..3", "1.2.3/../4", "1." * 40 + "1", "a.b.c", "."])
def test_a_uid_that_is_none_never_becomes_a_path(archive: Archive, tmp_path: Path, value: str) -> None:
    ds = a_ct()
    claim = claim_of(ds)
    encoded = dataset_bytes(ds)
    length = len(ds.StudyInstanceUID) + len(ds.StudyInstanceUID) % 2
    padded = value.encode()[:length].ljust(length, b"\0")
    broken = encoded.replace(ds.StudyInstanceUID.encode().ljust(length, b"\0"), padded)
    with pytest.raises(InvalidDataSet):
        ingest.store(archive, claim, [broken], MODALITY)
    assert kept(archive) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_data_set_is_refused_and_leaves_nothing(archive: Archive, tmp_path: Path, share: float) -> None:
    ds = a_ct()
    encoded = dataset_bytes(ds)
    with pytest.raises(InvalidDataSet):
        ingest.store(archive, claim_of(ds), [encoded[: int(len(encoded) * share)]], MODALITY)
    assert kept(archive) == []


def test_a_data_set_that_is_not_what_was_announced_is_refused(archive: Archive) -> None:
    ds = a_ct()
    for claim in (claim_of(ds, sop_instance_uid=uid("other")), claim_of(ds, study_instance_uid=uid("other"))):
        with pytest.raises(Mismatch):
            ingest.store(archive, claim, [dataset_bytes(ds)], MODALITY)


def test_a_directory_is_no_instance(archive: Archive) -> None:
    with pytest.raises(UnsupportedSOPClass):
        store(archive, a_ct(SOPClassUID=MediaStorageDirectoryStorage))


def test_a_private_sop_class_is_kept(archive: Archive) -> None:
    assert store(archive, a_ct(SOPClassUID="1.2.840.113619.4.30")).outcome is Outcome.STORED


def test_an_unknown_transfer_syntax_is_refused(archive: Archive) -> None:
    with pytest.raises(UnsupportedTransferSyntax):
        ingest.receive(archive, ingest.Claim("1.2.3.4"), MODALITY)


def test_an_instance_beyond_the_limit_is_refused_while_it_arrives(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, max_instance_bytes=2000)
    ds = a_ct()
    with pytest.raises(TooLarge), ingest.receive(archive, claim_of(ds), MODALITY) as receiving:
        receiving.write(dataset_bytes(ds))
    assert kept(archive) == []
    close_archive(archive)


def test_leaving_without_finish_leaves_no_trace(archive: Archive, tmp_path: Path) -> None:
    ds = a_ct()
    with ingest.receive(archive, claim_of(ds), MODALITY) as receiving:
        receiving.write(dataset_bytes(ds))
    assert kept(archive) == []


def test_the_size_of_the_pieces_makes_no_difference(archive: Archive) -> None:
    ds = a_ct(transfer_syntax=JPEGLSLossless, rows=128, columns=128)
    whole = part10(ds)
    with ingest.receive_part10(archive, MODALITY) as receiving:
        for start in range(0, len(whole), 7):
            receiving.write(whole[start : start + 7])
        assert receiving.finish().ref.sop_instance_uid == ds.SOPInstanceUID


def test_uids_missing_in_the_file_meta_information_are_taken_from_the_data_set(archive: Archive) -> None:
    ds = a_ct()
    claim = ingest.Claim(ExplicitVRLittleEndian)
    stored = ingest.store(archive, claim, [dataset_bytes(ds)], MODALITY)
    (row,) = retrieve.instances(archive, OPERATOR, stored.ref)
    with archive.store.as_path(row.key) as path:
        assert dcmread(path).file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert b"".join(retrieve.dataset_chunks(archive, row).chunks) == dataset_bytes(ds)


def test_what_is_no_part_10_file_is_refused(archive: Archive) -> None:
    for content in (b"", b"DICM", b"\0" * 128 + b"DICX", b"%PDF-1.4" * 100, b"\0" * 200_000):
        with pytest.raises(InvalidDataSet):
            ingest.store_part10(archive, io.BytesIO(content), MODALITY)


def test_an_instance_without_pixels_is_kept(archive: Archive) -> None:
    assert store(archive, a_pdf()).outcome is Outcome.STORED


def test_a_stranger_stores_nothing_when_access_is_enforced(tmp_path: Path) -> None:
    rules = {"CT01": Rule(frozenset({Action.STORE}))}
    archive = make_archive(tmp_path, Policy(Mode.ENFORCED, rules))
    assert store(archive, a_ct()).outcome is Outcome.STORED
    with pytest.raises(Forbidden):
        ingest.store_part10(archive, io.BytesIO(part10(a_ct())), Origin(Channel.DIMSE, "127.0.0.1", "MALLORY"))
    with pytest.raises(Forbidden):
        ingest.store_part10(archive, io.BytesIO(part10(a_ct())), Origin(Channel.WEB, "127.0.0.1"))
    close_archive(archive)


@only_sqlite("a stranger locks the file")
def test_a_locked_index_is_waited_for_once(archive: Archive) -> None:
    """Bytes that were not registered are given up later, not while their sender waits."""
    store(archive, a_ct())
    begun: list[int] = []
    writer = archive.db._process().engine.writer.connection
    assert isinstance(writer, sqlite3.Connection)
    writer.execute("PRAGMA busy_timeout=100")
    writer.set_trace_callback(lambda sql: begun.append(threading.get_ident()) if sql.startswith("BEGIN") else None)
    stranger = sqlite3.connect(archive.db.settings.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked by another program"):
        store(archive, a_ct())
    assert begun.count(threading.get_ident()) == 1
    stranger.close()
