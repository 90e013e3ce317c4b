"""Pictures as image files (PS3.18 8.7.4): JPEG, PNG, GIF, JPEG 2000, HTJ2K, JPEG XL. Knows no DICOM.

Reading: image/jp2 and image/jph are made without loss; quality is for image/jpeg and image/jxl, where 100 means without
loss; ICC profiles are for image/jpeg and image/png.
"""

from collections.abc import Iterable
from io import BytesIO

import imagecodecs
import numpy as np
from PIL import GifImagePlugin, Image, ImageChops

from relais.pixels import jph
from relais.pixels.request import RenderRequest

PNG_LEVEL = 1  # 8 ms for 512 x 512; level 6 takes four times as long
JXL_EFFORT = 3  # of 1 to 10
MIN_FRAME_MS = 20  # browsers show frames of less than that at their own pace
MAX_FRAME_MS = 600_000


def encoded(picture: Image.Image, request: RenderRequest, profile: bytes | None = None) -> bytes:
    """One picture; *profile* is the ICC profile that describes its colours."""
    if made := _MADE_HERE.get(request.media_type):
        return made(picture, request.quality)
    out = BytesIO()
    match request.media_type:
        case "image/png":
            picture.save(out, "PNG", compress_level=PNG_LEVEL, icc_profile=profile)
        case "image/gif":
            picture.save(out, "GIF")
        case "image/jp2":
            picture.save(out, "JPEG2000", irreversible=False)
        case _:
            picture.save(out, "JPEG", quality=request.quality, **({"icc_profile": profile} if profile else {}))
    return out.getvalue()


def _jph(picture: Image.Image, _: int) -> bytes:
    samples = np.asarray(picture)
    codestream = bytes(imagecodecs.htj2k_encode(samples, reversible=True, rgb=picture.mode == "RGB"))
    return jph.wrapped(codestream, picture.width, picture.height, len(picture.getbands()))


def _jxl(picture: Image.Image, quality: int) -> bytes:
    """Butteraugli distances as libjxl's own tools choose them for a quality of JPEG."""
    samples = np.asarray(picture)
    if quality == 100:
        return bytes(imagecodecs.jpegxl_encode(samples, lossless=True, numthreads=1))
    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    return bytes(imagecodecs.jpegxl_encode(samples, distance=distance, effort=JXL_EFFORT, numthreads=1))


_MADE_HERE = {"image/jph": _jph, "image/jxl": _jxl}


def animated(frames: Iterable[tuple[Image.Image, float]]) -> bytes:
    """Pictures of one size as an endless GIF, each with how many milliseconds it is shown.

    Each is a frame of its own, also one like that before it, which Pillow would leave out. A frame holds the rectangle
    in which it differs from the one before, at least a pixel. It is encoded before the next is asked for.
    """
    pieces: list[bytes] = []
    before, count = None, 0
    for picture, time_ms in frames:
        pieces += _first(picture, time_ms) if before is None else _changed(before, picture, time_ms)
        before, count = picture, count + 1
    if before is not None and count == 1:
        return encoded(before, RenderRequest("image/gif"))
    return b"".join((*pieces, b";"))


def _first(picture: Image.Image, time_ms: float) -> list[bytes]:
    indexed = _indexed(picture)
    header, _ = GifImagePlugin.getheader(indexed, info={"loop": 0})
    return header + GifImagePlugin.getdata(indexed, duration=_duration_ms(time_ms))


def _changed(before: Image.Image, picture: Image.Image, time_ms: float) -> list[bytes]:
    box = ImageChops.difference(before, picture).getbbox() or (0, 0, 1, 1)
    changed = _indexed(picture.crop(box))
    return GifImagePlugin.getdata(changed, box[:2], duration=_duration_ms(time_ms), include_color_table=True)


def _indexed(picture: Image.Image) -> Image.Image:
    """In at most 256 colours of its own; grey stays as it is."""
    return picture.convert("P") if picture.mode == "L" else picture.convert("P", palette=Image.Palette.ADAPTIVE)


def _duration_ms(time_ms: float) -> int:
    return min(max(MIN_FRAME_MS, round(time_ms)), MAX_FRAME_MS)
