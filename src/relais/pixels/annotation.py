"""What is written into an image that is asked for with annotation (PS3.18 8.3.5.1.1). Knows Data Sets, no fonts.

Reading: the standard leaves to us which attributes stand for "patient" and "technique". They are those that a reader
expects in the corners of a film; empty ones are left out.
"""

from typing import Any

from pydicom import Dataset

from relais.dicom.report import formatted_date, formatted_name, formatted_time

_TECHNIQUE = (
    ("KVP", "{} kV"),
    ("XRayTubeCurrent", "{} mA"),
    ("RepetitionTime", "TR {} ms"),
    ("EchoTime", "TE {} ms"),
    ("SliceThickness", "{} mm"),
    ("SliceLocation", "at {} mm"),
)


def patient(ds: Dataset) -> list[str]:
    """Name; identifier, date of birth, sex."""
    born = formatted_date(_text(ds, "PatientBirthDate"))
    return _lines([formatted_name(_text(ds, "PatientName"))], [_text(ds, "PatientID"), born, _text(ds, "PatientSex")])


def technique(ds: Dataset, frame_number: int) -> list[str]:
    """Where and when; study and series; which image of it, and how it was made."""
    image = [f"{name} {number}" for name, number in _numbers(ds, frame_number) if number]
    made = [form.format(text) for keyword, form in _TECHNIQUE if (text := _text(ds, keyword))]
    when = f"{formatted_date(_text(ds, 'StudyDate'))} {formatted_time(_text(ds, 'StudyTime'))}"
    return _lines(
        [_text(ds, "InstitutionName"), when],
        [_text(ds, "Modality"), _text(ds, "StudyDescription"), _text(ds, "SeriesDescription")],
        [*image, *made],
    )


def _numbers(ds: Dataset, frame_number: int) -> list[tuple[str, str]]:
    frames = _text(ds, "NumberOfFrames")
    frame = f"{frame_number} of {frames}" if frames not in ("", "0", "1") else ""
    return [("Series", _text(ds, "SeriesNumber")), ("Image", _text(ds, "InstanceNumber")), ("Frame", frame)]


def _lines(*lines: list[str]) -> list[str]:
    joined = (" · ".join(part.strip() for part in line if part.strip()) for line in lines)
    return [line for line in joined if line]


def _text(ds: Dataset, keyword: str) -> str:
    """The first value, "" if there is none that can be read."""
    try:
        value: Any = ds.get(keyword)
    except Exception:  # pydicom raises whatever a malformed value made it raise
        return ""
    if isinstance(value, list) or type(value).__name__ == "MultiValue":
        value = value[0] if value else None
    return "" if value is None else str(value).strip(" \0")
