"""Host header fields that mean this machine, and those that a page of somebody else makes a browser send."""

import pytest

from relais.web.hosts import is_one, is_ours

PUBLIC_URL = "https://PACS.example.org/relais"
OURS = [
    *(
        "",
        "localhost",
        "localhost:8080",
        "LOCALHOST:8080",
        "localhost.",
        "a.localhost:8080",
        "127.0.0.1",
        "127.0.0.1:8080",
    ),
    *(
        "192.0.2.7:80",
        "[::1]",
        "[::1]:8080",
        "pacs.example.org",
        "Pacs.Example.org:8443",
        "pacs.example.org.",
        "localhost:",
    ),
]
NOT_OURS = [
    *(
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "example.org",
    ),
    *(
        "x.pacs.example.org",
        "pacs.example.org.evil.example",
        "[evil.example]:80",
        "localhost,evil.example",
        "[::1",
        ":8080",
        ".",
    ),
    *("localhost:80@evil.example", "evil.example@localhost", "evil.example#localhost", "evil.example/localhost", "[]"),
]


@pytest.mark.parametrize("host", OURS)
def test_hosts_that_nobody_else_can_be(host: str) -> None:
    assert is_ours(host, PUBLIC_URL)


@pytest.mark.parametrize("host", NOT_OURS)
def test_hosts_of_somebody_else(host: str) -> None:
    assert not is_ours(host, PUBLIC_URL)


@pytest.mark.parametrize("host", ["pacs.example.org", ":8080", "."])
def test_no_name_is_ours_without_a_public_url(host: str) -> None:
    assert not is_ours(host, "")


@pytest.mark.parametrize(
    "host", [*filter(None, OURS), "evil.example:8080", "[fe80::1%25eth0]:80", "under_score", "münchen"]
)
def test_a_name_is_one(host: str) -> None:
    assert is_one(host)


@pytest.mark.parametrize("host", ["", " ", "a,b", "a, b", "a b", "a/b", "user@a", "a?b", "a#b", "a\\b"])
def test_none_several_and_what_is_no_name_are_not_one(host: str) -> None:
    assert not is_one(host)
