"""Text in images: fonts, lines that fit, and letters that show on any background. Knows Pillow, not DICOM.

A font that has every letter of a line is looked for among those that Linux systems have, DejaVu and Noto CJK; Pillow's
own, which knows English letters, is always there. A letter that no font has loses its accent, or is a question mark.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

MIN_SIZE_PX = 9  # smaller letters cannot be read
MAX_LINE = 200  # characters; the rest of a longer line is not drawn

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FOLDER = Path("/usr/share/fonts")
_FILES = (
    "truetype/dejavu/DejaVuSans.ttf",
    "opentype/noto/NotoSansCJK-Regular.ttc",
    "truetype/noto/NotoSansCJK-Regular.ttc",
)
_NO_LETTER = "\U0010ffff"  # never a character: what a font draws for it stands for all that it does not have


def write(picture: Image.Image, lines: list[str], *, at_bottom: bool = False) -> None:
    """*lines* at the left edge of *picture*, from the top down or to the bottom, no wider than it is."""
    size_px = max(MIN_SIZE_PX, round(min(picture.size) / 32))
    margin = size_px // 2
    step = round(size_px * 1.3)
    top = picture.height - margin - step * len(lines) if at_bottom else margin
    for number, line in enumerate(lines):
        text, font = fitted(line, size_px, picture.width - 2 * margin)
        put(picture, (margin, top + number * step), text, font)


def put(picture: Image.Image, at: tuple[float, float], text: str, font: Font, fill: int | None = None) -> None:
    """*text* with its top left corner *at*, with a black rim; *fill* is a grey level, white if None."""
    level = 255 if fill is None else fill
    rim = 0 if level > 96 else 255
    colours = (level, rim) if picture.mode == "L" else ((level,) * 3, (rim,) * 3)
    draw = ImageDraw.Draw(picture)
    width = max(1, round(getattr(font, "size", 10) / 14))
    draw.text(at, text, font=font, fill=colours[0], stroke_width=width, stroke_fill=colours[1])


def fitted(line: str, size_px: int, width_px: float) -> tuple[str, Font]:
    """*line* in letters as large as fit, down to MIN_SIZE_PX; what is then too long ends in an ellipsis."""
    line = "".join(letter for letter in line[:MAX_LINE] if letter.isprintable())
    font_name, line = _chosen(line)
    while size_px > MIN_SIZE_PX and _font(font_name, size_px).getlength(line) > width_px:
        size_px -= 1
    font = _font(font_name, size_px)
    if font.getlength(line) <= width_px:
        return line, font
    while line and font.getlength(line + "…") > width_px:
        line = line[:-1]
    return line + "…", font


def _chosen(line: str) -> tuple[str, str]:
    """The first font that has all letters of *line*, or else the one that has most, with marks for those it lacks."""
    missing = {name: _missing(name, frozenset(line)) for name in _names()}
    best = min(missing, key=lambda name: len(missing[name]))
    return best, "".join(_stand_in(letter, best) if letter in missing[best] else letter for letter in line)


def _stand_in(letter: str, font_name: str) -> str:
    """The same letter without accents, if the font has that one."""
    bare = unicodedata.normalize("NFKD", letter)[:1]
    return "?" if _missing(font_name, frozenset(bare)) else bare


@lru_cache(maxsize=256)
def _missing(font_name: str, letters: frozenset[str]) -> frozenset[str]:
    font = _font(font_name, 12)
    nothing = bytes(font.getmask(_NO_LETTER))
    return frozenset(letter for letter in letters if not letter.isspace() and bytes(font.getmask(letter)) == nothing)


@lru_cache
def _names() -> tuple[str, ...]:
    return (*(str(_FOLDER / name) for name in _FILES if (_FOLDER / name).is_file()), "")


@lru_cache(maxsize=64)
def _font(name: str, size_px: int) -> Font:
    """The font of that file; Pillow's own if *name* is empty."""
    return ImageFont.truetype(name, size_px) if name else ImageFont.load_default(size_px)
