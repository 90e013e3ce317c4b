"""Ultrasound sectors with speckle and colour flow: one abdomen, and a heart that beats. RGB, 8 bit."""

from dataclasses import dataclass

import numpy as np

from generator.shapes import Array, Ellipse, Grid, inside, paint, ramp

TOWARDS = np.array([[90, 0, 0], [220, 30, 0], [255, 190, 40]], dtype=float)
AWAY = np.array([[0, 0, 110], [0, 60, 230], [90, 220, 255]], dtype=float)


@dataclass(frozen=True)
class Sector:
    """The fan of a curved probe: mm across the picture, centred, depth from the skin downwards."""

    rows: int
    columns: int
    depth_mm: float
    probe_mm: float  # radius of the probe; 0 is a point
    slope: float  # half the opening, as width per depth

    def grid(self) -> Grid:
        pixel = (self.depth_mm + 10) / self.rows
        return Grid.centred(self.rows, self.columns, pixel, (self.rows - 1) / 2 * pixel - 5)

    def polar(self, grid: Grid) -> tuple[Array, Array]:
        """Depth below the probe, and slope of the beam, of every pixel."""
        down = grid.y + self.probe_mm
        range_mm = np.sqrt(grid.x * grid.x + down * down) - self.probe_mm
        return range_mm, grid.x / np.maximum(down, 1e-3)

    def mask(self, range_mm: Array, beam: Array) -> Array:
        return (range_mm > 0.5) & (range_mm < self.depth_mm) & (abs(beam) < self.slope)


def speckle(seed: int, range_mm: Array, beam: Array) -> Array:
    """The grain of an ultrasound picture: fine in depth, wider across and wider still with depth."""
    draw = np.random.RandomState(seed)
    total = np.zeros(range_mm.shape)
    for layer in range(4):
        lattice = draw.randint(-1000, 1001, (256, 256)) / 1000
        u, v = range_mm / 1.05 + 20 + layer * 0.27, beam * 62 + 128 + layer * 0.31
        ku, kv = u.astype(int) % 255, v.astype(int) % 255
        fu, fv = ramp(u - u.astype(int), 0, 1), ramp(v - v.astype(int), 0, 1)
        top = lattice[ku, kv] * (1 - fv) + lattice[ku, kv + 1] * fv
        low = lattice[ku + 1, kv] * (1 - fv) + lattice[ku + 1, kv + 1] * fv
        mixed = top * (1 - fu) + low * fu
        total += mixed * mixed
    return np.sqrt(total) * 1.35


def _show(sector: Sector, echo: Array, seed: int, gain: float = 1.0) -> Array:
    """Echoes to grey levels, with speckle, fall-off with depth and a log-like curve; RGB."""
    grid = sector.grid()
    range_mm, beam = sector.polar(grid)
    grains = speckle(seed, range_mm, beam)
    bright = echo * grains * (0.4 + 0.6 * grains) * gain
    bright = bright * (1.15 - 0.45 * range_mm / sector.depth_mm)
    grey = bright / (bright + 0.62) * 330 * sector.mask(range_mm, beam)
    rgb = np.repeat(np.clip(grey, 0, 255)[:, :, None], 3, axis=2)
    _scales(rgb)
    return rgb


def _scales(rgb: Array) -> None:
    """The grey bar at the right edge and depth marks beside it."""
    rows, columns = rgb.shape[:2]
    top, bottom = rows // 10, rows // 10 + 90
    rgb[top:bottom, columns - 14 : columns - 7] = np.linspace(255, 0, bottom - top).reshape(-1, 1, 1)
    for mark in range(1, 9):
        row = mark * rows // 9
        rgb[row : row + 1, columns - (9 if mark % 2 else 14) : columns - 5] = 170


def _tint(rgb: Array, mask: Array, speed: Array) -> None:
    """Colour flow: *speed* from -1 (away, blue) to 1 (towards, red)."""
    amount = np.clip(abs(speed), 0, 1) * 2
    step = np.minimum(amount.astype(int), 1)
    share = (amount - step)[:, :, None]
    for table, chosen in ((TOWARDS, speed > 0.04), (AWAY, speed < -0.04)):
        colour = table[step] + (table[step + 1] - table[step]) * share
        here = (mask * chosen)[:, :, None]
        rgb += here * (colour - rgb)


def _colour_bar(rgb: Array) -> None:
    span = np.linspace(1, -1, 80).reshape(-1, 1) * np.ones((1, 7))
    block = np.zeros((80, 7, 3))
    _tint(block, np.ones((80, 7)), span)
    rgb[20:100, 10:17] = block


