"""Instances without pixels: a report as text, measurements as a tree, key images, a letter as PDF."""

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    KeyObjectSelectionDocumentStorage,
)

from generator.modules import Series, code, dataset, instance, put, uid

FRENCH = ("fr", "RFC5646", "French")


def content(relationship: str, kind: str, name: tuple[str, str, str], **attributes: Any) -> Dataset:
    """One content item (PS3.3 C.17.3)."""
    ds = dataset(RelationshipType=relationship, ValueType=kind, ConceptNameCodeSequence=[code(*name)])
    put(ds, **attributes)
    return ds


def text(name: tuple[str, str, str], value: str) -> Dataset:
    return content("CONTAINS", "TEXT", name, TextValue=value)


def container(name: tuple[str, str, str], items: list[Dataset]) -> Dataset:
    return content("CONTAINS", "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=items)


def coded(relationship: str, name: tuple[str, str, str], value: tuple[str, str, str]) -> Dataset:
    return content(relationship, "CODE", name, ConceptCodeSequence=[code(*value)])


def reference(image: Dataset) -> Dataset:
    """One Item that points at *image* (PS3.3 table 10-11)."""
    return dataset(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def evidence(images: list[Dataset]) -> list[Dataset]:
    """The hierarchy of what a document is about (PS3.3 C.17.2.3); all of one series."""
    series = dataset(
        SeriesInstanceUID=images[0].SeriesInstanceUID, ReferencedSOPSequence=[reference(image) for image in images]
    )
    return [dataset(StudyInstanceUID=images[0].StudyInstanceUID, ReferencedSeriesSequence=[series])]


def _document(
    series: Series, number: int, sop_class: str, title: tuple[str, str, str], items: list[Dataset]
) -> Dataset:
    return instance(
        series,
        number,
        sop_class,
        ReferencedPerformedProcedureStepSequence=[],
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        ConceptNameCodeSequence=[code(*title)],
        ContentSequence=items,
    )


def report(series: Series, reader: str, sections: list[tuple[tuple[str, str, str], str]]) -> Dataset:
    """A radiologist's report, verified, as Basic Text SR."""
    items = [
        coded("HAS CONCEPT MOD", ("121049", "DCM", "Language of Content Item and Descendants"), FRENCH),
        coded("HAS OBS CONTEXT", ("121005", "DCM", "Observer Type"), ("121006", "DCM", "Person")),
        content("HAS OBS CONTEXT", "PNAME", ("121008", "DCM", "Person Observer Name"), PersonName=reader),
    ]
    items += [text(name, words) for name, words in sections]
    ds = _document(series, 1, BasicTextSRStorage, ("18748-4", "LN", "Diagnostic Imaging Report"), items)
    observer = dataset(
        VerifyingOrganization=series.study.patient.site.institution,
        VerificationDateTime=f"{series.study.date}173000",
        VerifyingObserverName=reader,
        VerifyingObserverIdentificationCodeSequence=[],
    )
    put(
        ds,
        CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        VerifyingObserverSequence=[observer],
        PerformedProcedureCodeSequence=[],
    )
    return ds


def measurements(series: Series, image: Dataset, ends: tuple[float, ...], millimetres: str, reader: str) -> Dataset:
    """The long axis of one finding on *image*, as TID 1500 (PS3.16 A) in a Comprehensive SR."""
    line = content(
        "INFERRED FROM",
        "SCOORD",
        ("121112", "DCM", "Source of Measurement"),
        GraphicData=list(ends),
        GraphicType="POLYLINE",
        ContentSequence=[
            dataset(RelationshipType="SELECTED FROM", ValueType="IMAGE", ReferencedSOPSequence=[reference(image)])
        ],
    )
    amount = dataset(NumericValue=millimetres, MeasurementUnitsCodeSequence=[code("mm", "UCUM", "millimeter")])
    diameter = content(
        "CONTAINS", "NUM", ("103339001", "SCT", "Long Axis"), MeasuredValueSequence=[amount], ContentSequence=[line]
    )
    finding = container(
        ("125007", "DCM", "Measurement Group"),
        [
            content("HAS OBS CONTEXT", "TEXT", ("112039", "DCM", "Tracking Identifier"), TextValue="Nodule 1"),
            content("HAS OBS CONTEXT", "UIDREF", ("112040", "DCM", "Tracking Unique Identifier"), UID=uid("nodule 1")),
            coded("CONTAINS", ("121071", "DCM", "Finding"), ("27925004", "SCT", "Nodule")),
            coded("CONTAINS", ("363698007", "SCT", "Finding Site"), ("45653009", "SCT", "Upper lobe of lung")),
            diameter,
        ],
    )
    items = [
        coded("HAS CONCEPT MOD", ("121049", "DCM", "Language of Content Item and Descendants"), FRENCH),
        content("HAS OBS CONTEXT", "PNAME", ("121008", "DCM", "Person Observer Name"), PersonName=reader),
        coded("HAS CONCEPT MOD", ("121058", "DCM", "Procedure Reported"), ("169069000", "SCT", "CT of chest")),
        container(("126010", "DCM", "Imaging Measurements"), [finding]),
    ]
    ds = _document(series, 1, ComprehensiveSRStorage, ("126000", "DCM", "Imaging Measurement Report"), items)
    put(
        ds,
        ContentTemplateSequence=[dataset(MappingResource="DCMR", TemplateIdentifier="1500")],
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        PerformedProcedureCodeSequence=[],
        CurrentRequestedProcedureEvidenceSequence=evidence([image]),
    )
    return ds


def key_images(series: Series, images: list[Dataset], remark: str) -> Dataset:
    """A Key Object Selection: "for referring provider"."""
    items = [content("CONTAINS", "TEXT", ("113012", "DCM", "Key Object Description"), TextValue=remark)]
    items += [
        dataset(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[reference(image)])
        for image in images
    ]
    title = ("113002", "DCM", "For Referring Provider")
    ds = _document(series, 1, KeyObjectSelectionDocumentStorage, title, items)
    put(
        ds,
        ContentTemplateSequence=[dataset(MappingResource="DCMR", TemplateIdentifier="2010")],
        CurrentRequestedProcedureEvidenceSequence=evidence(images),
    )
    return ds


def letter(series: Series, title: str, lines: list[str]) -> Dataset:
    """A letter of one page as Encapsulated PDF."""
    data = pdf(title, lines)
    return instance(
        series,
        1,
        EncapsulatedPDFStorage,
        ConversionType="WSD",
        BurnedInAnnotation="YES",
        AcquisitionDateTime=f"{series.study.date}{series.study.time}",
        DocumentTitle=title,
        ConceptNameCodeSequence=[code("11488-4", "LN", "Consultation note")],
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocumentLength=len(data),
        EncapsulatedDocument=data + b"\0" * (len(data) % 2),
    )


def pdf(title: str, lines: list[str]) -> bytes:
    """A PDF of one A4 page: a title over a line, then *lines*; those that end in ":" are bold."""
    drawn = ["0.10 0.35 0.42 rg 0 800 595 42 re f", _words("F2", 15, 1, 56, 815, title), "0.85 G 56 776 m 539 776 l S"]
    for number, line in enumerate(lines):
        drawn.append(_words("F2" if line.endswith(":") else "F1", 10.5, 0, 56, 748 - 17 * number, line))
    stream = "\n".join(drawn).encode("cp1252")
    font = b"<</Type/Font/Subtype/Type1/BaseFont/%s/Encoding/WinAnsiEncoding>>"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R/Lang(fr)>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R/F2 6 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        font % b"Helvetica",
        font % b"Helvetica-Bold",
    )
    return _file(objects)


def _words(font: str, size: float, level: int, x: int, y: int, words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /{font} {size} Tf {level} g {x} {y} Td ({escaped}) Tj ET"


def _file(objects: tuple[bytes, ...]) -> bytes:
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)
