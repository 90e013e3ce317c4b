"""Large images in pieces, so that what is made on the way to 8 bits stays small. Knows arrays, not what they mean."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_PIXELS = 1 << 18  # a few megabytes of float64, which fit a processor's cache


def in_blocks(
    convert: Callable[[NDArray[Any]], NDArray[np.uint8]], samples: NDArray[Any], *channels: int
) -> NDArray[np.uint8]:
    """*convert* applied to some rows of *samples* at a time; what it returns has *channels* behind rows and columns."""
    rows, columns = samples.shape[:2]
    out = np.empty((rows, columns, *channels), np.uint8)
    step = max(1, BLOCK_PIXELS // columns)
    for start in range(0, rows, step):
        out[start : start + step] = convert(samples[start : start + step])
    return out
