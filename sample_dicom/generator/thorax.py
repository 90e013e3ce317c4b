"""A chest in Hounsfield units, plane by plane. Invented anatomy: it looks right from afar and teaches nobody medicine.

z runs downwards in mm from above the lung apices (0) to the upper abdomen (260).
"""

from dataclasses import dataclass, field

import numpy as np

from generator.shapes import (
    Array,
    Clouds,
    Ellipse,
    Grid,
    Segment,
    distance_out,
    grain,
    inside,
    paint,
    paint_tube,
    ramp,
)

AIR, LUNG, FAT, MUSCLE, BLOOD, CORTEX, MARROW = -1000, -868, -98, 52, 42, 820, 210
NODULE = (-86.0, 12.0, 100.0)  # centre in mm: right upper lobe


@dataclass
class Thorax:
    """One patient's chest, without arms. *contrast* is what the contrast medium adds to blood."""

    seed: int = 1
    contrast: int = 0
    nodule_mm: float = 0.0
    female: bool = True
    noise: float = 14.0
    _vessels: dict[tuple[int, int], list[Segment]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for tube, side in vessel_trees(self.seed):
            for slab in range(
                _slab(min(tube.start[2], tube.end[2]) - 5), _slab(max(tube.start[2], tube.end[2]) + 5) + 1
            ):
                self._vessels.setdefault((side, slab), []).append(tube)
        self._texture = Clouds(self.seed + 1, 3.2)
        self._haze = Clouds(self.seed + 2, 45.0)

    def plane(self, grid: Grid, z: float) -> Array:
        """The Hounsfield units of the plane at *z*, noise included."""
        hu = np.full(grid.shape, float(AIR))
        self._grit = self._texture.at(grid.x, grid.y, z)
        self._mist = self._haze.at(grid.x, grid.y, z)
        self._wall(hu, grid, z)
        self._lungs(hu, grid, z)
        self._mediastinum(hu, grid, z)
        self._abdomen(hu, grid, z)
        self._bones(hu, grid, z)
        self._table(hu, grid)
        return hu + grain(self.seed * 1000 + int(z * 10), grid.shape, self.noise) * (hu > -990)

    def _blood(self, share: float = 1.0) -> float:
        return BLOOD + self.contrast * share

    # The wall, from the skin inwards

    def _wall(self, hu: Array, grid: Grid, z: float) -> None:
        body = body_outline(z)
        swell = float(ramp(z, 78, 130) * ramp(z, 215, 150)) * self.female
        breasts = [Ellipse(side * 72, -84, 60 * swell, 42 * swell * swell) for side in (-1, 1)]
        outline = [body, *breasts]
        for part in outline:
            paint(hu, inside(grid, part), 20)
        for part in outline:
            paint(hu, inside(grid, part.grown(-2)), FAT + 6 * self._grit)
        for breast in breasts:
            glands = inside(grid, Ellipse(breast.cx * 1.04, -96, 30 * swell, 17 * swell), 16)
            glands = glands * inside(grid, breast.grown(-3))
            paint(hu, glands * (0.55 + 0.45 * self._grit), 25)
        inner = Ellipse(body.cx, body.cy, body.rx - 17, body.ry - 13)
        paint(hu, inside(grid, inner), MUSCLE)
        self._muscles(hu, grid, z)

    def _muscles(self, hu: Array, grid: Grid, z: float) -> None:
        """Layers of fat between the muscles of back and chest."""
        cage = cage_outline(z)
        for gap, width in ((9.0, 0.8), (17.0, 1.0)):
            ring = distance_out(grid, cage) - gap + 2.2 * self._mist
            paint(hu, np.clip(1 - abs(ring) / width, 0, 1) * 0.8, FAT)
        for side in (-1, 1):
            paint(hu, inside(grid, Ellipse(side * 6, 99, 1.2, 12)), FAT)
            paint(hu, inside(grid, Ellipse(side * 28, 84, 21, 13)), MUSCLE + 6)

    # The lungs

    def _lungs(self, hu: Array, grid: Grid, z: float) -> None:
        paint(hu, inside(grid, cage_outline(z)), FAT + 60)
        depth = (grid.y + 80) * 0.35
        tissue = LUNG + depth + 26 * self._mist + 22 * self._grit
        for side in (-1, 1):
            mask = self._lung_mask(grid, z, side)
            paint(hu, mask, tissue)
            self._fill(hu, grid, z, mask, side)

    def _lung_mask(self, grid: Grid, z: float, side: int) -> Array:
        size = lung_size(z, side)
        lung = Ellipse(side * 66, 6, 57 * size, 82 * size, (0.995, side * -0.1))
        mask = inside(grid, lung) * inside(grid, cage_outline(z).grown(-1))
        middle = Ellipse(4 if side > 0 else -4, 10, 19 + 6 * size, 96)
        return np.asarray(mask * (1 - inside(grid, middle, 4)))

    def _fill(self, hu: Array, grid: Grid, z: float, mask: Array, side: int) -> None:
        """Vessels and the nodule: painted everywhere, kept inside the lung only."""
        filled = hu.copy()
        for tube in self._near(z, side):
            paint_tube(filled, grid, z, tube, self._blood(0.55) - 25)
        if side < 0 and self.nodule_mm:
            self._nodule(filled, grid, z)
        hu += (mask > 0.6) * (filled - hu)

    def _near(self, z: float, side: int) -> list[Segment]:
        return self._vessels.get((side, _slab(z)), [])

    def _nodule(self, hu: Array, grid: Grid, z: float) -> None:
        x, y, z0 = NODULE
        bumps = 1.4 * self._grit + 1.1 * self._haze.at(grid.x * 6, grid.y * 6, z)
        dx, dy, dz = grid.x - x, (grid.y - y) * 1.12, z - z0
        distance = np.sqrt(dx * dx + dy * dy + dz * dz) + bumps
        paint(hu, np.clip((self.nodule_mm / 2 - distance) / 1.6 + 0.5, 0, 1), 48 + self.contrast * 0.18)

    # Heart and great vessels

    def _mediastinum(self, hu: Array, grid: Grid, z: float) -> None:
        width = 20 + 16 * float(ramp(z, 95, 130))
        paint(hu, inside(grid, Ellipse(2, -20, width, 58), 4) * inside(grid, cage_outline(z).grown(-2)), FAT)
        self._heart(hu, grid, z)
        for tube, _ in GREAT_VESSELS:
            paint_tube(hu, grid, z, Segment(tube.start, tube.end, tube.radius + 1.2), 45, 1.2)
        for tube, share in GREAT_VESSELS:
            paint_tube(hu, grid, z, tube, self._blood(share), 1.2)
        paint(hu, inside(grid, Ellipse(9, 32, 6.5, 5)), 38)  # oesophagus
        paint(hu, inside(grid, Ellipse(9.5, 32, 1.6, 1)), -500)
        for tube in AIRWAYS:
            paint_tube(hu, grid, z, Segment(tube.start, tube.end, tube.radius + 1.5), 30, 1.2)
        for tube in AIRWAYS:
            paint_tube(hu, grid, z, tube, AIR + 8, 1.2)

    def _heart(self, hu: Array, grid: Grid, z: float) -> None:
        size = float(ramp(z, 122, 152) * ramp(z, 226, 196))
        if size <= 0.05:
            return
        tilt = (0.82, 0.57)
        outline = Ellipse(21, -27, 64 * size, 45 * size, tilt)
        paint(hu, inside(grid, outline.grown(4), 3), FAT)
        muscle = 55 + self.contrast * 0.3
        paint(hu, inside(grid, outline), muscle)
        chambers = (
            (Ellipse(46, -22, 30, 17, tilt), 0.95, 0.85),  # left ventricle
            (Ellipse(14, -52, 35, 13, tilt), 0.8, 0.75),  # right ventricle
            (Ellipse(-24, -31, 19, 22, tilt), 0.85, 0.7),  # right atrium
            (Ellipse(8, 5, 26, 13, (0.97, 0.24)), 1.0, 0.5),  # left atrium
        )
        for chamber, share, until in chambers:
            grown = size * float(ramp(z, 126 + 90 * until, 126 + 62 * until))
            scaled = Ellipse(chamber.cx, chamber.cy, chamber.rx * grown, chamber.ry * grown, chamber.turn)
            paint(hu, inside(grid, scaled, 3), self._blood(share) + 8 * self._grit)

    # Below the diaphragm

    def _abdomen(self, hu: Array, grid: Grid, z: float) -> None:
        wall = inside(grid, cage_outline(z).grown(-1))
        dome = float(ramp(z, 186, 250))
        if dome <= 0:
            return
        grow = dome * (1.6 - 0.6 * dome)
        liver = Ellipse(-48 + 10 * dome, -4, 84 * grow, 82 * grow, (0.98, 0.2))
        tissue = 58 + self.contrast * 0.28 + 5 * self._mist
        paint(hu, inside(grid, liver, 2) * wall, tissue)
        late = float(ramp(z, 204, 254))
        stomach = Ellipse(58, -26, 50 * late, 44 * late, (0.9, -0.43))
        paint(hu, inside(grid, stomach.grown(3)) * wall * (late > 0), 52)
        paint(hu, inside(grid, stomach) * wall, np.where(grid.y < -34, AIR + 20.0, 18.0))
        spleen = Ellipse(92, 42, 30 * late, 44 * late, (0.93, 0.36))
        paint(hu, inside(grid, spleen, 2) * wall, 56 + self.contrast * 0.42)
        paint(hu, inside(grid, Ellipse(22, 40, 12, 12)), self._blood(0.92))  # descending aorta, again on top
        paint(hu, inside(grid, Ellipse(-20, 8, 12, 9)) * dome, self._blood(0.4))  # inferior vena cava

    # Bones and table

    def _bones(self, hu: Array, grid: Grid, z: float) -> None:
        self._ribs(hu, grid, z)
        self._spine(hu, grid, z)
        sternum = float(ramp(z, 40, 70) * ramp(z, 215, 175))
        _bone(hu, grid, Ellipse(0, cage_outline(z).cy - cage_outline(z).ry - 3, 19 * sternum, 5.5 * sternum), 2.0)
        for side in (-1, 1):
            tip = float(ramp(z, 148, 60))
            blade = Ellipse(side * (112 + 4 * tip), 68 - 14 * tip, 36 * tip, 1.4 + 3.2 * tip, (0.62, side * -0.784))
            _bone(hu, grid, blade, 1.4)
            rise = z - 26 + 0.1 * 62
            clavicle = float(ramp(abs(rise), 13, 4))
            _bone(
                hu,
                grid,
                Ellipse(side * (70 - rise), -48 + z * 0.5, 50 * clavicle, 6 * clavicle, (0.95, side * 0.3)),
                2.0,
            )

    def _ribs(self, hu: Array, grid: Grid, z: float) -> None:
        """All ribs at once: a ring around the cage, cut where the slope of each rib crosses this plane."""
        cage = cage_outline(z)
        across = distance_out(grid, cage) - 3.2
        slope = (grid.y - cage.cy) / cage.ry
        height = z + 44 * slope + np.where(grid.x > 0, 3.0, 0.0)
        along = height - np.floor(height / 26 + 0.5) * 26
        size = np.sqrt((across / 3.9) * (across / 3.9) + (along / 6.2) * (along / 6.2))
        present = ramp(slope, -0.93, -0.8) * (1 - inside(grid, Ellipse(0, 88, 15, 30), 3))
        gristle = np.where(slope < -0.62, 0.25, 1.0)
        paint(hu, np.clip((1.08 - size) * 2.6 + 0.5, 0, 1) * present, 110 + (CORTEX - 190) * gristle)
        paint(hu, np.clip((0.62 - size) * 2.6 + 0.5, 0, 1) * present, MARROW - 40 + 0 * gristle)

    def _spine(self, hu: Array, grid: Grid, z: float) -> None:
        gap = abs((z + 8) / 24 - np.floor((z + 8) / 24 + 0.5)) * 24
        vertebra = Ellipse(0, 62, 18, 14.5)
        disc = float(ramp(gap, 4.5, 2.5))
        _bone(hu, grid, Ellipse(0, 94 + 4 * disc, 3.4, 14), 1.4)
        for side in (-1, 1):
            _bone(hu, grid, Ellipse(side * 20, 80, 17, 5.5, (0.82, side * 0.57)), 1.6)
        _bone(hu, grid, vertebra, 1.7)
        trabeculae = MARROW - 30 + 45 * self._grit
        paint(hu, inside(grid, vertebra.grown(-2)), trabeculae * (1 - disc) + 88 * disc)
        paint(hu, inside(grid, Ellipse(0, 79, 10.5, 8.5)), 12)
        paint(hu, inside(grid, Ellipse(0, 78.5, 6, 4.5)), 42)

    def _table(self, hu: Array, grid: Grid) -> None:
        sag = 127 - grid.x * grid.x / 900
        paint(hu, np.clip(1.4 - abs(grid.y - sag), 0, 1) * (abs(grid.x) < 180), -420)
        paint(hu, np.clip(1.4 - abs(grid.y - sag - 22), 0, 1) * (abs(grid.x) < 180), -560)


def body_outline(z: float) -> Ellipse:
    """The skin; wide at the shoulders."""
    shoulders = float(ramp(z, 70, 0))
    return Ellipse(0, 4, 166 + 16 * shoulders, 112 - 5 * shoulders)


def cage_outline(z: float) -> Ellipse:
    """The inside of the ribs."""
    top = float(ramp(z, 95, -25))
    return Ellipse(0, 4 + 4 * top, 131 * (1 - 0.5 * top), 89 * (1 - 0.42 * top))


def lung_size(z: float, side: int) -> float:
    """0 above the apex, 1 in the middle, 0 below the diaphragm (higher on the right, where the liver is)."""
    apex, base = float(ramp(z, 4, 85)), float(ramp(z, 262 if side > 0 else 252, 205 if side > 0 else 190))
    return (0.35 + 0.65 * apex) * float(ramp(z, 2, 12)) * (0.15 + 0.85 * base) * (base > 0)


def _slab(z: float) -> int:
    """Which layer of 5 mm *z* lies in."""
    return int(z // 5)


def _bone(hu: Array, grid: Grid, shape: Ellipse, cortex_mm: float) -> None:
    paint(hu, inside(grid, shape), CORTEX)
    paint(hu, inside(grid, shape.grown(-cortex_mm)), MARROW)


AIRWAYS = (
    Segment((0, 12, -20), (0, 18, 112), 8.5),
    Segment((0, 18, 112), (-34, 14, 138), 6.5),
    Segment((0, 18, 112), (36, 20, 142), 6.0),
    Segment((-34, 14, 138), (-52, 30, 190), 4.0),
    Segment((-30, 14, 134), (-62, 4, 116), 3.6),
    Segment((36, 20, 142), (54, 34, 192), 3.8),
    Segment((34, 20, 138), (62, 4, 120), 3.4),
)

# (tube, share of the contrast)
GREAT_VESSELS = (
    (Segment((-14, -24, 96), (-10, -26, 126), 16), 1.0),  # ascending aorta
    (Segment((-14, -24, 96), (6, -2, 84), 14), 1.0),  # arch
    (Segment((6, -2, 84), (24, 36, 96), 13), 1.0),
    (Segment((24, 36, 96), (22, 40, 300), 12), 1.0),  # descending aorta
    (Segment((14, -40, 128), (22, -24, 116), 14), 1.05),  # pulmonary trunk
    (Segment((22, -24, 116), (-46, -6, 120), 9.5), 1.05),
    (Segment((22, -24, 116), (50, 14, 126), 10), 1.05),
    (Segment((-24, -22, 20), (-28, -22, 134), 8.5), 1.25),  # superior vena cava
    (Segment((-16, -14, -20), (-14, -24, 84), 6), 1.0),  # brachiocephalic, carotid, subclavian
    (Segment((14, -8, -20), (2, -8, 84), 4.5), 1.0),
    (Segment((36, 4, -20), (10, 4, 84), 5), 1.0),
)


def vessel_trees(seed: int) -> list[tuple[Segment, int]]:
    """Branching vessels of both lungs, from the hila outwards; with the side that each belongs to."""
    found: list[tuple[Segment, int]] = []
    for side in (-1, 1):
        draw = np.random.RandomState(seed * 10 + side + 5)
        for _ in range(24):
            aim = np.array([side * draw.randint(45, 110), draw.randint(-95, 96), draw.randint(-105, 96)], dtype=float)
            start = (side * 38.0, 6.0 + draw.randint(-8, 9), 124.0 + draw.randint(-10, 26))
            _grow(found, draw, side, start, aim, 3.6)
    return found


def _grow(
    found: list[tuple[Segment, int]],
    draw: np.random.RandomState,
    side: int,
    start: tuple[float, float, float],
    aim: Array,
    radius: float,
) -> None:
    if radius < 0.6 or len(found) > 6000:
        return
    aim = aim / np.sqrt(aim[0] * aim[0] + aim[1] * aim[1] + aim[2] * aim[2])
    length = 9 + 4.5 * radius
    end = (start[0] + aim[0] * length, start[1] + aim[1] * length, start[2] + aim[2] * length)
    found.append((Segment(start, end, radius), side))
    _grow(found, draw, side, end, aim + draw.randint(-30, 31, 3) / 100, radius * 0.86)
    if draw.randint(0, 10) < 7:
        _grow(found, draw, side, end, aim + draw.randint(-90, 91, 3) / 100, radius * 0.68)
