"""Where the pixels of a frame are in the patient (PS3.3 C.7.6.2.1.1). Knows numbers, not where they are written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Vector = tuple[float, float, float]
Affine = tuple[float, float, float, float, float, float]
Matrix = tuple[float, ...]  # 4 x 4, row by row, of homogeneous coordinates (PS3.3 C.20.2.1.1)

PARALLEL = 0.9999  # the cosine between two normals, at least: less than a degree


@dataclass(frozen=True, slots=True)
class Plane:
    """*position* is the centre of the first pixel, *across* and *down* are the unit vectors from column to column and
    from row to row; all in millimetres."""

    position: Vector
    across: Vector
    down: Vector
    row_spacing: float
    column_spacing: float

    def distance(self, other: "Plane") -> float | None:
        """How far apart the two planes are; None if they are not parallel."""
        own = _cross(self.across, self.down)
        if abs(_dot(own, _cross(other.across, other.down))) < PARALLEL:
            return None
        return abs(_dot(own, _minus(other.position, self.position)))

    def moved(self, matrix: Matrix) -> "Plane | None":
        """The plane where *matrix* takes it; None if its pixels are no rectangles there."""
        position = _applied(matrix, (*self.position, 1.0))
        across = _applied(matrix, (*(self.column_spacing * part for part in self.across), 0.0))
        down = _applied(matrix, (*(self.row_spacing * part for part in self.down), 0.0))
        return plane(position, (*across, *down), (math.hypot(*down), math.hypot(*across)))

    def onto(self, other: "Plane") -> Affine:
        """a to f, so that the pixel (x, y) is at (a x + b y + c, d x + e y + f) among the pixels of *other*."""
        away = _minus(self.position, other.position)
        lines = ((other.across, other.column_spacing), (other.down, other.row_spacing))
        found = [
            value
            for axis, spacing in lines
            for value in (
                _dot(self.across, axis) * self.column_spacing / spacing,
                _dot(self.down, axis) * self.row_spacing / spacing,
                _dot(away, axis) / spacing,
            )
        ]
        return found[0], found[1], found[2], found[3], found[4], found[5]


def plane(position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float]) -> Plane | None:
    """From Image Position, Image Orientation and Pixel Spacing; None where they do not say where a plane is."""
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2) or min(spacing) <= 0:
        return None
    across, down = _unit(orientation[:3]), _unit(orientation[3:])
    if across is None or down is None or abs(_dot(across, down)) > 1 - PARALLEL + 0.01:
        return None
    return Plane((position[0], position[1], position[2]), across, down, spacing[0], spacing[1])


def _applied(matrix: Matrix, place: Sequence[float]) -> tuple[float, ...]:
    rows = (matrix[start : start + 4] for start in (0, 4, 8))
    return tuple(sum(a * b for a, b in zip(row, place, strict=True)) for row in rows)


def _unit(vector: Sequence[float]) -> Vector | None:
    length = math.hypot(*vector)
    return (vector[0] / length, vector[1] / length, vector[2] / length) if length > 0 else None


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
