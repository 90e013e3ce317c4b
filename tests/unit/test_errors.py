"""What can go wrong, in sentences."""

import errno
import os

import pytest

from relais.errors import OutOfResources, Unavailable, out_of_resources


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_what_the_system_refuses_is_told_with_its_own_word(number: int) -> None:
    with pytest.raises(OutOfResources) as raised, out_of_resources("There is no room."):
        raise OSError(number, os.strerror(number), "/secret/path")
    assert raised.value.message == f"There is no room ({os.strerror(number)})."


def test_what_says_so_already_says_it_once() -> None:
    with pytest.raises(OutOfResources) as raised, out_of_resources("It cannot be written: Input/output error."):
        raise OSError(errno.EIO, "Input/output error")
    assert raised.value.message == "It cannot be written: Input/output error."


def test_what_nobody_refused_is_told_as_it_is() -> None:
    assert OutOfResources("The spool is full.").message == "The spool is full."
    assert Unavailable().message == "This cannot be done now; try again later."
