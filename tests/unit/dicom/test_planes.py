"""Planes in the patient (PS3.3 C.7.6.2.1.1)."""

import math

import pytest

from relais.dicom.planes import Plane, plane

ACROSS, UPRIGHT = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]


def at(position: list[float], orientation: list[float], spacing: list[float]) -> Plane:
    found = plane(position, orientation, spacing)
    assert found is not None
    return found


def test_parallel_planes_are_as_far_apart_as_their_normal_says() -> None:
    first, second = at([0, 0, 0], ACROSS, [1, 1]), at([50, -20, 7.5], ACROSS, [2, 3])
    assert first.distance(second) == second.distance(first) == 7.5
    upside_down = at([0, 0, -2], [-1, 0, 0, 0, 1, 0], [1, 1])
    assert first.distance(upside_down) == 2
    assert first.distance(at([0, 0, 0], UPRIGHT, [1, 1])) is None
    tilted = math.cos(0.05), math.sin(0.05)
    assert first.distance(at([0, 0, 0], [1, 0, 0, 0, *tilted], [1, 1])) is None


def test_pixels_are_found_where_they_lie_in_another_plane() -> None:
    fine, coarse = at([10, 20, 0], ACROSS, [0.5, 1]), at([0, 0, 1], ACROSS, [2, 4])
    a, b, c, d, e, f = fine.onto(coarse)
    assert (a, b, c) == (0.25, 0, 2.5)
    assert (d, e, f) == (0, 0.25, 10)
    turned = at([0, 0, 0], [0, 1, 0, -1, 0, 0], [1, 1])
    assert at([3, 5, 0], ACROSS, [1, 1]).onto(turned) == (0, 1, 5, -1, 0, -3)


def test_a_plane_goes_where_a_matrix_takes_it() -> None:
    """PS3.3 C.20.2.1.1"""
    turned_and_doubled = (0, -2, 0, 1, 2, 0, 0, 2, 0, 0, 2, 3, 0, 0, 0, 1)
    assert at([1, 2, 3], ACROSS, [0.5, 4]).moved(turned_and_doubled) == at([-3, 4, 9], [0, 1, 0, -1, 0, 0], [1, 8])
    sheared, flat = (1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1), (1, 0, 0, 0, *[0] * 11, 1)
    assert at([0, 0, 0], ACROSS, [1, 1]).moved(sheared) is None
    assert at([0, 0, 0], ACROSS, [1, 1]).moved(flat) is None


@pytest.mark.parametrize(
    ("position", "orientation", "spacing"),
    [
        ([0, 0], ACROSS, [1, 1]),
        ([0, 0, 0], ACROSS[:5], [1, 1]),
        ([0, 0, 0], ACROSS, [1]),
        ([0, 0, 0], ACROSS, [0, 1]),
        ([0, 0, 0], [0, 0, 0, 0, 1, 0], [1, 1]),
        ([0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1]),
        ([0, 0, 0], [1, 0, 0, 1, 0, 0], [1, 1]),
    ],
)
def test_what_does_not_say_where_a_plane_is_is_none(
    position: list[float], orientation: list[float], spacing: list[float]
) -> None:
    assert plane(position, orientation, spacing) is None
