"""Graphic annotations of a presentation state (PS3.3 C.10.5), drawn onto the picture. Knows shapes, no pixel values.

Graphics are drawn in the grey that their layer recommends, white by default, with a rim that shows on any background.

Reading: an INTERPOLATED curve goes through its points; they are joined by a Catmull-Rom spline.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from PIL import Image, ImageDraw
from pydicom import Dataset

from relais.pixels import lettering
from relais.pixels.attributes import number, numbers

Point = tuple[float, float]
Place = Callable[[float, float], Point]

STEPS = 12  # pieces of a curve between two of its points
ROUND = 72  # sides of a circle

_WHITE = 0xFFFF  # P-Values have 16 bits in attributes of display (PS3.3 C.10.7.1.1)


def draw(picture: Image.Image, annotations: tuple[Dataset, ...], layers: Dataset, place: Place) -> None:
    """All graphics and texts of *annotations*, layer by layer.

    *layers* has the Graphic Layer Sequence; *place* turns a position in the image into one in the picture.
    """
    order = {str(item.get("GraphicLayer")): number(item, "GraphicLayerOrder") or 0 for item in _layers(layers)}
    greys = {str(item.get("GraphicLayer")): _grey(item) for item in _layers(layers)}
    for item in sorted(annotations, key=lambda item: order.get(str(item.get("GraphicLayer")), 0)):
        grey = greys.get(str(item.get("GraphicLayer")), 255)
        for graphic in item.get("GraphicObjectSequence") or ():
            _graphic(picture, graphic, place, grey)
        for text in item.get("TextObjectSequence") or ():
            _text(picture, text, place, grey)


def _layers(ds: Dataset) -> list[Dataset]:
    return list(ds.get("GraphicLayerSequence") or ())


def _grey(layer: Dataset) -> int:
    value = number(layer, "GraphicLayerRecommendedDisplayGrayscaleValue")
    return 255 if value is None else round(min(max(value, 0), _WHITE) / _WHITE * 255)


def _graphic(picture: Image.Image, graphic: Dataset, place: Place, grey: int) -> None:
    points = _points(graphic.get("GraphicData"), str(graphic.get("GraphicAnnotationUnits")), picture, place)
    if not points:
        return
    kind = str(graphic.get("GraphicType")).strip()
    if kind == "POINT":
        (x, y), size = points[0], _thickness(picture) * 3
        _strokes(picture, [(x - size, y), (x + size, y)], grey)
        _strokes(picture, [(x, y - size), (x, y + size)], grey)
        return
    outline = _outline(kind, points)
    if str(graphic.get("GraphicFilled") or "").strip() == "Y" and len(outline) > 2:
        ImageDraw.Draw(picture).polygon(outline, fill=_colour(picture, grey))
    _strokes(picture, outline, grey)


def _outline(kind: str, points: list[Point]) -> list[Point]:
    """The points to join. An unknown kind is drawn as a polyline."""
    if kind == "CIRCLE" and len(points) == 2:  # its centre, and a point on it
        radius = math.dist(*points)
        return _ellipse(points[0], (radius, 0.0), (0.0, radius))
    if kind == "ELLIPSE" and len(points) == 4:  # the ends of the major axis, those of the minor one
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
        centre = (ax + bx) / 2, (ay + by) / 2
        return _ellipse(centre, ((bx - ax) / 2, (by - ay) / 2), ((dx - cx) / 2, (dy - cy) / 2))
    if kind == "INTERPOLATED" and len(points) > 2:
        return _curve(points)
    return points


def _ellipse(centre: Point, first: Point, second: Point) -> list[Point]:
    angles = [2 * math.pi * step / ROUND for step in range(ROUND + 1)]
    return [
        (
            centre[0] + first[0] * math.cos(angle) + second[0] * math.sin(angle),
            centre[1] + first[1] * math.cos(angle) + second[1] * math.sin(angle),
        )
        for angle in angles
    ]


def _curve(points: list[Point]) -> list[Point]:
    is_closed = points[0] == points[-1]
    before, after = (points[-2], points[1]) if is_closed else (points[0], points[-1])
    around = [before, *points, after]
    out: list[Point] = []
    for index in range(len(points) - 1):
        a, b, c, d = around[index : index + 4]
        out += [(_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)) for t in _FRACTIONS]
    return [*out, points[-1]]


_FRACTIONS = [step / STEPS for step in range(STEPS)]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + t * ((c - a) + t * ((2 * a - 5 * b + 4 * c - d) + t * (3 * (b - c) + d - a))) / 2


def _strokes(picture: Image.Image, points: list[Point], grey: int) -> None:
    """A line with a rim of the opposite grey."""
    draw, width = ImageDraw.Draw(picture), _thickness(picture)
    for level, more in ((0 if grey > 96 else 255, 2), (grey, 0)):
        for pair in pairwise(points):
            draw.line(pair, fill=_colour(picture, level), width=width + more)


def _thickness(picture: Image.Image) -> int:
    return max(1, round(max(picture.size) / 512))


def _text(picture: Image.Image, text: Dataset, place: Place, grey: int) -> None:
    lines = str(text.get("UnformattedTextValue") or "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    anchors = _points(text.get("AnchorPoint"), str(text.get("AnchorPointAnnotationUnits")), picture, place)
    units = str(text.get("BoundingBoxAnnotationUnits"))
    corners = [
        point
        for corner in ("TopLeft", "BottomRight")
        for point in _points(text.get(f"BoundingBox{corner}HandCorner"), units, picture, place)
    ]
    size_px = max(lettering.MIN_SIZE_PX, round(max(picture.size) / 40))
    at = _corner(corners) if len(corners) == 2 else (anchors or [(0.0, 0.0)])[0]
    if len(corners) == 2 and anchors and str(text.get("AnchorPointVisibility") or "").strip() == "Y":
        _strokes(picture, [anchors[0], _nearest(anchors[0], corners)], grey)
    for line_number, line in enumerate(lines[:100]):
        shown, font = lettering.fitted(line, size_px, max(picture.width - at[0], size_px))
        lettering.put(picture, (at[0], at[1] + line_number * size_px * 1.25), shown, font, grey)


def _corner(corners: list[Point]) -> Point:
    return min(x for x, _ in corners), min(y for _, y in corners)


def _nearest(point: Point, corners: list[Point]) -> Point:
    (left, right), (top, bottom) = (sorted(values) for values in zip(*corners, strict=True))
    return min(max(point[0], left), right), min(max(point[1], top), bottom)


def _points(data: object, units: str, picture: Image.Image, place: Place) -> list[Point]:
    """Positions in the picture: DISPLAY counts from 0 to 1 over it, anything else in the image (PS3.3 C.10.5.1.1)."""
    values = numbers(data)
    pairs = list(zip(values[::2], values[1::2], strict=False))
    if units.strip() == "DISPLAY":
        return [_bounded(x * picture.width, y * picture.height) for x, y in pairs]
    return [_bounded(*place(x, y)) for x, y in pairs]


def _bounded(x: float, y: float) -> Point:
    """Positions far outside are brought near: what draws counts in 32 bits."""
    return min(max(x, -1e5), 1e5), min(max(y, -1e5), 1e5)


def _colour(picture: Image.Image, level: int) -> int | tuple[int, int, int]:
    return level if picture.mode == "L" else (level, level, level)
