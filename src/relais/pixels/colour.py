"""Colour spaces to 8-bit RGB (PS3.3 C.7.6.3.1.2). Knows formulas, not Data Sets or image formats."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relais.errors import NotAcceptable
from relais.pixels.blocks import in_blocks

# Y, Cb, Cr (0..255, chroma around 128) -> R, G, B: the inverse of the matrices of PS3.3 C.7.6.3.1.2.
_FULL = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])
_PARTIAL = np.array([[1.1644, 0.0, 1.5960], [1.1644, -0.3917, -0.8129], [1.1644, 2.0173, 0.0]])


def to_rgb(samples: NDArray[Any], photometric_interpretation: str, bits_stored: int) -> NDArray[np.uint8]:
    """(rows, columns, 3) of 8-bit RGB. Raises NotAcceptable for a colour space that is not shown here."""
    levels = in_blocks(lambda values: _to_8_bits(values, bits_stored), samples, 3)
    if photometric_interpretation in {"RGB", "YBR_RCT", "YBR_ICT"}:
        return levels
    if photometric_interpretation == "YBR_FULL":
        return in_blocks(lambda values: _from_ybr(values, _FULL, 0), levels, 3)
    if photometric_interpretation.startswith("YBR_PARTIAL"):
        return in_blocks(lambda values: _from_ybr(values, _PARTIAL, 16), levels, 3)
    raise NotAcceptable(f"Images with Photometric Interpretation {photometric_interpretation[:16]} are not shown here.")


def _to_8_bits(samples: NDArray[Any], bits_stored: int) -> NDArray[np.uint8]:
    if bits_stored == 8 and samples.dtype.itemsize == 1:
        return samples.view(np.uint8)
    highest = (1 << bits_stored) - 1
    levels: NDArray[np.uint8] = (np.clip(samples, 0, highest) * (255.0 / highest) + 0.5).astype(np.uint8)
    return levels


def _from_ybr(levels: NDArray[np.uint8], matrix: NDArray[np.float64], black: int) -> NDArray[np.uint8]:
    centred = levels.astype(np.float32) - np.array([black, 128, 128], np.float32)
    rgb: NDArray[np.uint8] = np.clip(centred @ matrix.T.astype(np.float32) + 0.5, 0, 255).astype(np.uint8)
    return rgb
