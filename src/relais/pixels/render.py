"""One decoded frame as it is seen, and as an image file (PS3.18 8.3.5, 8.7.4). Knows pixels, not where they come from.

Overlays are shown where a presentation state activates them, and only there. Pixels that are not square are made so
when the image is scaled anyway (viewport, thumbnail); without that, as many pixels as the image has are given out one
for one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from PIL import Image
from pydicom import Dataset

from relais.errors import TooLarge
from relais.pixels import annotation, lettering
from relais.pixels.attributes import Rescale, frame_time_ms, is_partly_coloured, pixel_aspect_of
from relais.pixels.blending import Layer, blended
from relais.pixels.colour import to_rgb
from relais.pixels.decode import Decoded, stored_values
from relais.pixels.grey import Pipeline, through, to_grey
from relais.pixels.icc import profiled
from relais.pixels.image import ImageHeader
from relais.pixels.image_files import animated, encoded
from relais.pixels.masks import Values as Difference
from relais.pixels.palette import palette_to_rgb, supplemented
from relais.pixels.presentation import Presentation
from relais.pixels.presented import presented
from relais.pixels.request import RenderRequest
from relais.pixels.viewing import scaled

MAX_ANIMATION_PIXELS = 256 * 1024 * 1024  # of all its frames together

_SQUARE = 0.01  # spacings that differ by less are rounding


def render(
    decoded: Decoded,
    image: ImageHeader,
    request: RenderRequest,
    frame_number: int,
    presentation: Presentation | None = None,
    difference: Difference | None = None,
) -> bytes:
    """The image file. *difference* is what is left of the frame where a mask is subtracted from it.

    Raises InvalidRequest for a region outside the image, InvalidDataSet, NotAcceptable.
    """
    picture = seen(decoded, image, request, frame_number, presentation, difference)
    owner = presentation.attributes if presentation and "ICCProfile" in presentation.attributes else image.attributes
    return encoded(*_profiled(picture, owner, request))


def render_blended(under: Layer, over: Layer | None, request: RenderRequest, presentation: Presentation) -> bytes:
    """The image file of *over* laid over *under* by a blending presentation state. Raises as `render` does."""
    picture = blended(under, over, presentation.attributes)
    shown = presented(under.stored, picture, under.image, presentation, request, under.frame_number)
    _annotate(shown, under.image, request, under.frame_number)
    return encoded(*_profiled(shown, presentation.attributes, request))


def animate(
    frames: Iterable[tuple[int, Decoded, Difference | None]], count: int, image: ImageHeader, request: RenderRequest
) -> bytes:
    """*count* frames, each with its number, as an animated GIF, as fast as the instance says.

    Each is written before the next is asked for. Raises TooLarge for too many, as soon as the first is there.
    """

    def pictures() -> Iterator[tuple[Image.Image, float]]:
        for number, decoded, difference in frames:
            picture = seen(decoded, image, request, number, difference=difference)
            if picture.width * picture.height * count > MAX_ANIMATION_PIXELS:
                raise TooLarge("The animation has too many pixels: ask for fewer frames, or for a smaller viewport.")
            yield picture, frame_time_ms(image.attributes, number)

    return animated(pictures())


def seen(
    decoded: Decoded,
    image: ImageHeader,
    request: RenderRequest,
    frame_number: int,
    presentation: Presentation | None = None,
    difference: Difference | None = None,
) -> Image.Image:
    """The frame as 8-bit grey or RGB, scaled and annotated as requested."""
    if presentation is not None:
        picture = _presented(decoded, image, request, frame_number, presentation, difference)
    else:
        picture = _picture(decoded, image, request, frame_number, difference)
        if request.viewport is not None or request.max_size is not None:
            picture = scaled(picture, request, _aspect(image.attributes, frame_number))
    _annotate(picture, image, request, frame_number)
    return picture


def _annotate(picture: Image.Image, image: ImageHeader, request: RenderRequest, frame_number: int) -> None:
    if "patient" in request.annotation:
        lettering.write(picture, annotation.patient(image.attributes))
    if "technique" in request.annotation:
        lettering.write(picture, annotation.technique(image.attributes, frame_number), at_bottom=True)


def _profiled(
    picture: Image.Image, attributes: Dataset, request: RenderRequest
) -> tuple[Image.Image, RenderRequest, bytes | None]:
    picture, profile = profiled(picture, attributes, request.icc_profile)
    return picture, request, profile


def _presented(
    decoded: Decoded,
    image: ImageHeader,
    request: RenderRequest,
    frame_number: int,
    state: Presentation,
    difference: Difference | None,
) -> Image.Image:
    if difference is not None:
        # One bit more than the values have, and a sign: modality values already.
        pixel = replace(image.pixel, is_signed=True, bits_stored=image.pixel.bits_stored + 1)
        state, image = replace(state, modality=Rescale()), ImageHeader(pixel, image.attributes)
        return presented(difference, None, image, state, request, frame_number)
    colours = None if image.pixel.samples_per_pixel == 1 and not _is_palette(image) else _colours(decoded, image)
    return presented(stored_values(decoded.samples, image.pixel), colours, image, state, request, frame_number)


def _picture(
    decoded: Decoded, image: ImageHeader, request: RenderRequest, frame_number: int, difference: Difference | None
) -> Image.Image:
    """Reading: a requested window has no effect on a colour image, as stored ones have none (PS3.3 C.11.2.1.2.1)."""
    pixel, attributes = image.pixel, image.attributes
    if difference is not None:
        is_inverted = pixel.photometric_interpretation == "MONOCHROME1"
        pipeline = Pipeline(Rescale(), request.window, is_inverted)
        return Image.fromarray(through(difference, pixel, attributes, pipeline))
    if pixel.samples_per_pixel == 3 or _is_palette(image):
        return _colours(decoded, image)
    stored = stored_values(decoded.samples, pixel)
    grey = to_grey(stored, pixel, attributes, request.window, frame_number)
    if is_partly_coloured(attributes, frame_number):
        grey = supplemented(grey, stored, attributes, is_signed=pixel.is_signed)
    return Image.fromarray(grey)


def _colours(decoded: Decoded, image: ImageHeader) -> Image.Image:
    pixel = image.pixel
    stored = stored_values(decoded.samples, pixel)
    if pixel.samples_per_pixel == 3:
        return Image.fromarray(to_rgb(stored, decoded.photometric_interpretation, pixel.bits_stored))
    return Image.fromarray(palette_to_rgb(stored, image.attributes, is_signed=pixel.is_signed))


def _is_palette(image: ImageHeader) -> bool:
    return image.pixel.photometric_interpretation == "PALETTE COLOR"


def _aspect(attributes: Dataset, frame_number: int) -> float:
    aspect = pixel_aspect_of(attributes, frame_number)
    return 1.0 if abs(aspect - 1.0) < _SQUARE else aspect
