"""A head, plane by plane, painted with whatever values the tissues have: a CT or any MR weighting.

z runs downwards in mm from the vertex (0) to the base of the brain (120).
"""

from dataclasses import dataclass

import numpy as np

from generator.shapes import Array, Clouds, Ellipse, Grid, distance_out, grain, inside, paint, ramp


@dataclass(frozen=True)
class Tissues:
    """What each tissue looks like in one kind of picture, and how noisy the picture is."""

    air: float
    fat: float
    bone: float
    marrow: float
    csf: float
    grey: float
    white: float
    lesion: float
    noise: float


T1 = Tissues(air=4, fat=1180, bone=60, marrow=520, csf=170, grey=560, white=790, lesion=470, noise=14)
FLAIR = Tissues(air=4, fat=840, bone=50, marrow=380, csf=75, grey=560, white=430, lesion=980, noise=14)
T2 = Tissues(air=4, fat=760, bone=40, marrow=330, csf=1180, grey=610, white=430, lesion=1050, noise=16)
CT = Tissues(air=-1000, fat=-95, bone=1350, marrow=650, csf=6, grey=39, white=27, lesion=68, noise=3.5)

# Small round lesions: centre and radius in mm. Beside the ventricles, or one bleed.
PLAQUES = (
    (-24, -30, 52, 4.5),
    (22, -22, 48, 3.5),
    (-27, 14, 50, 5.0),
    (29, 22, 46, 4.0),
    (-19, 34, 56, 3.2),
    (25, -2, 40, 2.8),
    (-31, -6, 36, 3.0),
    (-15, 20, 30, 2.6),
)
BLEED = ((34, 4, 58, 15.0),)


