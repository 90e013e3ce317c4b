"""Structured reports as trees of sentences, and these as HTML and plain text (PS3.3 C.17.3, PS3.18 8.7.4)."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from fixtures.builders import a_code, a_ct, a_sr, uid
from relais.dicom import report as reports
from relais.dicom.report import Reference, formatted_date, formatted_name, formatted_time, is_report, read
from relais.dicomweb import report_text

FINDING = a_code("121071", "DCM", "Finding")
STUDY, SERIES, IMAGE = uid("a study"), uid("a series"), uid("an image")


def an_item(value_type: str, relation: str = "CONTAINS", **attributes: Any) -> Dataset:
    item = Dataset()
    item.ValueType, item.RelationshipType, item.ConceptNameCodeSequence = value_type, relation, [FINDING]
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def a_measure(value: str, unit: Dataset) -> Dataset:
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, [unit]
    return measured


def a_reference(**attributes: Any) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", IMAGE
    for keyword, value in attributes.items():
        setattr(reference, keyword, value)
    return reference


def evidence() -> list[Dataset]:
    study, series = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = SERIES, [a_reference()]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = STUDY, [series]
    return [study]


def where(reference: Reference) -> str:
    return f"/{reference.series_instance_uid}/{reference.sop_instance_uid}" if reference.series_instance_uid else ""


def page(ds: Dataset) -> str:
    return report_text.html(read(ds), where, "utf-8")


def lines(ds: Dataset) -> list[str]:
    return report_text.plain(read(ds)).splitlines()


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (an_item("TEXT", TextValue="Two\r\nlines"), "Two\r\nlines"),
        (an_item("CODE", ConceptCodeSequence=[a_code("1", "L", "Left")]), "Left"),
        (an_item("NUM", MeasuredValueSequence=[a_measure("12.5", a_code("mm", "UCUM", "millimeter"))]), "12.5 mm"),
        (an_item("NUM", MeasuredValueSequence=[a_measure("3", a_code("1", "UCUM", "no units"))]), "3"),
        (an_item("NUM", NumericValueQualifierCodeSequence=[a_code("1", "L", "Not measured")]), "Not measured"),
        (an_item("DATE", Date="20240310"), "2024-03-10"),
        (an_item("TIME", Time="091530.5"), "09:15:30"),
        (an_item("DATETIME", DateTime="202403100915"), "2024-03-10 09:15"),
        (an_item("UIDREF", UID="1.2.3"), "1.2.3"),
        (an_item("PNAME", PersonName="MOREL^Hélène"), "MOREL Hélène"),
        (an_item("IMAGE", ReferencedSOPSequence=[a_reference()]), "CT Image Storage"),
        (
            an_item("IMAGE", ReferencedSOPSequence=[a_reference(ReferencedFrameNumber=[2, 3])]),
            "CT Image Storage, frame 2, 3",
        ),
        (an_item("COMPOSITE", ReferencedSOPSequence=[a_reference()]), "CT Image Storage"),
        (an_item("WAVEFORM", ReferencedSOPSequence=[a_reference()]), "CT Image Storage"),
        (an_item("SCOORD", GraphicType="POINT", GraphicData=[1.5, 2]), "POINT 1.5, 2"),
        (an_item("SCOORD3D", GraphicType="POLYGON", GraphicData=[1] * 15), "POLYGON " + ", ".join("1" * 12) + "…"),
        (an_item("TCOORD", TemporalRangeType="SEGMENT", ReferencedTimeOffsets=[1.5, 2.5]), "SEGMENT 1.5, 2.5"),
        (an_item("TCOORD", TemporalRangeType="SEGMENT"), "SEGMENT"),
        (an_item("CONTAINER"), ""),
        (an_item("A NEW ONE"), ""),
        (an_item("IMAGE"), ""),
        (an_item("TEXT"), ""),
    ],
    ids=lambda value: value.ValueType if isinstance(value, Dataset) else "",
)
def test_every_value_type_has_a_text(item: Dataset, text: str) -> None:
    """PS3.3 table C.17.3-7"""
    found = read(a_sr(ContentSequence=[item])).content.children[0]
    assert (found.concept, found.text) == ("Finding", text)


def test_an_item_may_point_to_another_one() -> None:
    """PS3.3 C.17.3.2.5"""
    pointer = Dataset()
    pointer.RelationshipType, pointer.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 2]
    assert "Inferred from: see 1.2" in lines(a_sr(ContentSequence=[pointer]))


def test_containers_are_headings_and_the_rest_is_lines() -> None:
    inner = an_item("TEXT", "HAS PROPERTIES", TextValue="Round")
    section = an_item("CONTAINER", ContentSequence=[an_item("TEXT", TextValue="Nodule", ContentSequence=[inner])])
    html = page(a_sr(ContentSequence=[section]))
    assert "<h1>Diagnostic imaging report</h1>" in html
    assert "<h2>Finding</h2>\n<p><b>Finding:</b> Nodule</p>\n<div>\n<p><b>Finding:</b> Round</p>\n</div>" in html
    assert lines(a_sr(ContentSequence=[section]))[-2:] == ["  Finding: Nodule", "    Finding: Round"]


def test_references_are_links_where_the_report_says_where_they_are() -> None:
    item = an_item("IMAGE", ReferencedSOPSequence=[a_reference()])
    found = page(a_sr(ContentSequence=[item], CurrentRequestedProcedureEvidenceSequence=evidence()))
    assert f'<a class="image" href="/{SERIES}/{IMAGE}" rel="noreferrer">CT Image Storage</a>' in found
    assert f"<b>Finding:</b> CT Image Storage [{IMAGE}]</p>" in page(a_sr(ContentSequence=[item]))
    assert f"Finding: CT Image Storage [{IMAGE}]" in lines(a_sr(ContentSequence=[item]))


def test_each_frame_that_is_referred_to_has_a_link() -> None:
    item = an_item("IMAGE", ReferencedSOPSequence=[a_reference(ReferencedFrameNumber=[1, 3])])
    ds = a_sr(ContentSequence=[item], CurrentRequestedProcedureEvidenceSequence=evidence())
    html = report_text.html(read(ds), lambda reference: f"/frames/{reference.frames}", "utf-8")
    first, third = (f'<a class="image" href="/frames/({frame},)" rel="noreferrer">{frame}</a>' for frame in (1, 3))
    assert f"<b>Finding:</b> CT Image Storage, frame {first}, {third}</p>" in html


def test_who_when_and_how_sure_come_first() -> None:
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = "DURAND^Paul", "CH du Nord"
    observer.VerificationDateTime = "20240311081500"
    facts = dict(read(a_sr(VerifyingObserverSequence=[observer])).facts)
    assert facts["Patient"] == "MOREL Hélène"
    assert facts["Born"] == "1961-04-12 · F"
    assert facts["Status"] == "complete unverified"
    assert facts["Verified by"] == "DURAND Paul, CH du Nord, 2024-03-11 08:15:00"


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


@given(st.text(st.sampled_from("<>\"'&;=/ ascript\nimg:()onerr"), max_size=60))
def test_nothing_that_a_report_says_becomes_markup(text: str) -> None:
    """hardening.md 6"""
    item = an_item("TEXT", TextValue=text, ConceptNameCodeSequence=[a_code("1", "X", text)])
    ds = a_sr(ContentSequence=[item], ConceptNameCodeSequence=[a_code("1", "X", text)], PatientID=text[:60])
    tags = Tags()
    tags.feed(page(ds))
    expected = {"html", "head", "meta", "title", "style", "body", "h1", "table", "tr", "th", "td", "p", "b"}
    assert tags.seen <= expected


def test_a_report_without_end_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_ITEMS", 10)
    monkeypatch.setattr(reports._Reader.__init__, "__defaults__", (10,))
    ds = a_sr(ContentSequence=[an_item("TEXT", TextValue=str(n)) for n in range(20)])
    assert report_text.CUT in page(ds)
    assert lines(ds)[-1] == report_text.CUT


def test_what_cannot_be_read_is_empty() -> None:
    ds = a_sr(ContentSequence=[an_item("TEXT", TextValue="Nodule")])
    ds.add(RawDataElement(Tag("PatientID"), "T8", 4, b"42  ", 0, False, True))
    study, series = evidence()[0], Dataset()
    series.ReferencedSOPSequence = [a_reference()]
    study.ReferencedSeriesSequence = [series]
    ds.PertinentOtherEvidenceSequence = [study]
    report = read(ds)
    assert "Patient ID" not in dict(report.facts)
    assert report.content.children[0].text == "Nodule"


def test_only_content_trees_are_reports() -> None:
    assert is_report(a_sr())
    assert not is_report(a_ct())


@pytest.mark.parametrize(
    ("format_", "text", "shown"),
    [
        (formatted_name, "YAMADA^Tarou=山田^太郎", "YAMADA Tarou (山田 太郎)"),
        (formatted_name, "=山田^太郎", "山田 太郎"),
        (formatted_name, "", ""),
        (formatted_date, "2024", "2024"),
        (formatted_date, "never", "never"),
        (formatted_date, "20240607", "2024-06-07"),
        (formatted_date, "20240607101112.5+0200", "2024-06-07 10:11:12 +0200"),
        (formatted_date, "20240607-0500", "2024-06-07 -0500"),
        (formatted_time, "9", "9"),
        (formatted_time, "0915", "09:15"),
    ],
)
def test_values_are_shown_as_people_write_them(format_: Any, text: str, shown: str) -> None:
    assert format_(text) == shown
