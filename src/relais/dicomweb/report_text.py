"""Structured reports as text/html and text/plain (PS3.18 8.7.4). Knows the tree and markup, no Data Sets or URLs.

Everything that comes from a report is escaped. The page loads nothing and runs nothing; links lead to what the caller
names, and only to that.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape

from relais.dicom.report import ContentItem, Reference, Report

Link = Callable[[Reference], str]  # where a reference can be seen, "" if that is not known

CUT = "The report is longer than what is shown here."

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2,h3,h4,h5,h6{font-size:1.1em;margin:1.2em 0 .3em}"
    "table{border-collapse:collapse;margin-bottom:1em}th{text-align:left;font-weight:600;padding-right:1.5em}"
    "td,th{vertical-align:top}p{margin:.2em 0;white-space:pre-wrap}div{margin-left:1.5em}b{font-weight:600}"
)
_DEEPEST_HEADING = 6


def html(report: Report, link: Link, charset: str) -> str:
    """A whole page, to be encoded in *charset*."""
    title = escape(report.title)
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n" for name, value in report.facts)
    body = "".join(_html_items(report.content, 2, link))
    cut = f"<p><b>{CUT}</b></p>\n" if report.is_cut else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="{escape(charset)}">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n{facts}</table>\n{body}{cut}"
        "</body>\n</html>\n"
    )


def plain(report: Report) -> str:
    """Lines of text, indented by level."""
    facts = [f"{name}: {value}" for name, value in report.facts]
    lines = [report.title, "=" * len(report.title), *facts, "", *_plain_items(report.content, 0)]
    return "\n".join([*lines, *([CUT] if report.is_cut else [])]) + "\n"


def _html_items(item: ContentItem, level: int, link: Link) -> Iterator[str]:
    """The children of *item*."""
    for child in item.children:
        if child.value_type == "CONTAINER" and child.concept:
            heading = min(level, _DEEPEST_HEADING)
            yield f"<h{heading}>{escape(child.concept)}</h{heading}>\n"
            yield from _html_items(child, level + 1, link)
            continue
        yield f"<p>{_html_line(child, link)}</p>\n"
        if child.children:
            yield "<div>\n"
            yield from _html_items(child, level + 1, link)
            yield "</div>\n"


def _html_line(item: ContentItem, link: Link) -> str:
    name, value = label(item), _html_value(item, link)
    return f"<b>{escape(name)}:</b> {value}" if name else value


def _html_value(item: ContentItem, link: Link) -> str:
    """The value, with a link to what it refers to: to each frame, if there are several. A UID where there is none."""
    text, reference = item.text or stand_in(item), item.reference
    if reference is None:
        return escape(text)
    if not link(reference):
        uid = reference.sop_instance_uid
        return escape(text if uid in text else f"{text} [{uid}]")
    if len(reference.frames) < 2:
        return _html_link(item, link(reference), text)
    frames = [(str(frame), link(replace(reference, frames=(frame,)))) for frame in reference.frames]
    before = text.removesuffix(", ".join(frame for frame, _ in frames))
    return escape(before) + ", ".join(_html_link(item, where, frame) for frame, where in frames)


def _html_link(item: ContentItem, where: str, text: str) -> str:
    kind = ' class="image"' if item.value_type == "IMAGE" else ""
    return f'<a{kind} href="{escape(where)}" rel="noreferrer">{escape(text)}</a>'


def _plain_items(item: ContentItem, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for child in item.children:
        name, value = label(child), child.text or stand_in(child)
        if child.reference:
            value = f"{value} [{child.reference.sop_instance_uid}]".strip()
        line = ": ".join(part for part in (name, value) if part)
        yield indent + line.replace("\r\n", "\n").replace("\r", "\n").replace("\n", f"\n{indent}  ")
        yield from _plain_items(child, depth + 1)


def stand_in(item: ContentItem) -> str:
    """What is shown of an item without a text."""
    return item.reference.sop_instance_uid if item.reference else ""


def label(item: ContentItem) -> str:
    """What stands before the value: the concept, else the relationship. To be contained goes without saying."""
    return item.concept or ("" if item.relation in ("", "CONTAINS") else item.relation.capitalize())
