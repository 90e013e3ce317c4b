"""Query parameters of rendered resources (PS3.18 8.3.5) and of WADO-URI (PS3.18 9.1.2), as what should be rendered.

Knows text and values, not requests or pixels. An impossible value is an InvalidRequest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from relais.errors import InvalidRequest
from relais.pixels.request import ANNOTATIONS, ICC_PROFILES, MAX_SIDE_PX, RenderRequest, Viewport, Window

NAMES = ("annotation", "quality", "viewport", "window", "iccprofile")  # of table 8.3.5-1, those about images
QUALITY = 90  # of a JPEG where nothing else is asked for

_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


@dataclass(frozen=True, slots=True)
class Rendering:
    """What was asked for; None and "no" where nothing was."""

    quality: int | None = None
    window: Window | None = None
    viewport: Viewport | None = None
    annotation: tuple[str, ...] = ()
    icc_profile: str = "no"

    def request(self, media_type: str) -> RenderRequest:
        """What pixels is asked for. Raises NotAcceptable for a media type that is not made."""
        return RenderRequest(
            media_type,
            quality=QUALITY if self.quality is None else self.quality,
            window=self.window,
            viewport=self.viewport,
            annotation=self.annotation,
            icc_profile=self.icc_profile,
        )

    def for_state(self) -> "Rendering":
        """The same for a presentation state, which has its own window and region (PS3.18 8.3.5.1, 9.5.1.2.7).

        Raises InvalidRequest if one was asked for.
        """
        region = (self.viewport.sx, self.viewport.sy, self.viewport.sw, self.viewport.sh) if self.viewport else ()
        if self.window or any(region):
            raise InvalidRequest("A presentation state decides about window and region itself.")
        return self


def parse(parameters: Mapping[str, str]) -> Rendering:
    """The parameters of a rendered resource, none of which may be without a value (PS3.18 8.3.5.1).

    Reading: annotation of something other than the two keywords is no keyword, and so not merely unsupported.
    """
    if empty := [name for name in NAMES if parameters.get(name, "-").strip() == ""]:
        raise InvalidRequest(f"{empty[0]} must have a value.")
    return Rendering(
        quality=_quality(parameters, "quality"),
        window=_window(parameters.get("window", "")),
        viewport=_viewport(parameters.get("viewport", "")),
        annotation=_annotation(parameters.get("annotation", "")),
        icc_profile=_icc_profile(parameters.get("iccprofile", "")),
    )


def parse_thumbnail(parameters: Mapping[str, str]) -> Viewport | None:
    """The viewport of a thumbnail, which has no region (PS3.18 8.3.5.2)."""
    text = parameters.get("viewport", "")
    if text.count(",") > 1 or ("viewport" in parameters and not text.strip()):
        raise InvalidRequest("The viewport of a thumbnail must be width,height.")
    return _viewport(text)


def parse_uri(parameters: Mapping[str, str], rows: int, columns: int) -> Rendering:
    """The parameters of WADO-URI; *rows* and *columns* are those of the image, which `region` is a fraction of."""
    return Rendering(
        quality=_quality(parameters, "imageQuality"),
        window=_uri_window(parameters),
        viewport=_uri_viewport(parameters, rows, columns),
        annotation=_annotation(parameters.get("imageAnnotation") or parameters.get("annotation", "")),
    )


def parse_uri_state(parameters: Mapping[str, str]) -> Rendering:
    """The parameters of WADO-URI that go with a presentation state: neither window nor region (PS3.18 9.5.1.2)."""
    if any(parameters.get(name) for name in ("windowCenter", "windowWidth", "region")):
        raise InvalidRequest("A presentation state decides about window and region itself.")
    sides = [_whole(parameters[name], name) if parameters.get(name) else None for name in ("columns", "rows")]
    viewport = Viewport(*(MAX_SIDE_PX if side is None else side for side in sides)) if any(sides) else None
    return replace(parse_uri(parameters, 1, 1), viewport=viewport)


def _quality(parameters: Mapping[str, str], name: str) -> int | None:
    if not parameters.get(name):
        return None
    value = _whole(parameters[name], name)
    if not 1 <= value <= 100:
        raise InvalidRequest(f"{name} must be a whole number from 1 to 100.")
    return value


def _window(text: str) -> Window | None:
    if not text:
        return None
    pieces = text.split(",")
    function = pieces[2].strip().lower() if len(pieces) == 3 else ""
    if function not in _FUNCTIONS:
        raise InvalidRequest(f"window must be center,width,function; functions are {', '.join(_FUNCTIONS)}.")
    return Window(_number(pieces[0], "window"), _number(pieces[1], "window"), _FUNCTIONS[function])


def _viewport(text: str) -> Viewport | None:
    """Values at the end may be left out, and of the corner only the absolute values count (PS3.18 8.3.5.1.3)."""
    if not text:
        return None
    pieces = [piece.strip() for piece in text.split(",")]
    if not 2 <= len(pieces) <= 6:
        raise InvalidRequest("viewport must be width,height or width,height,sx,sy,sw,sh.")
    width, height = (_whole(piece, "viewport") for piece in pieces[:2])
    region = [_number(piece, "viewport") if piece else None for piece in pieces[2:]]
    sx, sy, sw, sh = region + [None] * (4 - len(region))
    return Viewport(width, height, abs(sx or 0.0), abs(sy or 0.0), sw, sh)


def _uri_window(parameters: Mapping[str, str]) -> Window | None:
    center, width = parameters.get("windowCenter", ""), parameters.get("windowWidth", "")
    if bool(center) != bool(width):
        raise InvalidRequest("windowCenter and windowWidth go together.")
    return Window(_number(center, "windowCenter"), _number(width, "windowWidth")) if center else None


def _uri_viewport(parameters: Mapping[str, str], rows: int, columns: int) -> Viewport | None:
    """`rows` and `columns` bound the image, whose aspect ratio is kept (PS3.18 9.1.2.2.4)."""
    left, top, right, bottom = _region(parameters.get("region", ""))
    height, width = parameters.get("rows", ""), parameters.get("columns", "")
    if not (height or width or (left, top, right, bottom) != (0, 0, 1, 1)):
        return None
    source_width, source_height = (right - left) * columns, (bottom - top) * rows
    shape = source_width / max(source_height, 1e-9)
    high = _whole(height, "rows") if height else None
    wide = _whole(width, "columns") if width else round((high or source_height) * shape)
    return Viewport(
        max(wide, 1),
        max(round(wide / max(shape, 1e-9)), 1) if high is None else high,
        left * columns,
        top * rows,
        source_width,
        source_height,
    )


def _region(text: str) -> tuple[float, float, float, float]:
    if not text:
        return 0.0, 0.0, 1.0, 1.0
    pieces = text.split(",")
    values = [_number(piece, "region") for piece in pieces] if len(pieces) == 4 else []
    if not values or not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
        raise InvalidRequest("region must be left,top,right,bottom, each from 0 to 1.")
    return values[0], values[1], values[2], values[3]


def _annotation(text: str) -> tuple[str, ...]:
    names = {name.strip().lower() for name in text.split(",") if name.strip()}
    if not names <= set(ANNOTATIONS):
        raise InvalidRequest("annotation must be patient, technique or both.")
    return tuple(sorted(names))


def _icc_profile(text: str) -> str:
    name = text.strip().lower() or "no"
    if name not in ICC_PROFILES:
        raise InvalidRequest(f"iccprofile must be one of {', '.join(ICC_PROFILES)}.")
    return name


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e12:  # NaN and infinity too
        raise InvalidRequest(f"{name} must consist of plain numbers.")
    return value


def _whole(text: str, name: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise InvalidRequest(f"{name} must be a whole number.")
    return int(text)
