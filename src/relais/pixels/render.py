"""One decoded frame as a JPEG or PNG file (PS3.18 8.7.4). Knows pixels and Pillow, not where frames come from.

Not applied: overlays, presentation states, ICC profiles, supplemental palettes (PS3.3 C.7.6.19).
Pixels that are not square are made so when the image is scaled anyway (viewport, thumbnail); as many pixels as the
image has are given out one for one.
"""

from io import BytesIO

from PIL import Image
from pydicom import Dataset

from relais.errors import InvalidRequest
from relais.pixels.attributes import pixel_aspect_of
from relais.pixels.colour import to_rgb
from relais.pixels.decode import Decoded, stored_values
from relais.pixels.grey import to_grey
from relais.pixels.image import ImageHeader
from relais.pixels.palette import palette_to_rgb
from relais.pixels.request import RenderRequest, Viewport

_SQUARE = 0.01  # spacings that differ by less are rounding


def render(decoded: Decoded, image: ImageHeader, request: RenderRequest, frame_number: int) -> bytes:
    """The image file. Raises InvalidRequest for a region outside the image, InvalidDataSet, NotAcceptable."""
    picture = _picture(decoded, image, request, frame_number)
    if request.viewport is not None or request.max_size is not None:
        picture = _scaled(picture, request, _aspect(image.attributes, frame_number))
    return _encoded(picture, request)


def _picture(decoded: Decoded, image: ImageHeader, request: RenderRequest, frame_number: int) -> Image.Image:
    """8-bit grey or RGB.

    Reading: a requested window has no effect on a colour image, as stored ones have none (PS3.3 C.11.2.1.2.1).
    """
    pixel = image.pixel
    stored = stored_values(decoded.samples, pixel)
    if pixel.samples_per_pixel == 3:
        return Image.fromarray(to_rgb(stored, decoded.photometric_interpretation, pixel.bits_stored))
    if pixel.photometric_interpretation == "PALETTE COLOR":
        return Image.fromarray(palette_to_rgb(stored, image.attributes, is_signed=pixel.is_signed))
    return Image.fromarray(to_grey(stored, pixel, image.attributes, request.window, frame_number))


def _aspect(attributes: Dataset, frame_number: int) -> float:
    aspect = pixel_aspect_of(attributes, frame_number)
    return 1.0 if abs(aspect - 1.0) < _SQUARE else aspect


def _scaled(picture: Image.Image, request: RenderRequest, aspect: float) -> Image.Image:
    """The region as large as fits the viewport, its proportions kept; then no side longer than max_size.

    Reading: the rest of the viewport is not filled up, and the image may become larger than it is (PS3.18 8.3.5.1.3).
    """
    viewport = request.viewport or Viewport(picture.width, picture.height)
    box = _region(picture, viewport)
    width, height = box[2] - box[0], (box[3] - box[1]) * aspect
    factor = min(viewport.width / width, viewport.height / height) if request.viewport else 1.0
    if request.max_size is not None:
        factor = min(factor, request.max_size / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scaled = picture.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    if viewport.sw is not None and viewport.sw < 0:
        scaled = scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if viewport.sh is not None and viewport.sh < 0:
        scaled = scaled.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return scaled


def _region(picture: Image.Image, viewport: Viewport) -> tuple[float, float, float, float]:
    """Left, top, right and bottom. Raises InvalidRequest beyond the image."""
    right = viewport.sx + abs(viewport.sw) if viewport.sw is not None else float(picture.width)
    bottom = viewport.sy + abs(viewport.sh) if viewport.sh is not None else float(picture.height)
    if right > picture.width or bottom > picture.height or right <= viewport.sx or bottom <= viewport.sy:
        raise InvalidRequest(f"The region is not inside the image of {picture.width} x {picture.height} pixels.")
    return viewport.sx, viewport.sy, right, bottom


def _encoded(picture: Image.Image, request: RenderRequest) -> bytes:
    out = BytesIO()
    if request.media_type == "image/png":
        picture.save(out, "PNG", compress_level=1)  # 8 ms for 512 x 512; level 6 takes four times as long
    else:
        picture.save(out, "JPEG", quality=request.quality)
    return out.getvalue()
