"""Pictures as image files (PS3.18 8.7.4): JPEG, PNG, GIF, JPEG 2000. Knows Pillow, not what the pictures show.

Reading: image/jp2 is made without loss; quality and ICC profiles are for image/jpeg, the latter for image/png, too.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from relais.pixels.request import RenderRequest

PNG_LEVEL = 1  # 8 ms for 512 x 512; level 6 takes four times as long
MIN_FRAME_MS = 20  # browsers show frames of less than that at their own pace
MAX_FRAME_MS = 600_000


def encoded(picture: Image.Image, request: RenderRequest, profile: bytes | None = None) -> bytes:
    """One picture; *profile* is the ICC profile that describes its colours."""
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


def animated(pictures: Sequence[Image.Image], frame_ms: Sequence[float]) -> bytes:
    """*pictures* of one size as an endless GIF; the nth is shown for the nth of *frame_ms*."""
    out = BytesIO()
    durations = [min(max(MIN_FRAME_MS, round(time_ms)), MAX_FRAME_MS) for time_ms in frame_ms]
    options: dict[str, Any] = {"duration": durations, "loop": 0} if len(pictures) > 1 else {}
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], **options)
    return out.getvalue()
