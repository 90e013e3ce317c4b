"""Annotation: what is said, and that it can be read (PS3.18 8.3.5.1.1)."""

import numpy as np
import pytest
from PIL import Image

from fixtures.builders import a_ct, a_multiframe
from relais.pixels import annotation, lettering


def test_the_patient_is_named_and_identified() -> None:
    ds = a_ct(PatientName="YAMADA^Tarou=山田^太郎", PatientID="42", SpecificCharacterSet="ISO_IR 192")
    assert annotation.patient(ds) == ["YAMADA Tarou (山田 太郎)", "42 · 1961-04-12 · F"]
    assert annotation.patient(a_ct(PatientName="", PatientID="", PatientBirthDate="", PatientSex="")) == []


def test_the_technique_is_where_when_and_how() -> None:
    assert annotation.technique(a_ct(), 1) == [
        "CH du Nord · 2024-03-10 09:15:00",
        "CT · Thorax · Thorax 1.0",
        "Series 1 · Image 1 · 120 kV · 1.0 mm",
    ]
    assert "Frame 2 of 3" in annotation.technique(a_multiframe(), 2)[-1]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("background", [0, 128, 255])
def test_letters_show_on_any_background(mode: str, background: int) -> None:
    picture = Image.new(mode, (300, 100), background if mode == "L" else (background,) * 3)
    lettering.write(picture, ["MOREL Hélène"])
    levels = np.asarray(picture)
    assert int(levels.max()) - int(levels.min()) >= 127


def test_lines_stay_within_the_picture() -> None:
    picture = Image.new("L", (120, 400))
    lettering.write(picture, ["W" * 300, "below"])
    assert np.asarray(picture)[:, -1].max() == 0
    text, _ = lettering.fitted("W" * 300, 20, 100)
    assert text.endswith("…")
    assert len(text) < 30


def test_a_picture_too_small_for_letters_is_left_whole() -> None:
    picture = Image.new("L", (3, 3))
    lettering.write(picture, ["MOREL"])
    assert picture.size == (3, 3)


def test_letters_that_no_font_has_are_marked() -> None:
    text, _ = lettering.fitted("A\U000f0000B\x07", 20, 500)
    assert text in {"A?B", "AB"}  # the private character may count as not printable
    assert lettering.fitted("Ж", 20, 500)[0] in {"Ж", "?"}


def test_without_fonts_of_the_system_names_lose_their_accents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_names", lambda: ("",))
    assert lettering.fitted("MOREL Hélène", 20, 500)[0] in {"MOREL Helene", "MOREL Hélène"}
    assert lettering.fitted("山", 20, 500)[0] in {"?", "山"}
