"""Parameters of rendered resources and of WADO-URI: trap 13 as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relais.errors import InvalidRequest
from relais.pixels.request import Viewport, Window
from relais.web import rendering


def test_nothing_asked_is_nothing_changed() -> None:
    assert rendering.parse({}) == rendering.Rendering()
    assert rendering.parse_uri({}, 100, 200) == rendering.Rendering()
    assert rendering.parse({}).request("image/jpeg").window is None


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", Window(40, 400)),
        ("40,400", Window(40, 400)),
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


def test_what_is_not_done_is_named() -> None:
    asked = rendering.parse({"annotation": "patient", "iccprofile": "yes", "quality": "10"})
    assert asked.ignored == ("annotation", "iccprofile")
    assert asked.request("image/jpeg").quality == 10
    assert rendering.parse({"iccprofile": "no", "annotation": ""}).ignored == ()


names = st.sampled_from(["window", "viewport", "quality", "annotation", "iccprofile", "rows", "region", "windowCenter"])


@given(st.dictionaries(names, st.text(max_size=30)))
def test_no_parameter_does_anything_but_parse_or_be_refused(parameters: dict[str, str]) -> None:
    for parse in (rendering.parse, lambda asked: rendering.parse_uri(asked, 10, 10)):
        try:
            parse(parameters).request("image/png")
        except InvalidRequest:
            continue