@dataclass
class Head:
    """One patient's head."""

    seed: int
    tissues: Tissues
    lesions: tuple[tuple[float, float, float, float], ...] = ()
    shading: float = 0.0  # unevenness of an MR coil

    def __post_init__(self) -> None:
        self._folds = Clouds(self.seed, 14.0)
        self._fine = Clouds(self.seed + 1, 9.0)
        self._wide = Clouds(self.seed + 2, 70.0)

    def plane(self, grid: Grid, z: float) -> Array:
        """The values of the plane at *z*, noise included."""
        kind = self.tissues
        image = np.full(grid.shape, float(kind.air))
        scale = skull_scale(z)
        brain = Ellipse(0, 0, 62 * scale, 78 * scale)
        self._shell(image, grid, brain)
        self._cortex(image, grid, brain, z)
        self._depths(image, grid, z)
        self._fluid(image, grid, brain, z)
        self._spots(image, grid, z)
        if self.shading:
            image *= 1 + self.shading * self._wide.at(grid.x, grid.y, z)
        return image + grain(self.seed * 1000 + int(z * 10), grid.shape, kind.noise)

    def _shell(self, image: Array, grid: Grid, brain: Ellipse) -> None:
        kind = self.tissues
        skin = brain.grown(14)
        ears = 0.35 * (kind.grey + kind.fat)
        paint(image, inside(grid, skin), ears)
        paint(image, inside(grid, skin.grown(-2)), kind.fat)
        paint(image, inside(grid, brain.grown(8.5)), kind.bone)
        diploe = np.clip(1.7 - abs(distance_out(grid, brain) - 5.2), 0, 1)
        paint(image, diploe * (0.75 + 0.25 * self._fine.at(grid.x * 3, grid.y * 3, 0.0)), kind.marrow)
        paint(image, inside(grid, brain.grown(2.2)), kind.csf)

    def _cortex(self, image: Array, grid: Grid, brain: Ellipse, z: float) -> None:
        """Grey ribbon and sulci: wherever a cloud crosses zero near the surface, the surface folds in."""
        kind = self.tissues
        depth = -distance_out(grid, brain) + 3.0 * self._fine.at(grid.x, grid.y, z)
        paint(image, np.clip(depth / 1.2 + 0.5, 0, 1), kind.grey)
        fold = abs(self._folds.at(abs(grid.x) * 1.0, grid.y, z) + 0.45 * self._fine.at(grid.x, grid.y, z))
        reach = ramp(depth, 34, 15)
        ribbon = np.maximum(ramp(fold, 0.34, 0.22) * reach, ramp(depth, 6.0, 4.0))
        paint(image, np.clip(depth / 1.2 - 2.0, 0, 1) * (1 - ribbon), kind.white)
        sulcus = ramp(fold, 0.085, 0.035) * ramp(depth, 26, 11) * np.clip(depth + 1, 0, 1)
        paint(image, sulcus * 0.92, kind.csf)

    def _depths(self, image: Array, grid: Grid, z: float) -> None:
        """Deep white matter, insula, basal ganglia and thalami."""
        kind = self.tissues
        scale = skull_scale(z)
        core = float(ramp(z, 20, 34) * ramp(z, 112, 96))
        paint(image, inside(grid, Ellipse(0, 0, 36 * scale, 50 * scale), 8) * core, kind.white)
        level = float(ramp(z, 46, 58) * ramp(z, 98, 84))
        for side in (-1, 1):
            insula = Ellipse(side * 47, -6, 5, 22, (0.99, side * 0.12))
            paint(image, inside(grid, insula.grown(3), 2) * level, kind.grey)
            paint(image, inside(grid, Ellipse(side * 50, -6, 2.0, 20, (0.99, side * 0.12))) * level, kind.csf)
            deep = 0.75 * kind.grey + 0.25 * kind.white
            paint(image, inside(grid, Ellipse(side * 12.5, 12, 9, 15, (0.94, side * 0.34)), 2) * level, deep)
            paint(image, inside(grid, Ellipse(side * 27, -4, 7, 18, (0.97, side * -0.24)), 2) * level, deep)
            paint(image, inside(grid, Ellipse(side * 14, -26, 5.5, 10, (0.96, side * -0.28)), 2) * level, kind.grey)

    def _fluid(self, image: Array, grid: Grid, brain: Ellipse, z: float) -> None:
        """The fissure between the halves, and the ventricles."""
        kind = self.tissues
        cut = np.clip(1.5 - abs(grid.x + 1.2 * self._fine.at(0 * grid.x, grid.y, z)), 0, 1)
        open_ = np.maximum(1 - inside(grid, Ellipse(0, 2, 30, 34 * float(ramp(z, 24, 46))), 3), float(z < 26))
        paint(image, cut * open_ * inside(grid, brain.grown(1)), kind.csf)
        body = float(ramp(z, 32, 44) * ramp(z, 84, 66))
        for side in (-1, 1):
            front = Ellipse(side * 8, -24, 4.2 * body, 15 * body, (0.96, side * -0.27))
            middle = Ellipse(side * 9.5, 4, 5.2 * body, 20 * body, (0.98, side * 0.17))
            back = Ellipse(side * 21, 34, 6.0 * body, 15 * body, (0.9, side * 0.42))
            for horn in (front, back) if z > 54 else (front, middle, back):
                paint(image, inside(grid, horn), kind.csf)
            if kind.noise < 5 and z > 50:  # calcified choroid plexus, as a CT shows it
                paint(image, inside(grid, Ellipse(side * 20, 32, 3, 5)) * body, 120)
        paint(image, inside(grid, Ellipse(0, 8, 1.8, 11)) * float(ramp(z, 58, 66) * ramp(z, 92, 82)), kind.csf)
        paint(image, inside(grid, Ellipse(0, 34, 11, 7), 2) * float(ramp(z, 70, 80)), kind.csf)

    def _spots(self, image: Array, grid: Grid, z: float) -> None:
        for x, y, z0, radius in self.lesions:
            dx, dy, dz = grid.x - x, grid.y - y, z - z0
            distance = np.sqrt(dx * dx + dy * dy + dz * dz) + 0.16 * radius * self._fine.at(grid.x * 2, grid.y * 2, z)
            if radius > 10:
                paint(image, np.clip((radius * 1.5 - distance) / 4, 0, 1) * 0.8, self.tissues.csf + 10)  # oedema
            paint(image, np.clip((radius - distance) / 2 + 0.5, 0, 1), self.tissues.lesion)


def skull_scale(z: float) -> float:
    """How wide the brain is at *z*, 1 at its widest."""
    height = (72 - z) / 78
    return float(np.sqrt(max(1 - height * height, 0.02)))
