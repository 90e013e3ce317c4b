import pynetdicom.sop_class
import pytest
from pydicom.uid import UID, UID_dictionary

from relais.dicom import contexts, uids


def test_every_storage_sop_class_of_pynetdicom_is_taken() -> None:
    theirs = set(pynetdicom.sop_class._STORAGE_CLASSES.values())
    assert theirs <= contexts.STORAGE_SOP_CLASSES


def test_what_has_no_study_is_not_taken() -> None:
    theirs = set(pynetdicom.sop_class._NON_PATIENT_OBJECT_CLASSES.values())
    assert theirs <= contexts.NOT_STORABLE
    assert not contexts.NOT_STORABLE & contexts.STORAGE_SOP_CLASSES


def test_every_sop_class_that_is_called_storage_is_known() -> None:
    called_so = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not name.startswith("Storage Commitment")
    }
    assert called_so <= contexts.STORAGE_SOP_CLASSES | contexts.NOT_STORABLE


@pytest.mark.parametrize(
    "uid",
    [
        contexts.VERIFICATION,
        "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
        "1.2.840.10008.5.1.4.1.2.1.1",  # Patient Root FIND
        "1.2.840.10008.5.1.4.31",  # Modality Worklist
        "1.2.840.10008.5.1.4.34.6.1",  # UPS Push
        "1.2.840.10008.1.2.1",
        "1.2.3",
        "",
    ],
)
def test_nothing_else_is_storage(uid: str) -> None:
    assert uid not in contexts.STORAGE_SOP_CLASSES


def test_private_sop_classes_are_storage_where_they_are_configured() -> None:
    assert "1.2.3.4" in {context.abstract_syntax for context in contexts.storage(["1.2.3.4"])}


def test_every_transfer_syntax_is_taken_or_has_a_reason_why_not() -> None:
    known = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"}
    assert known <= set(contexts.TRANSFER_SYNTAXES) | contexts.UNSUPPORTED.keys()
    assert not set(contexts.TRANSFER_SYNTAXES) & contexts.UNSUPPORTED.keys()


@pytest.mark.parametrize(
    "last", ["4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.93", "5", "4.202", "4.107"]
)
def test_the_transfer_syntaxes_in_use_are_taken(last: str) -> None:
    assert contexts.is_transfer_syntax(f"1.2.840.10008.1.2.{last}")


def test_no_other_uid_is_a_transfer_syntax() -> None:
    for uid in ("1.2.840.10008.1.1", "1.2.840.10008.1.2.4.94", "1.2.840.113619.5.2", ""):
        assert not contexts.is_transfer_syntax(uid)


def test_a_peer_that_leaves_the_choice_is_never_made_to_lose_anything() -> None:
    order = contexts.TRANSFER_SYNTAXES
    assert order[0] == uids.EXPLICIT_VR_LITTLE_ENDIAN
    assert len(order) == len(set(order))
    last_lossless = max(order.index(uid) for uid in set(order) - uids.LOSSY)
    assert all(order.index(uid) > last_lossless for uid in uids.LOSSY)


def test_storage_contexts_take_every_transfer_syntax_in_both_roles() -> None:
    for context in contexts.storage():
        assert context.transfer_syntaxes == contexts.TRANSFER_SYNTAXES
        assert context.as_scu


def test_messages_are_never_compressed_images() -> None:
    (context,) = contexts.messages([contexts.VERIFICATION])
    assert not context.as_scu
    assert not any(UID(uid).is_encapsulated for uid in context.transfer_syntaxes)
