"""Structured reports as text/rtf (PS3.18 8.7.4), for word processors. Knows the tree and markup, no Data Sets or URLs.

What is written is ASCII: every other character is escaped by its number, so that no character set has to be agreed on.
Nothing is loaded or run; links lead to what the caller names, and only to that.
"""

import struct
from collections.abc import Iterator

from relais.dicom.report import ContentItem, Report
from relais.dicomweb.report_text import CUT, Link, label, stand_in

_HEAD = r"{\rtf1\ansi\deff0{\fonttbl{\f0\fswiss Helvetica;}}\f0\fs22"
_TITLE_SIZE = 32  # half points
_HEADING_SIZES = (28, 26, 24)  # of the outermost headings; deeper ones have the last
_INDENT = 360  # twentieths of a point
_DEEPEST_INDENT = 20  # levels; a page has an edge
_LINE_ENDS = {"\r\n": "\n", "\r": "\n"}


def rtf(report: Report, link: Link) -> bytes:
    """A whole document."""
    lines = [
        _paragraph(rf"{{\b\fs{_TITLE_SIZE} {_escaped(report.title)}}}"),
        *(_paragraph(rf"{{\b {_escaped(name)}:}} {_escaped(value)}") for name, value in report.facts),
        *_items(report.content, 0, 0, link),
        *([_paragraph(rf"{{\b {CUT}}}")] if report.is_cut else []),
    ]
    return "\n".join((_HEAD, *lines, "}")).encode("ascii")


def _items(item: ContentItem, heading: int, depth: int, link: Link) -> Iterator[str]:
    """The children of *item*, at *depth* and below *heading* headings."""
    for child in item.children:
        if child.value_type == "CONTAINER" and child.concept:
            size = _HEADING_SIZES[min(heading, len(_HEADING_SIZES) - 1)]
            yield _paragraph(rf"{{\b\fs{size} {_escaped(child.concept)}}}", depth, before=120)
            yield from _items(child, heading + 1, depth, link)
        else:
            yield _paragraph(_line(child, link), depth)
            yield from _items(child, heading, depth + 1, link)


def _line(item: ContentItem, link: Link) -> str:
    value = _escaped(item.text or stand_in(item))
    where = link(item.reference) if item.reference else ""
    if where:
        value = rf'{{\field{{\*\fldinst HYPERLINK "{_escaped(where)}"}}{{\fldrslt {value}}}}}'
    name = label(item)
    return rf"{{\b {_escaped(name)}:}} {value}" if name else value


def _paragraph(text: str, depth: int = 0, before: int = 40) -> str:
    return rf"\pard\sb{before}\li{_INDENT * min(depth, _DEEPEST_INDENT)} {text}\par"


def _escaped(text: str) -> str:
    """*text* without anything that means something in RTF; what is beyond ASCII by the numbers of its UTF-16."""
    for ending, line_feed in _LINE_ENDS.items():
        text = text.replace(ending, line_feed)
    return "".join(map(_character, text))


def _character(character: str) -> str:
    if character in "\\{}":
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    if character < " " or character == "\x7f":
        return {"\n": r"\line ", "\t": r"\tab "}.get(character, "")
    units = character.encode("utf-16-le", "surrogatepass")
    return "".join(rf"\u{unit}?" for (unit,) in struct.iter_unpack("<h", units))
