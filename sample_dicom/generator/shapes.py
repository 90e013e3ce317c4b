"""Soft-edged shapes on a grid of millimetres. Knows numbers, nothing of anatomy or DICOM.

Only + - * / and sqrt are used, and RandomState, whose stream is frozen: IEEE 754 gives the same pixels everywhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Grid:
    """Pixel centres of one plane, in mm; y grows downwards (to posterior), x to the right (to the patient's left)."""

    x: Array
    y: Array

    @classmethod
    def centred(cls, rows: int, columns: int, pixel_mm: float, centre_y: float = 0.0) -> "Grid":
        x = (np.arange(columns) - (columns - 1) / 2) * pixel_mm
        y = (np.arange(rows) - (rows - 1) / 2) * pixel_mm + centre_y
        return cls(x.reshape(1, columns), y.reshape(rows, 1))

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.shape[0], self.x.shape[1]


@dataclass(frozen=True)
class Ellipse:
    """Centre, half axes, and the rotation as (cosine, sine) so that nobody has to compute one."""

    cx: float
    cy: float
    rx: float
    ry: float
    turn: tuple[float, float] = (1.0, 0.0)

    def grown(self, mm: float) -> "Ellipse":
        return Ellipse(self.cx, self.cy, self.rx + mm, self.ry + mm, self.turn)

    def moved(self, dx: float, dy: float) -> "Ellipse":
        return Ellipse(self.cx + dx, self.cy + dy, self.rx, self.ry, self.turn)

    def mirrored(self) -> "Ellipse":
        return Ellipse(-self.cx, self.cy, self.rx, self.ry, (self.turn[0], -self.turn[1]))


def inside(grid: Grid, shape: Ellipse, edge_mm: float = 1.5) -> Array:
    """1 inside, 0 outside, and a ramp of about *edge_mm* between."""
    if shape.rx <= 0 or shape.ry <= 0:
        return np.zeros(grid.shape)
    u, v = grid.x - shape.cx, grid.y - shape.cy
    c, s = shape.turn
    across, along = (u * c + v * s) / shape.rx, (v * c - u * s) / shape.ry
    radius = np.sqrt(across * across + along * along)
    return np.clip((1 - radius) * min(shape.rx, shape.ry) / edge_mm + 0.5, 0, 1)


def distance_out(grid: Grid, shape: Ellipse) -> Array:
    """Roughly how many mm outside (negative: inside) of *shape* every pixel lies."""
    across, along = (grid.x - shape.cx) / shape.rx, (grid.y - shape.cy) / shape.ry
    return (np.sqrt(across * across + along * along) - 1) * min(shape.rx, shape.ry)


def paint(image: Array, mask: Array, value: Array | float) -> None:
    """Lay *value* over *image* where *mask* is 1."""
    image += mask * (value - image)


def ramp(value: Array | float, start: float, end: float) -> Any:
    """0 at *start*, 1 at *end*, clamped and smooth between; *end* may lie below *start*."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Segment:
    """A piece of tube from one point to another, in mm, with its radii."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


def paint_tube(image: Array, grid: Grid, z: float, tube: Segment, value: float, edge_mm: float = 1.0) -> None:
    """Lay the part of *tube* that the plane at *z* cuts; only the pixels around it are touched."""
    reach = tube.radius + edge_mm
    if not min(tube.start[2], tube.end[2]) - reach <= z <= max(tube.start[2], tube.end[2]) + reach:
        return
    ys = _span(grid.y[:, 0], tube.start[1], tube.end[1], reach)
    xs = _span(grid.x[0], tube.start[0], tube.end[0], reach)
    if ys.start >= ys.stop or xs.start >= xs.stop:
        return
    distance = _distance_to(tube, grid.x[:, xs], grid.y[ys], z)
    paint(image[ys, xs], np.clip((tube.radius - distance) / edge_mm + 0.5, 0, 1), value)


def _span(axis: Array, a: float, b: float, reach: float) -> slice:
    pixel_mm = axis[1] - axis[0]
    first = int((min(a, b) - reach - axis[0]) / pixel_mm)
    last = int((max(a, b) + reach - axis[0]) / pixel_mm) + 2
    return slice(max(first, 0), min(last, len(axis)))


def _distance_to(tube: Segment, x: Array, y: Array, z: float) -> Array:
    ux, uy, uz = (e - s for s, e in zip(tube.start, tube.end, strict=True))
    px, py, pz = x - tube.start[0], y - tube.start[1], z - tube.start[2]
    t = np.clip((px * ux + py * uy + pz * uz) / (ux * ux + uy * uy + uz * uz + 1e-9), 0, 1)
    dx, dy, dz = px - t * ux, py - t * uy, pz - t * uz
    return np.sqrt(dx * dx + dy * dy + dz * dz)


class Clouds:
    """Smooth noise in three dimensions, between -1 and 1, the same for the same seed."""

    def __init__(self, seed: int, cell_mm: float) -> None:
        self.cell_mm = cell_mm
        self._lattice = np.random.RandomState(seed).randint(-1000, 1001, (32, 32, 32)) / 1000

    def at(self, x: Array, y: Array, z: float) -> Array:
        """The noise at a plane, *x* a row and *y* a column; the lattice repeats every 32 cells."""
        (kx, fx), (ky, fy), (kz, fz) = self._cell(x[0]), self._cell(y[:, 0]), self._cell(np.array([z]))
        level = _between(self._lattice, kz, fz.reshape(1, 1, 1))[0]
        rows = _between(level, ky, fy.reshape(-1, 1))
        return _between(rows.T, kx, fx.reshape(-1, 1)).T

    def _cell(self, position: Array) -> tuple[Array, Array]:
        scaled = position / self.cell_mm + 1024
        whole = scaled.astype(int)
        part = scaled - whole
        return whole % 32, part * part * (3 - 2 * part)


def _between(lattice: Array, first: Array, share: Array) -> Array:
    """The mean, weighted by *share*, of neighbouring rows of *lattice*."""
    here = lattice[first]
    return np.asarray(here + (lattice[(first + 1) % 32] - here) * share)


def grain(seed: int, shape: tuple[int, int], strength: float) -> Array:
    """Detector noise: roughly normal, slightly blurred, standard deviation near *strength*."""
    draws = np.random.RandomState(seed).randint(-100, 101, (3, shape[0] + 2, shape[1] + 2))
    raw = (draws[0] + draws[1] + draws[2]) / 100.0
    across = raw[:, :-2] + 2 * raw[:, 1:-1] + raw[:, 2:]
    return (across[:-2] + 2 * across[1:-1] + across[2:]) / 16 * (strength / 0.375)
