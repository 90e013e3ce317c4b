"""Paths and references."""

import pytest

from relais.dicomweb import paths
from relais.errors import InvalidRequest


def test_every_level_has_the_path_of_the_standard() -> None:
    """PS3.18 table 10.1-1"""
    assert paths.format_ref(paths.ref("1.2")) == "studies/1.2"
    assert paths.format_ref(paths.ref("1.2", "3")) == "studies/1.2/series/3"
    assert paths.format_ref(paths.instance_ref("1.2", "3", "4.5")) == "studies/1.2/series/3/instances/4.5"


@pytest.mark.parametrize("text", ["", "..", "1..2", ".1", "1.", "1/2", "1.2\n", "%2e%2e", "a", "1" * 65, "1.2 ", "१.२"])
def test_what_is_no_uid_names_nothing(text: str) -> None:
    """hardening.md 6: UIDs with path tricks."""
    with pytest.raises(InvalidRequest, match="StudyInstanceUID"):
        paths.ref(text)
    with pytest.raises(InvalidRequest, match="SeriesInstanceUID"):
        paths.ref("1.2", text)
    with pytest.raises(InvalidRequest, match="SOPInstanceUID"):
        paths.instance_ref("1.2", "1.3", text)


def test_frames_keep_the_order_asked_and_may_repeat() -> None:
    """Trap 12."""
    assert paths.frame_numbers("3,1,2,3") == (3, 1, 2, 3)


@pytest.mark.parametrize("text", ["", "0", "-1", "1,,2", "a", "1.5", "1, 2", "²", "1" * 10, ",".join(["1"] * 10_001)])
def test_frame_lists_of_anything_else_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        paths.frame_numbers(text)
