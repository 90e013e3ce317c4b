"""An angiogram: contrast medium running through the vessels of a heart, frame by frame. 8 bit, vessels dark."""

from dataclasses import dataclass

import numpy as np

from generator.shapes import Array, Clouds, Ellipse, Grid, Segment, grain, inside, paint, paint_tube, ramp


@dataclass(frozen=True)
class Reach:
    """A piece of vessel and how far (mm of vessel) it lies from the tip of the catheter."""

    tube: Segment
    travelled: float


def frames(size: int, count: int, seed: int) -> Array:
    """*count* frames of *size* x *size* pixels over 130 mm."""
    grid = Grid.centred(size, size, 130 / size)
    still = _background(grid, seed)
    tree = _tree(seed)
    return np.stack([_frame(grid, still, tree, number, count, seed) for number in range(count)])


def _background(grid: Grid, seed: int) -> Array:
    image = 168 + 14 * Clouds(seed, 26).at(grid.x, grid.y, 0) + 5 * Clouds(seed + 1, 6).at(grid.x, grid.y, 0)
    paint(image, inside(grid, Ellipse(-58, 10, 22, 120), 22) * 0.55, 112)  # spine
    paint(image, inside(grid, Ellipse(34, 92, 90, 52), 12) * 0.6, 96)  # diaphragm
    for rib in range(-3, 4):
        paint(image, inside(grid, Ellipse(10, rib * 26, 110, 5, (0.97, 0.24)), 4) * 0.16, 110)
    return image


@dataclass(frozen=True)
class Tip:
    """Where a vessel grows from, where it is heading, and how it bends."""

    point: tuple[float, float]
    aim: tuple[float, float]
    radius: float
    travelled: float
    turn: float


def _tree(seed: int) -> list[Reach]:
    draw = np.random.RandomState(seed + 2)
    found: list[Reach] = []
    for aim, turn in (((0.9, 0.25), -0.012), ((0.5, 0.86), 0.03)):
        _grow(found, draw, Tip((-22.0, -34.0), aim, 2.5, 0.0, turn))
    return found


def _grow(found: list[Reach], draw: np.random.RandomState, tip: Tip) -> None:
    """Follow one vessel to the edge of the picture, and each branch that leaves it."""
    for piece in range(46):
        if tip.radius < 0.42 or abs(tip.point[0]) > 62 or abs(tip.point[1]) > 62:
            return
        bend = tip.turn + draw.randint(-100, 101) / 900
        x, y = tip.aim[0] - tip.aim[1] * bend, tip.aim[1] + tip.aim[0] * bend
        length = np.sqrt(x * x + y * y)
        aim = (x / length, y / length)
        end = (tip.point[0] + aim[0] * 2.6, tip.point[1] + aim[1] * 2.6)
        narrow = 0.55 if len(found) in (9, 10) else 1.0  # the stenosis
        found.append(Reach(Segment((*tip.point, 0.0), (*end, 0.0), tip.radius * narrow), tip.travelled))
        tip = Tip(end, aim, tip.radius * 0.975, tip.travelled + 2.6, tip.turn)
        if piece > 2 and draw.randint(0, 100) < 17:
            side = 1 if draw.randint(0, 2) else -1
            away = (aim[0] * 0.72 - side * aim[1] * 0.7, aim[1] * 0.72 + side * aim[0] * 0.7)
            _grow(found, draw, Tip(end, away, tip.radius * 0.66, tip.travelled, side * -0.02))


def _frame(grid: Grid, still: Array, tree: list[Reach], number: int, count: int, seed: int) -> Array:
    time = number / (count - 1)
    image = still.copy()
    for bend in ((-60.0, -70.0), (-40.0, -52.0)):
        paint_tube(image, grid, 0, Segment((*bend, 0.0), (bend[0] + 20, bend[1] + 18, 0.0), 1.1), 70)
    for reach in tree:
        front = time * 260 - reach.travelled
        filled = float(ramp(front, -4, 14) * (1 - 0.85 * ramp(front, 120, 210)))
        if filled > 0.03:
            dark = 168 - filled * (88 + 14 * min(reach.tube.radius, 2.4))
            paint_tube(image, grid, 0, reach.tube, max(dark, 22), 0.8)
    return np.clip(image + grain(seed * 100 + number, grid.shape, 4.0), 0, 255).astype(np.uint8)
