"""What the operator may set about pixels."""

import pytest

from relais.pixels.settings import PixelSettings


def test_the_defaults_are_possible() -> None:
    settings = PixelSettings()
    assert (settings.max_frame_bytes, settings.max_header_bytes) == (512 << 20, 64 << 20)


@pytest.mark.parametrize(
    "impossible",
    [{"workers": 0}, {"workers": 257}, {"memory_mb": 511}, {"timeout_s": 0}, {"idle_s": 1e9}, {"max_frame_mb": 0}],
)
def test_an_impossible_value_names_its_key(impossible: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(impossible))} must be"):
        PixelSettings(**impossible)  # type: ignore[arg-type]
