"""From a picture to what is seen of it: region, scale, flip (PS3.18 8.3.5.1.3). Knows Pillow, not DICOM."""

from PIL import Image

from relais.errors import InvalidRequest
from relais.pixels.request import RenderRequest, Viewport


def scaled(picture: Image.Image, request: RenderRequest, aspect: float) -> Image.Image:
    """The region as large as fits the viewport, its proportions kept; then no side longer than max_size.

    *aspect* is how many times a pixel is higher than wide. Raises InvalidRequest for a region outside the picture.

    Reading: the rest of the viewport is not filled up, and the image may become larger than it is (PS3.18 8.3.5.1.3).
    """
    viewport = request.viewport or Viewport(picture.width, picture.height)
    box = _region(picture, viewport)
    width, height = box[2] - box[0], (box[3] - box[1]) * aspect
    factor = factor_for(request, width, height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    seen = picture.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    if viewport.sw is not None and viewport.sw < 0:
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if viewport.sh is not None and viewport.sh < 0:
        seen = seen.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return seen


def factor_for(request: RenderRequest, width: float, height: float, natural: float = 1.0) -> float:
    """By how much *width* and *height* grow to fill the viewport; without one, by *natural*. max_size bounds it."""
    factor = natural
    if request.viewport:
        factor = min(request.viewport.width / width, request.viewport.height / height)
    if request.max_size is not None:
        factor = min(factor, request.max_size / max(width, height))
    return factor


def _region(picture: Image.Image, viewport: Viewport) -> tuple[float, float, float, float]:
    """Left, top, right and bottom. Raises InvalidRequest beyond the image."""
    right = viewport.sx + abs(viewport.sw) if viewport.sw is not None else float(picture.width)
    bottom = viewport.sy + abs(viewport.sh) if viewport.sh is not None else float(picture.height)
    if right > picture.width or bottom > picture.height or right <= viewport.sx or bottom <= viewport.sy:
        raise InvalidRequest(f"The region is not inside the image of {picture.width} x {picture.height} pixels.")
    return viewport.sx, viewport.sy, right, bottom
