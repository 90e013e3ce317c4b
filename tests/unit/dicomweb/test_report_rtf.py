"""Reports as text/rtf, read by a reader of its own (PS3.18 8.7.4)."""

import re

from hypothesis import given
from hypothesis import strategies as st

from relais.dicom.report import ContentItem, Reference, Report
from relais.dicomweb.report_rtf import rtf
from relais.dicomweb.report_text import CUT

TOKEN = re.compile(
    r"(?P<open>\{)|(?P<close>\})|\\(?P<plain>[\\{}*])|\\u(?P<unit>-?\d+)\?"
    r"|\\(?P<word>[a-z]+)(?P<number>-?\d+)? ?|(?P<text>[^\\{}\n]+)|(?P<end>\n)"
)
WORDS = {"par": "\n", "line": "\n", "tab": "\t"}
HIDDEN = {"fonttbl", "fldinst"}


def read(document: bytes) -> str:
    """What a word processor shows; every group must be closed and every token known."""
    units: list[bytes] = []
    hidden = [False]
    position = 0
    source = document.decode("ascii")
    while position < len(source):
        token = TOKEN.match(source, position)
        assert token, source[position : position + 40]
        position = token.end()
        if token["open"]:
            hidden.append(hidden[-1])
        elif token["close"]:
            hidden.pop()
        elif token["word"] in HIDDEN:
            hidden[-1] = True
        elif not hidden[-1]:
            units.append(_shown(token))
    assert hidden == [False]
    return b"".join(units).decode("utf-16-le", "surrogatepass")


def _shown(token: re.Match[str]) -> bytes:
    if token["unit"]:
        return int(token["unit"]).to_bytes(2, "little", signed=True)
    text = WORDS.get(token["word"] or "", "") or (token["plain"] or "").replace("*", "") or token["text"] or ""
    return text.encode("utf-16-le")


def a_report(*children: ContentItem, title: str = "Report", is_cut: bool = False) -> Report:
    root = ContentItem("CONTAINER", "", title, "", "1", children=children)
    return Report(title, (("Patient", "Élodie {Roux}"),), root, is_cut)


def a_text(concept: str, text: str, *children: ContentItem) -> ContentItem:
    return ContentItem("TEXT", "CONTAINS", concept, text, "1.1", children=children)


def nowhere(reference: Reference) -> str:
    return ""


def test_title_facts_headings_and_lines_follow_one_another() -> None:
    section = ContentItem("CONTAINER", "CONTAINS", "Findings", "", "1.1", children=(a_text("Lung", "Clear."),))
    shown = read(rtf(a_report(section, title="Chest"), nowhere))
    assert shown.splitlines() == ["Chest", "Patient: Élodie {Roux}", "Findings", "Lung: Clear."]


def test_lines_of_a_text_stay_lines() -> None:
    shown = read(rtf(a_report(a_text("Finding", "One\r\nTwo\rThree\nFour\tFive")), nowhere))
    assert shown.splitlines()[-4:] == ["Finding: One", "Two", "Three", "Four\tFive"]


def test_children_are_indented_and_no_deeper_than_the_page() -> None:
    item = a_text("", "leaf")
    for _ in range(100):
        item = a_text("", "branch", item)
    indents = [int(number) for number in re.findall(rb"\\li(\d+)", rtf(a_report(item), nowhere))]
    assert indents[2:5] == [0, 360, 720]
    assert max(indents) == 7200


def test_a_reference_leads_to_where_it_is_seen() -> None:
    reference = Reference("1.2.3", "1.2", "1.2.1")
    item = ContentItem("IMAGE", "INFERRED FROM", "", "", "1.1", reference=reference)
    document = rtf(a_report(item), lambda one: f"http://node/{one.sop_instance_uid}")
    assert b'{\\*\\fldinst HYPERLINK "http://node/1.2.3"}' in document
    assert "Inferred from: 1.2.3" in read(document)
    assert b"HYPERLINK" not in rtf(a_report(item), nowhere)


def test_a_report_that_goes_on_says_so() -> None:
    assert CUT in read(rtf(a_report(is_cut=True), nowhere))


@given(st.text(max_size=60))
def test_whatever_stands_in_a_report_is_text_in_the_document(text: str) -> None:
    """hardening.md 6: nothing from outside becomes markup."""
    shown = read(rtf(a_report(a_text("", f"<{text}>")), nowhere))
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    wanted = "".join(one for one in wanted if one in "\n\t" or (one >= " " and one != "\x7f"))
    assert shown.endswith(f"<{wanted}>\n")
