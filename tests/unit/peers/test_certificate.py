"""What a certificate says, beside what the ssl module makes of it."""

import base64
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import certificates
from fixtures.certificates import Identity, World, openssl
from relais.peers import tls
from relais.peers.certificate import facts, valid_until
from relais.web.forwarded import proofs

SUBJECT = "/C=FR/ST=Somme/L=Amiens/O=Hôpital, Nord/OU=Radiologie/CN=CT1 MR/emailAddress=ct1@example.org/DC=org"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


def der(who: Identity) -> bytes:
    return ssl.PEM_cert_to_DER_cert(who.certificate.read_text()[who.certificate.read_text().index("-----BEGIN") :])


def seen_by_ssl(world: World, who: Identity) -> frozenset[str]:
    """What tls.proofs says of *who*, who calls over a pair of sockets."""
    server = tls.server_context(
        str(world.node.certificate), str(world.node.key), str(world.ca.certificate), tls.ClientCertificate.REQUIRED
    )
    client = ssl.create_default_context(cafile=str(world.ca.certificate))
    client.load_cert_chain(who.certificate, who.key)
    ours, theirs = socket.socketpair()

    def call() -> None:
        with client.wrap_socket(theirs, server_hostname="127.0.0.1") as calling:
            calling.recv(1)

    caller = threading.Thread(target=call)
    caller.start()
    with server.wrap_socket(ours, server_side=True) as secured:
        found = tls.proofs(secured)
        secured.sendall(b".")
        caller.join(30)
    return found


def test_it_says_what_the_ssl_module_sees(world: World, tmp_path: Path) -> None:
    assert facts(der(world.modality)) == seen_by_ssl(world, world.modality)
    made = Identity(tmp_path / "rich.pem", tmp_path / "rich.key")
    request = tmp_path / "rich.csr"
    openssl("req", "-utf8", "-newkey", "rsa:2048", "-nodes", "-keyout", made.key, "-subj", SUBJECT, "-out", request)
    signed_by = ("-CA", world.ca.certificate, "-CAkey", world.ca.key, "-CAcreateserial")
    openssl("x509", "-req", "-in", request, *signed_by, "-days", 2, "-out", made.certificate)
    assert facts(der(made)) == seen_by_ssl(world, made)
    assert {"O=Hôpital, Nord", "CN=CT1 MR", "DC=org", "EMAILADDRESS=ct1@example.org"} <= facts(der(made))


@pytest.mark.parametrize("days", [-1, 2, 12000])
def test_until_when_it_is_valid(world: World, tmp_path: Path, days: int) -> None:
    """After 2049 the year has four digits (RFC 5280 4.1.2.5)."""
    made = certificates.identity(tmp_path, "dated", world.ca, days)
    said = openssl_end(made)
    assert valid_until(der(made)).timestamp() == ssl.cert_time_to_seconds(said)


def openssl_end(who: Identity) -> str:
    """When it ends, as openssl says it."""
    command = ["openssl", "x509", "-in", str(who.certificate), "-noout", "-enddate"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().partition("=")[2]


def test_it_comes_in_a_header_field(world: World) -> None:
    """RFC 9440 2.2"""
    encoded = der(world.modality)
    text = base64.b64encode(encoded).decode()
    assert proofs(f":{text}:") == facts(encoded)
    for wrong in ("", text, f":{text}", f":{text[:-8]}:", ":***:", "::", f":{text}:" * 200):
        assert proofs(wrong) == frozenset()


@given(st.binary(max_size=60), st.integers(0, 2000))
def test_no_bytes_do_anything_but_be_read_or_refused(world: World, junk: bytes, at: int) -> None:
    whole = der(world.modality)
    for encoded in (junk, whole[:at], whole[:at] + junk + whole[at + len(junk) :]):
        try:
            found = facts(encoded)
        except ValueError:
            continue
        assert any(fact.startswith("sha256:") for fact in found)
