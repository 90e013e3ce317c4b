"""ICC profiles of rendered colour (PS3.18 8.3.5.1.5): the well-known colour spaces, and turning one into another.

Knows colour, not where images come from. A profile that is stored with an image describes its colours; without one, or
with one that cannot be used, they are taken for sRGB.

Reading: a grey image that is asked for with a profile becomes an RGB image of equal values.
"""

import struct
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageCms
from pydicom import Dataset

_Point = tuple[float, float, float]
_WHITE: _Point = (0.9642, 1.0, 0.8249)  # D50, the white of every profile (ICC.1:2001-04 5.3.5)
_HEADER = struct.Struct(">I4sI4s4s4s6H4s4sI4s4sQI3i4s44x")
_TAG = struct.Struct(">4sII")
_SRGB_STEPS = 1024


class _Space(NamedTuple):
    """Colorants adapted to D50; *gamma* 0 stands for the curve of sRGB (IEC 61966-2-1)."""

    name: str
    red: _Point
    green: _Point
    blue: _Point
    gamma: float


_SPACES = {
    "adobergb": _Space(
        "Adobe RGB (1998)",
        (0.60974, 0.31111, 0.01947),
        (0.20528, 0.62567, 0.06087),
        (0.14919, 0.06322, 0.74457),
        563 / 256,
    ),
    "rommrgb": _Space("ROMM RGB", (0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491), 1.8),
    "displayp3": _Space(
        "Display P3",
        (0.51512, 0.24120, -0.00105),
        (0.29198, 0.69225, 0.04189),
        (0.15710, 0.06657, 0.78407),
        0.0,
    ),
}


def profiled(picture: Image.Image, attributes: Dataset, wanted: str) -> tuple[Image.Image, bytes | None]:
    """*picture* in the colour space *wanted*, one of pixels.request.ICC_PROFILES, and the profile to label it with."""
    if wanted == "no":
        return picture, None
    if picture.mode != "RGB":
        picture, own = picture.convert("RGB"), None
    else:
        own = _stored(attributes)
    if wanted == "yes":
        return picture, own or named("srgb")
    target = named(wanted)
    source = own or named("srgb")
    if source == target:
        return picture, target
    turned = ImageCms.profileToProfile(picture, _opened(source), _opened(target), outputMode="RGB")
    return turned or picture, target


@lru_cache
def named(name: str) -> bytes:
    """The profile of a well-known colour space."""
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _made(_SPACES[name])


def _stored(attributes: Dataset) -> bytes | None:
    """The profile of the image, else of its first optical path (PS3.3 C.11.15, C.8.12.5), if it is of RGB."""
    paths = attributes.get("OpticalPathSequence") or [Dataset()]
    data = attributes.get("ICCProfile") or paths[0].get("ICCProfile")
    if not isinstance(data, bytes):
        return None
    try:
        space = _opened(data).profile.xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError, TypeError):
        return None
    return data if space == "RGB" else None


def _opened(data: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(BytesIO(data))


def _made(space: _Space) -> bytes:
    """A matrix profile for displays (ICC.1:2001-04 6.3.1.2)."""
    curve = _curve(space.gamma)
    contents = {
        b"desc": _description(space.name),
        b"cprt": b"text\0\0\0\0Public domain\0",
        b"wtpt": _xyz(_WHITE),
        b"rXYZ": _xyz(space.red),
        b"gXYZ": _xyz(space.green),
        b"bXYZ": _xyz(space.blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    body, table = b"", b""
    start = _HEADER.size + 4 + len(contents) * _TAG.size
    for tag, content in contents.items():
        table += _TAG.pack(tag, start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    white = [round(value * 65536) for value in _WHITE]
    size, dates = start + len(body), (1998, 1, 1, 0, 0, 0)
    head = (b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ", *dates, b"acsp", b"\0\0\0\0", 0)
    header = _HEADER.pack(size, *head, b"\0\0\0\0", b"\0\0\0\0", 0, 0, *white, b"\0\0\0\0")
    return header + struct.pack(">I", len(contents)) + table + body


def _xyz(point: _Point) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in point))


def _curve(gamma: float) -> bytes:
    if gamma:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    values = [_srgb_to_linear(step / (_SRGB_STEPS - 1)) for step in range(_SRGB_STEPS)]
    steps = [round(value * 65535) for value in values]
    return b"curv\0\0\0\0" + struct.pack(f">I{_SRGB_STEPS}H", _SRGB_STEPS, *steps)


def _srgb_to_linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _description(name: str) -> bytes:
    """ICC.1:2001-04 6.5.17: ASCII, then no Unicode and no ScriptCode."""
    text = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