def abdomen(rows: int, columns: int, seed: int, flow: bool) -> Array:
    """Liver, kidney, gall bladder and, with *flow*, colour in the portal vein."""
    sector = Sector(rows, columns, 120.0, 45.0, 0.78)
    grid = sector.grid()
    range_mm, beam = sector.polar(grid)
    echo = np.full(grid.shape, 0.30)
    paint(echo, inside(grid, Ellipse(-18, 48, 88, 54, (0.97, 0.24)), 3), 0.42)  # liver
    paint(echo, np.clip(1.6 - abs(range_mm - 8), 0, 1) + np.clip(1.1 - abs(range_mm - 14), 0, 1), 0.8)
    dome = Ellipse(-26, 40, 100, 64, (0.97, 0.24))
    rim = inside(grid, dome.grown(2.2)) - inside(grid, dome)
    paint(echo, np.clip(rim, 0, 1) * (grid.y > 60), 3.2)
    _kidney(echo, grid)
    bladder = Ellipse(30, 36, 22, 9.5, (0.86, 0.5))
    behind = ramp(range_mm, 50, 58) * np.clip((0.17 - abs(beam - 0.36)) * 14, 0, 1)
    echo *= 1 + 1.1 * behind
    paint(echo, inside(grid, bladder.grown(1.6), 1), 1.2)
    paint(echo, inside(grid, bladder, 1), 0.01)
    vein = Ellipse(-22, 46, 34, 4.6, (0.94, 0.34))
    paint(echo, inside(grid, vein.grown(1.4), 1), 1.3)
    paint(echo, inside(grid, vein, 1), 0.02)
    for place in (Ellipse(-48, 30, 7, 3, (0.8, 0.6)), Ellipse(-6, 24, 8, 2.4, (0.9, -0.43)), Ellipse(-40, 66, 6, 3.4)):
        paint(echo, inside(grid, place, 1), 0.03)
    rgb = _show(sector, echo, seed)
    if flow:
        across = (grid.x + 22) / 34
        speed = 0.75 - 0.25 * across * across + 0.18 * (speckle(seed + 9, range_mm, beam) - 0.9)
        _tint(rgb, inside(grid, vein.grown(-0.4), 1) * (abs(grid.x + 20) < 26), speed)
        _colour_bar(rgb)
        _box(rgb, grid, Ellipse(-20, 46, 29, 22))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _kidney(echo: Array, grid: Grid) -> None:
    kidney = Ellipse(24, 82, 40, 19, (0.95, 0.3))
    paint(echo, inside(grid, kidney.grown(1.5), 1), 1.1)
    paint(echo, inside(grid, kidney, 1.5), 0.33)
    for along, across in ((-27, -3), (-16, -9), (-3, -11), (10, -10), (22, -6), (-20, 7), (-5, 11), (9, 10), (20, 6)):
        x, y = 24 + along * 0.95 - across * 0.3, 82 + along * 0.3 + across * 0.95
        paint(echo, inside(grid, Ellipse(x, y, 4.4, 4.4), 2), 0.10)
    paint(echo, inside(grid, Ellipse(24, 82, 22, 5.5, (0.95, 0.3)), 5), 1.9)


def _box(rgb: Array, grid: Grid, area: Ellipse) -> None:
    """The thin outline of the colour box."""
    across, along = abs(grid.x - area.cx), abs(grid.y - area.cy)
    edge = ((abs(across - area.rx) < 0.25) & (along <= area.ry)) | ((abs(along - area.ry) < 0.25) & (across <= area.rx))
    rgb[edge] = 200


def heart(rows: int, columns: int, seed: int, phase: float) -> Array:
    """Four chambers at *phase* of the beat (0 to 1), with colour flow through the mitral valve and the outflow."""
    sector = Sector(rows, columns, 150.0, 4.0, 0.82)
    grid = sector.grid()
    range_mm, beam = sector.polar(grid)
    squeeze = float(ramp(phase, 0.0, 0.3) * ramp(phase, 0.75, 0.4))
    echo = np.full(grid.shape, 0.10)
    paint(echo, np.clip(1.5 - abs(range_mm - 7), 0, 1), 1.0)
    paint(echo, inside(grid, Ellipse(-4, 80, 54, 66), 8), 0.42)
    ventricle = Ellipse(17 - squeeze, 62, 21 - 7 * squeeze, 39 - 7 * squeeze, (0.98, 0.17))
    chambers = (
        ventricle,
        Ellipse(-26 + 2 * squeeze, 66, 15 - 4 * squeeze, 34 - 5 * squeeze, (0.97, -0.22)),
        Ellipse(20, 121 + 2 * squeeze, 21 + 3 * squeeze, 17 + 4 * squeeze),
        Ellipse(-25, 119 + 2 * squeeze, 19 + 3 * squeeze, 16 + 3 * squeeze),
    )
    for chamber in chambers:
        paint(echo, inside(grid, chamber.grown(1.4), 2), 0.75)
    for chamber in chambers:
        paint(echo, inside(grid, chamber, 2), 0.02)
    _valves(echo, grid, squeeze)
    rgb = _show(sector, echo, seed + int(phase * 1000), 1.05)
    _flow(rgb, grid, phase, speckle(seed + 31 + int(phase * 1000), range_mm, beam))
    _colour_bar(rgb)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _valves(echo: Array, grid: Grid, squeeze: float) -> None:
    for side, middle in ((1, 18.0), (1, -26.0)):
        for leaf in (-1, 1):
            swing = 1 - squeeze
            cx, turn = middle + side * leaf * (7 + 3 * swing), (0.9 - 0.5 * swing, leaf * -(0.43 + 0.44 * swing))
            paint(echo, inside(grid, Ellipse(cx, 100 - 4 * swing, 8.5, 1.0, turn), 1.2), 1.8)


def _flow(rgb: Array, grid: Grid, phase: float, ripple: Array) -> None:
    filling = float(ramp(phase, 0.55, 0.7) * ramp(phase, 1.0, 0.85))
    leaving = float(ramp(phase, 0.02, 0.12) * ramp(phase, 0.45, 0.3))
    inflow = Ellipse(18, 80, 9 * filling, 30 * filling, (0.99, 0.1))
    outflow = Ellipse(6, 88, 7 * leaving, 26 * leaving, (0.95, -0.31))
    wave = 0.2 * (ripple - 0.9)
    _tint(rgb, inside(grid, inflow, 3) > 0.5, 0.85 - abs(grid.x - 18) / 14 + wave)
    _tint(rgb, inside(grid, outflow, 3) > 0.5, -0.9 + abs(grid.x - 6) / 14 + wave)
