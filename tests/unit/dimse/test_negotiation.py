import pytest

from relais.dicom import contexts
from relais.dicom.commitment import PUSH_MODEL
from relais.dimse import models
from relais.dimse.negotiation import extended, service_of, supported

FIND, MOVE, CT = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "1.3.12.2.1107.5.9.1"


def test_every_service_has_its_abstract_syntaxes() -> None:
    made = supported((PRIVATE,))
    ours = {contexts.VERIFICATION, PUSH_MODEL, PRIVATE, *models.sop_classes(), *contexts.STORAGE_SOP_CLASSES}
    assert set(made) == ours
    assert len(models.sop_classes()) == 9


def test_storage_is_taken_in_every_transfer_syntax_and_both_roles() -> None:
    """PS3.7 D.3.3.4"""
    context = supported()[CT]
    assert list(context.transfer_syntax) == list(contexts.TRANSFER_SYNTAXES)
    assert (context.scu_role, context.scp_role) == (True, True)


def test_queries_are_taken_uncompressed_and_in_no_other_role() -> None:
    context = supported()[FIND]
    assert not set(context.transfer_syntax) & {uid for uid in contexts.TRANSFER_SYNTAXES if ".4." in uid}
    assert (context.scu_role, context.scp_role) == (None, None)


@pytest.mark.parametrize(
    ("uid", "service"),
    [(contexts.VERIFICATION, "C-ECHO"), (FIND, "C-FIND"), (MOVE, "C-MOVE"), (CT, "C-STORE"), (PRIVATE, "C-STORE")],
)
def test_an_abstract_syntax_stands_for_a_service(uid: str, service: str) -> None:
    assert service_of(uid) == service


@pytest.mark.parametrize(
    ("proposed", "answer"),
    [
        ({FIND: b"\1\1\1\1\1"}, {FIND: b"\1\1\1\0\0"}),
        ({FIND: b"\0\1"}, {FIND: b"\0\1"}),
        ({FIND: b"\1"}, {FIND: b"\1"}),
        ({MOVE: b"\1\1"}, {MOVE: b"\1\0"}),
        ({FIND: b""}, {FIND: b""}),
        ({CT: b"\2\1"}, {}),
        ({"1.2.3": b"\1"}, {}),
    ],
)
def test_what_both_can_do_is_agreed(proposed: dict[str, bytes], answer: dict[str, bytes]) -> None:
    """PS3.7 D.3.3.5, PS3.4 C.5"""
    assert extended(proposed) == answer
