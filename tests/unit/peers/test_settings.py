from typing import Any

import pytest

from relais.peers.settings import PeerSettings

GOOD: dict[str, Any] = {"name": "south", "ae_title": "SOUTH", "host": "10.0.0.2", "port": 104}


def test_a_peer_may_do_everything_but_delete_by_default() -> None:
    assert PeerSettings(**GOOD).may == ("store", "search", "retrieve", "move")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("name", "", "name must not be empty"),
        ("kind", "carrier pigeon", "kind must be one of: dimse"),
        ("ae_title", "", "ae_title must have 1 to 16"),
        ("host", "", "host"),
        ("port", 0, "port must be from 1 to 65535"),
        ("may", ("store", "fly"), "not fly"),
        ("may", ("store", "delete"), "not delete"),  # DIMSE has no request for it
        ("timeout_s", 0, "timeout_s must be more than 0"),
        ("networks", ("10.1.0.0/16", "10.1.2.3/16"), "networks must hold .* not 10.1.2.3/16"),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(name: str, value: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        PeerSettings(**GOOD | {name: value})


ORTHANC: dict[str, Any] = {"name": "old", "kind": "orthanc", "url": "https://orthanc.example.org:8042"}


def test_an_orthanc_has_a_url_instead_of_an_ae_title() -> None:
    settings = PeerSettings(**ORTHANC, user="rosa", password="secret", tls_ca="ca.pem")
    assert not settings.is_dimse
    assert settings.secret() == "secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (ORTHANC | {"url": ""}, "url must be like"),
        (ORTHANC | {"url": "ftp://orthanc"}, "url must be like"),
        (ORTHANC | {"url": "http://rosa:secret@orthanc"}, "without user and password"),
        (ORTHANC | {"ae_title": "ORTHANC"}, 'kind must be "dimse"'),
        (ORTHANC | {"password_file": "/nowhere"}, "password_file /nowhere cannot be read"),
        (GOOD | {"url": "http://orthanc"}, 'kind must be "orthanc"'),
    ],
)
def test_what_belongs_to_another_kind_is_refused(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        PeerSettings(**values)
