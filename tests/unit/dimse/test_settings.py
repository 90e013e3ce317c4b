import pytest

from relais.dimse.settings import DimseSettings


def test_the_defaults_are_the_contract() -> None:
    settings = DimseSettings()
    assert (settings.ae_title, settings.host, settings.port) == ("RELAIS", "127.0.0.1", 11112)
    assert settings.acse_timeout_s <= 25  # a silent connection is closed within 30 s, on both engines


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ae_title", "", "1 to 16"),
        ("ae_title", "   ", "1 to 16"),
        ("ae_title", "SEVENTEEN_LETTERS", "1 to 16"),
        ("ae_title", "BACK\\SLASH", "backslash"),
        ("ae_title", "ÄRZTE", "ASCII"),
        ("port", 65536, "port must be from 0 to 65535"),
        ("port", -1, "port"),
        ("workers", 0, "workers"),
        ("max_pdu", 0, "max_pdu must be from 4096 to 1048576"),
        ("max_associations", 0, "max_associations"),
        ("acse_timeout_s", 0, "acse_timeout_s"),
        ("private_sop_classes", ("1.2.3", "siemens"), "private_sop_classes must hold UIDs; not siemens"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        DimseSettings(**{name: value})  # type: ignore[arg-type]
