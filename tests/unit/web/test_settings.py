"""Settings of the web door."""

from pathlib import Path
from typing import Any

import pytest

from fixtures import certificates
from relais.web.settings import WebSettings


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = WebSettings()
    assert (settings.host, settings.port, settings.workers, settings.cors_origins) == ("127.0.0.1", 8080, 2, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("workers", 0),
        ("threads", 0),
        ("max_results", 0),
        ("max_body_bytes", 1),
        ("drain_bytes", -1),
        ("cors_origins", ("viewer.example.org",)),
        ("cors_origins", ("https://viewer.example.org/",)),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        WebSettings(**{name: value})


def test_origins_are_urls_without_a_path_or_a_star() -> None:
    assert WebSettings(cors_origins=("*", "http://127.0.0.1:3000", "https://viewer.example.org")).cors_origins


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tls_certificate": "missing.pem"}, "tls_certificate missing.pem and its key cannot be used: no such file"),
        ({"tls_ca": "missing.pem"}, "tls_ca missing.pem cannot be used"),
        ({"tls_key": ""}, "cannot be used"),
        ({"tls_certificate": ""}, "tls_ca needs tls_certificate"),
    ],
)
def test_files_that_cannot_be_used_for_tls_are_told(tmp_path: Path, change: dict[str, str], expected: str) -> None:
    world = certificates.world(tmp_path)
    right = {"tls_certificate": str(world.node.certificate), "tls_key": str(world.node.key)}
    right["tls_ca"] = str(world.ca.certificate)
    assert WebSettings(**right).scheme == "https"
    with pytest.raises(ValueError, match=expected):
        WebSettings(**right | change)
