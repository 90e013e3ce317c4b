import pytest

from relais import errors
from relais.dimse import status as statuses
from relais.dimse.status import COMMENT_MAX, Status, error_comment, of_error
from relais.errors import NodeError


@pytest.mark.parametrize(
    ("service", "kind", "code"),
    [
        ("C-STORE", errors.OutOfResources, 0xA700),
        ("C-STORE", errors.Unavailable, 0xA700),
        ("C-STORE", errors.TooLarge, 0xA700),
        ("C-STORE", errors.Mismatch, 0xA900),
        ("C-STORE", errors.InvalidDataSet, 0xC000),
        ("C-STORE", errors.InvalidRequest, 0xC000),
        ("C-STORE", errors.Conflict, 0x0111),
        ("C-STORE", errors.Forbidden, 0x0124),
        ("C-STORE", errors.UnsupportedSOPClass, 0x0122),
        ("C-STORE", errors.Internal, 0x0110),
        ("C-FIND", errors.Unavailable, 0xA700),
        ("C-FIND", errors.TooBroad, 0xA700),
        ("C-FIND", errors.Mismatch, 0xA900),
        ("C-FIND", errors.InvalidRequest, 0xC000),
        ("C-FIND", errors.Forbidden, 0x0124),
        ("C-MOVE", errors.Unavailable, 0xA701),
        ("C-MOVE", errors.Mismatch, 0xA900),
        ("C-GET", errors.InvalidDataSet, 0xC000),
        ("C-GET", errors.Forbidden, 0x0124),
        ("C-ECHO", errors.Unavailable, 0x0110),
    ],
)
def test_each_service_has_its_codes(service: str, kind: type[NodeError], code: int) -> None:
    """PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5, C.4.3.1.4"""
    assert of_error(service, kind()).code == code


def test_every_kind_of_error_has_a_status_in_every_service() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NodeError)]
    assert len(kinds) > 10
    for service in ("C-ECHO", "C-STORE", "C-FIND", "C-MOVE", "C-GET", "N-GET"):
        for kind in kinds:
            status = of_error(service, kind("Something about it."))
            assert status.is_failure
            assert status.is_final


def test_the_text_of_an_internal_error_stays_here() -> None:
    assert "secret" not in of_error("C-STORE", errors.Internal("secret path")).comment


def test_only_failures_are_failures() -> None:
    """PS3.7 C"""
    assert [
        Status(code).is_failure for code in (0, 0xFF00, 0xFF01, 0xFE00, 0xB000, 0xB007, 0xA700, 0xC000, 0x0110)
    ] == [
        *[False] * 6,
        *[True] * 3,
    ]
    assert [Status(code).is_final for code in (0, 0xFF00, 0xFF01, 0xFE00, 0xB000)] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Fine.", "Fine."), ("Größe\n\\", "Gr??e??"), ("x" * 64, "x" * 64), ("x" * 70, "x" * 61 + "...")],
)
def test_a_comment_is_an_lo_in_ascii(text: str, expected: str) -> None:
    """PS3.5 6.2"""
    assert error_comment(text) == expected
    assert len(error_comment(text)) <= COMMENT_MAX


def test_every_status_is_listed_under_a_service_that_answers_it() -> None:
    """For the conformance statement."""
    ours = {one for one in vars(statuses).values() if isinstance(one, Status)}
    assert ours == {one for answers in statuses.ANSWERS.values() for one in answers}
    assert set(statuses.of_service("C-STORE")) >= {0x0000, 0xA700, 0xA900, 0xC000, 0x0111, 0x0117, 0x0122, 0x0124}
