"""TLS where the node calls (PS3.15 B.12): DCMTK and a node at the other end; sentences about what fails."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from fixtures import certificates, dcmtk
from fixtures.builders import a_ct, dataset_bytes, part10
from fixtures.certificates import World, as_whom, door
from fixtures.commitment import PROPOSAL, ask, references
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.ports import free_port
from fixtures.pynetdicom_scu import scu
from relais.archive import commitment_asked
from relais.archive.ingest import store_part10
from relais.config import Config, load
from relais.dicom.attributes import Level
from relais.dicom.commitment import Reference
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Query
from relais.errors import Unavailable
from relais.node.commitments import Commitments
from relais.node.outgoing import of_file
from relais.peers.base import Sent
from relais.peers.dimse import DimsePeer
from relais.peers.registry import Registry
from relais.peers.settings import PeerSettings

pytestmark = pytest.mark.anywhere("is about TLS")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


def secured(world: World, port: int, ae_title: str = "STORESCP", **settings: Any) -> PeerSettings:
    """A peer that is called over TLS, as the node of *world*, unless *settings* say otherwise."""
    given = {
        "host": "127.0.0.1",
        "tls_ca": str(world.ca.certificate),
        "tls_certificate": str(world.node.certificate),
        "tls_key": str(world.node.key),
    }
    return PeerSettings("SOUTH", ae_title, port=port, timeout_s=10, tls=True, **(given | settings))


def why_not(peer: PeerSettings) -> str:
    with pytest.raises(Unavailable) as refused:
        DimsePeer(peer).echo()
    return refused.value.message


def keep_one(node: DimseNode) -> Any:
    ds = a_ct()
    store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
    return ds


def send(peer: PeerSettings, folder: Path, node: DimseNode) -> list[Sent]:
    path = folder / "sent.dcm"
    path.write_bytes(part10(a_ct()))
    return list(DimsePeer(peer).store([of_file(path, node.archive.pixels)]))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_a_move_goes_over_tls_with_each_profile_of_dcmtk(tmp_path: Path, world: World, profile: str) -> None:
    """The Data Set arrives as it is kept. DCMTK asks for our certificate, and accepts the one that we show."""
    options = (*as_whom(world.modality, world.ca), profile)
    with (
        dcmtk.storescp(tmp_path / "got", *options) as there,
        dimse_node(tmp_path / "node", [secured(world, there.port)]) as node,
    ):
        ds = keep_one(node)
        keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={ds.StudyInstanceUID}"]
        assert dcmtk.movescu(node.port, keys, destination="STORESCP").statuses[-1] == 0
        [file] = there.files
        assert file.read_bytes().endswith(dataset_bytes(ds))


def test_a_node_that_wants_certificates_is_asked_searched_and_sent_to(
    tmp_path: Path, world: World, node: DimseNode
) -> None:
    with dimse_node(tmp_path / "south", **door(world, "required")) as south:
        peer = secured(world, south.port, "RELAIS")
        DimsePeer(peer).echo()
        [sent] = send(peer, tmp_path, node)
        assert sent.status == 0
        assert len(list(DimsePeer(peer).search(Query(Level.STUDY)))) == south.instances == 1


def test_storage_commitment_is_asked_and_told_over_tls(tmp_path: Path, world: World) -> None:
    """Told over an association of its own, as the requester has gone (PS3.4 J.3.3)."""
    with dimse_node(tmp_path / "north") as north, dimse_node(tmp_path / "south", **door(world, "required")) as south:
        ds = keep_one(south)
        wanted = [Reference(ds.SOPClassUID, ds.SOPInstanceUID)]
        report = commitment_asked.commit(north.archive, DimsePeer(secured(world, south.port, "RELAIS")), wanted, 120)
        assert report is not None
        assert report.committed == tuple(wanted)
        transaction_uid = report.transaction_uid
        [kept] = [keep_one(north)]
        commitment_asked.ask(south.archive, "RELAIS", commitment_asked.Request("2.25.77", tuple(wanted)))
        with scu(north.port, [PROPOSAL], calling="RELAIS") as assoc:
            assert ask(assoc, references(kept, transaction_uid="2.25.77")).Status == 0
        teller = Commitments(north.archive, Registry([secured(world, south.port, "RELAIS")]), lambda: False)
        while not teller.step():
            pass
        told = commitment_asked.answer_to(south.archive, "2.25.77")
        assert told is not None
        assert [one.sop_instance_uid for one in told.committed] == [kept.SOPInstanceUID]
        assert transaction_uid != "2.25.77"


@pytest.mark.parametrize(
    ("shown", "settings", "expected"),
    [
        ("stranger", {}, "shows a certificate that is not accepted: unable to get local issuer certificate"),
        ("modality", {"tls_name": "south.example.org"}, "is not valid for 'south.example.org'"),
    ],
)
def test_a_peer_with_the_wrong_certificate_gets_nothing(
    tmp_path: Path, world: World, shown: str, settings: dict[str, str], expected: str
) -> None:
    with dcmtk.storescp(tmp_path / "got", *as_whom(getattr(world, shown), world.ca)) as there:
        assert expected in why_not(secured(world, there.port, **settings))
        assert there.files == []


@pytest.mark.parametrize("name", ["*", "127.0.0.1"])
def test_the_name_in_a_certificate_may_be_another_than_the_host(tmp_path: Path, world: World, name: str) -> None:
    with dcmtk.storescp(tmp_path / "got", *as_whom(world.modality, world.ca)) as there:
        DimsePeer(secured(world, there.port, host="localhost", tls_name=name)).echo()


def test_any_name_is_not_any_certificate(tmp_path: Path, world: World) -> None:
    with dcmtk.storescp(tmp_path / "got", *as_whom(world.stranger, world.ca)) as there:
        assert "not accepted" in why_not(secured(world, there.port, tls_name="*"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_peer_that_wants_our_certificate_says_so(world: World, version: ssl.TLSVersion) -> None:
    """In TLS 1.3 it says so when we take ourselves to be connected already."""
    with calling_for_certificates(world, version) as port:
        assert "refused TLS with us: " in why_not(secured(world, port, tls_certificate="", tls_key=""))


@contextmanager
def calling_for_certificates(world: World, version: ssl.TLSVersion) -> Iterator[int]:
    """A server that wants a certificate from who calls."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.node.certificate, world.node.key)
    context.load_verify_locations(world.ca.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    refused: list[OSError] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        try:
            context.wrap_socket(connection, server_side=True)
        except OSError as exc:
            refused.append(exc)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        thread.join(120)
    assert refused


def test_a_peer_that_does_not_speak_tls_is_told_from_one_that_is_away(world: World, node: DimseNode) -> None:
    assert "does not speak the TLS that we do" in why_not(secured(world, node.port, "RELAIS"))
    assert "does not answer" in why_not(secured(world, free_port()))


def test_a_peer_that_stalls_in_the_handshake_is_let_go(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stalling = secured(world, silent.getsockname()[1])
        settings = PeerSettings(
            "SOUTH", "X", "127.0.0.1", stalling.port, timeout_s=0.5, tls=True, tls_ca=stalling.tls_ca
        )
        assert "does not answer" in why_not(settings)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tls_ca": "missing.pem"}, "tls_ca missing.pem cannot be used: no such file"),
        ({"tls_key": "missing.key"}, "tls_certificate .* and its key cannot be used"),
        ({"tls": False}, "tls must be true where"),
        ({"tls_name": ".example.org"}, "tls_name"),
    ],
)
def test_what_cannot_be_used_is_told_before_the_start(world: World, change: dict[str, Any], expected: str) -> None:
    settings = {"tls": True, "tls_ca": str(world.ca.certificate), "tls_certificate": str(world.node.certificate)}
    settings["tls_key"] = str(world.node.key)
    with pytest.raises(ValueError, match=expected):
        PeerSettings("SOUTH", "SOUTH", "127.0.0.1", **(settings | change))


def configured(world: World, folder: Path, peer: str) -> Config:
    """A node whose door has TLS, with one peer besides."""
    of_door = "\n".join(f'{key} = "{value}"' for key, value in door(world, "required").items())
    file = folder / "relais.toml"
    file.write_text(f'[dimse]\n{of_door}\n[[peers]]\nname = "S"\nae_title = "S"\nhost = "127.0.0.1"\n{peer}')
    return load(file, {}).config


def test_what_a_peer_does_not_say_of_tls_is_as_at_the_door(tmp_path: Path, world: World) -> None:
    [peer] = configured(world, tmp_path, "tls = true").peers
    assert (peer.tls_ca, peer.tls_certificate) == (str(world.ca.certificate), str(world.node.certificate))
    own = f'tls = true\ntls_certificate = "{world.modality.certificate}"\ntls_key = "{world.modality.key}"\n'
    [peer] = configured(world, tmp_path, own).peers
    assert (peer.tls_ca, peer.tls_key) == (str(world.ca.certificate), str(world.modality.key))
    [peer] = configured(world, tmp_path, "").peers
    assert peer.secure is None
