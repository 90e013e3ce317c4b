"""Certificates as rules name them."""

import pytest

from relais.peers.tls import required_proofs

DIGITS = "0a" * 32


@pytest.mark.parametrize("text", [f"sha256:{DIGITS}", f"SHA256:{DIGITS.upper()}", "sha256:" + ":".join(["0A"] * 32)])
def test_a_fingerprint_is_the_same_however_it_is_written(text: str) -> None:
    assert required_proofs(text) == {f"sha256:{DIGITS}"}


@pytest.mark.parametrize(
    ("text", "proofs"),
    [
        ("CN=CT1", {"CN=CT1"}),
        ("cn=CT1, O=Hôpital Nord", {"CN=CT1", "O=Hôpital Nord"}),
        (r"CN=Smith\, John,OU=a=b", {"CN=Smith, John", "OU=a=b"}),
    ],
)
def test_a_subject_is_all_its_attributes(text: str, proofs: set[str]) -> None:
    assert required_proofs(text) == proofs


@pytest.mark.parametrize("text", ["", "CT1", "CN=", "=CT1", "sha256:12", f"md5:{DIGITS}", "CN=a,,O=b"])
def test_what_names_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        required_proofs(text)
