"""The one table from errors to HTTP."""

import pytest

from relais import errors as kinds
from relais.dicomweb.store_response import Result
from relais.errors import NodeError
from relais.web import errors

KINDS = [kind for kind in vars(kinds).values() if isinstance(kind, type) and issubclass(kind, NodeError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_error_has_a_status_of_its_own_or_of_its_parent(kind: type[NodeError]) -> None:
    status = errors.status_of(kind())
    assert (status == 500) == (kind in (NodeError, kinds.Internal))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (kinds.InvalidRequest, 400),
        (kinds.Forbidden, 403),
        (kinds.NotFound, 404),
        (kinds.NotAcceptable, 406),
        (kinds.InvalidDataSet, 406),
        (kinds.Mismatch, 409),
        (kinds.Conflict, 409),
        (kinds.Gone, 410),
        (kinds.Missing, 503),
        (kinds.UnknownLength, 411),
        (kinds.TooLarge, 413),
        (kinds.TooBroad, 413),
        (kinds.UnsupportedMedia, 415),
        (kinds.Unavailable, 503),
        (kinds.OutOfResources, 507),
    ],
)
def test_the_statuses_are_those_of_the_standard(kind: type[NodeError], status: int) -> None:
    """PS3.18 8.5"""
    assert errors.status_of(kind()) == status


def results(*failures: NodeError | None) -> list[Result]:
    return [Result(failure=failure) for failure in failures]


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ((None,), 200),
        ((None, None), 200),
        ((None, kinds.InvalidDataSet()), 202),
        ((kinds.OutOfResources(), None), 202),
        ((kinds.InvalidDataSet(),), 409),
        ((kinds.Conflict(), kinds.UnsupportedSOPClass()), 409),
        ((kinds.UnsupportedMedia(),), 415),
        ((kinds.TooLarge(), kinds.TooLarge()), 413),
        ((kinds.OutOfResources(),), 507),
        ((kinds.Unavailable(),), 503),
        ((kinds.Forbidden(),), 403),
        ((kinds.OutOfResources(), kinds.Conflict()), 409),
    ],
)
def test_a_store_transaction_is_told_by_what_became_of_its_parts(
    failures: tuple[NodeError | None, ...], status: int
) -> None:
    """Trap 14; PS3.18 table 10.5.3-1"""
    assert errors.store_status(results(*failures)) == status
