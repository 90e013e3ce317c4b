"""Parameters of rendered resources and of WADO-URI: trap 13 as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.errors import InvalidRequest
from relais.pixels.request import MAX_SIDE_PX, Viewport, Window
from relais.web import rendering


def test_nothing_asked_is_nothing_changed() -> None:
    assert rendering.parse({}) == rendering.Rendering()
    assert rendering.parse_uri({}, 100, 200) == rendering.Rendering()
    assert rendering.parse({}).request("image/jpeg").window is None


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", Window(40, 400)),
        ("-600.5,1600,LINEAR-EXACT", Window(-600.5, 1600, "LINEAR_EXACT")),
        ("0.5,0.25,sigmoid", Window(0.5, 0.25, "SIGMOID")),
        ("1e3,2e3,linear", Window(1000, 2000)),
    ],
)
def test_a_window_has_center_width_and_function(text: str, window: Window) -> None:
    """PS3.18 8.3.5.1.4"""
    assert rendering.parse({"window": text}).window == window


@pytest.mark.parametrize(
    ("text", "viewport"),
    [
        ("10,20", Viewport(10, 20)),
        ("10,20,1,2,3,4", Viewport(10, 20, 1, 2, 3, 4)),
        ("10,20,,,3,", Viewport(10, 20, 0, 0, 3, None)),
        ("10,20,1,2,-3,-4", Viewport(10, 20, 1, 2, -3, -4)),
        ("10,20,-1,-2,3,4", Viewport(10, 20, 1, 2, 3, 4)),
        ("10,20,1", Viewport(10, 20, 1)),
        ("10,20,,2", Viewport(10, 20, 0, 2)),
        ("10,20,1,2,3", Viewport(10, 20, 1, 2, 3)),
    ],
)
def test_a_viewport_has_a_size_and_a_region(text: str, viewport: Viewport) -> None:
    """PS3.18 8.3.5.1.3"""
    assert rendering.parse({"viewport": text}).viewport == viewport


@pytest.mark.parametrize(
    ("parameters", "viewport"),
    [
        ({"rows": "50"}, Viewport(100, 50, 0, 0, 200, 100)),
        ({"columns": "50"}, Viewport(50, 25, 0, 0, 200, 100)),
        ({"rows": "30", "columns": "30"}, Viewport(30, 30, 0, 0, 200, 100)),
        ({"region": "0.5,0,1,1"}, Viewport(100, 100, 100, 0, 100, 100)),
        ({"region": "0,0.5,1,1", "rows": "10"}, Viewport(40, 10, 0, 50, 200, 50)),
    ],
)
def test_wado_uri_has_rows_columns_and_a_region(parameters: dict[str, str], viewport: Viewport) -> None:
    """PS3.18 9.1.2"""
    assert rendering.parse_uri(parameters, 100, 200).viewport == viewport


def test_annotation_and_profile_go_on_as_asked() -> None:
    """PS3.18 8.3.5.1.1, 8.3.5.1.5"""
    wanted = rendering.parse({"annotation": "Technique, patient", "iccprofile": "SRGB"}).request("image/png")
    assert (wanted.annotation, wanted.icc_profile) == (("patient", "technique"), "srgb")
    assert rendering.parse_uri({"imageAnnotation": "patient"}, 1, 1).annotation == ("patient",)
    assert rendering.parse_uri({"annotation": "patient"}, 1, 1).annotation == ("patient",)
    assert rendering.parse({"quality": "10"}).request("image/jpeg").quality == 10
    for wrong in ({"annotation": "all"}, {"iccprofile": "cmyk"}):
        with pytest.raises(InvalidRequest):
            rendering.parse(wrong)


@pytest.mark.parametrize(
    ("parameters", "viewport"),
    [
        ({}, None),
        ({"rows": "50"}, Viewport(MAX_SIDE_PX, 50)),
        ({"rows": "50", "columns": "20"}, Viewport(20, 50)),
    ],
)
def test_a_presentation_state_is_fitted_into_rows_and_columns(
    parameters: dict[str, str], viewport: Viewport | None
) -> None:
    """PS3.18 9.5.1.2.7"""
    assert rendering.parse_uri_state(parameters).viewport == viewport


@pytest.mark.parametrize("parameters", [{"windowCenter": "1", "windowWidth": "2"}, {"region": "0,0,1,0.5"}])
def test_a_presentation_state_has_its_own_window_and_region(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        rendering.parse_uri_state(parameters)


def test_a_rendered_state_takes_a_viewport_without_region() -> None:
    assert rendering.parse({"viewport": "5,6"}).for_state().viewport == Viewport(5, 6)
    for wrong in ({"viewport": "5,6,1,,,"}, {"viewport": "5,6,,,-3,"}, {"window": "1,2,linear"}):
        with pytest.raises(InvalidRequest):
            rendering.parse(wrong).for_state()


def test_a_thumbnail_has_a_viewport_without_region() -> None:
    assert rendering.parse_thumbnail({"viewport": "5,6"}) == Viewport(5, 6)
    assert rendering.parse_thumbnail({}) is None
    with pytest.raises(InvalidRequest):
        rendering.parse_thumbnail({"viewport": "5,6,1,2,3,4"})


@pytest.mark.parametrize("name", rendering.NAMES)
def test_no_parameter_of_a_rendered_resource_is_without_a_value(name: str) -> None:
    """PS3.18 8.3, 8.3.5.1"""
    with pytest.raises(InvalidRequest, match=name):
        rendering.parse({name: " "})
    with pytest.raises(InvalidRequest):
        rendering.parse_thumbnail({"viewport": ""})


names = st.sampled_from(["window", "viewport", "quality", "annotation", "iccprofile", "rows", "region", "windowCenter"])


@given(st.dictionaries(names, st.text(max_size=30)))
def test_no_parameter_does_anything_but_parse_or_be_refused(parameters: dict[str, str]) -> None:
    for parse in (rendering.parse, lambda asked: rendering.parse_uri(asked, 10, 10)):
        try:
            parse(parameters).request("image/png")
        except InvalidRequest:
            continue
