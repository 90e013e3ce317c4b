"""A chest radiograph: the chest of thorax.py, seen through from the front."""

import numpy as np

from generator.shapes import Array, Grid, grain
from generator.thorax import Thorax


def chest(patient: Thorax, size: int, noise_seed: int) -> Array:
    """Brightness between 0 (air) and 1 (nothing comes through), *size* x *size* pixels over 350 mm."""
    x = ((np.arange(size) - (size - 1) / 2) * (350 / size)).reshape(1, size)
    y = (np.arange(66) * 4.0 - 124).reshape(66, 1)
    water = np.zeros((size, size))
    for row in range(0, size, 2):  # every other row; those between are the mean of their neighbours
        water[row] = _through(patient.plane(Grid(x, y), row * (280 / size) - 8.0), y)
    water[1:-1:2] = (water[0:-2:2] + water[2::2]) / 2
    water[-1] = water[-2]
    lit = np.maximum(water + grain(noise_seed, water.shape, 1.1), 0)
    return lit / (lit + 220) * 1.88


def _through(hu: Array, y: Array) -> Array:
    """How many mm of water each ray crosses, dense parts counted more. Integers add up alike in any order."""
    hu[np.broadcast_to(y > 118, hu.shape)] = -1000  # no table here
    weight = (np.rint(hu) + 1000 + np.where(hu > 180, (hu - 180) * 0.7, 0)).astype(np.int64)
    return np.asarray(weight.sum(axis=0) * 0.004)
