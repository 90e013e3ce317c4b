"""User Identity negotiation (PS3.7 D.3.3.7), and who is let in at all: DCMTK and pynetdicom say who they are."""

import logging
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pynetdicom import AE, _config
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from fixtures import dcmtk
from fixtures.builders import a_ct, dataset_bytes, part10
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.node import content_of
from fixtures.pynetdicom_scu import scu, store_bytes
from relais.access.policy import Action, Mode, Policy, Rule
from relais.dicom.part10 import origin_of, read_head

CT, EXPLICIT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.1"
PASSCODE = "never-written-down"
STORING = {"STORESCU": Rule(frozenset({Action.STORE}))}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DimseNode]:
    with dimse_node(tmp_path / "node") as node:
        yield node


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ct.dcm"
    path.write_bytes(part10(a_ct()))
    return path


def users(node: DimseNode) -> list[str]:
    with node.archive.db.read() as connection:
        return [row[0] for row in connection.execute('SELECT "user" FROM origin ORDER BY id')]


def answered(node: DimseNode, kind: int, primary: bytes) -> bytes | None:
    """The User Identity response to that identity, None without one; a response was asked for."""
    _config.LOG_HANDLER_LEVEL = "none"
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field, item.positive_response_requested = kind, primary, True
    item.secondary_field = PASSCODE.encode() if kind == 2 else b""
    ae = AE("PYNETDICOM")
    ae.add_requested_context(VERIFICATION)
    assoc = ae.associate("127.0.0.1", node.port, ext_neg=[item])
    assert assoc.is_established
    response = assoc.acceptor.user_identity
    assoc.release()
    return None if response is None else response.server_response


@pytest.mark.parametrize("options", [("-usr", "rosa"), ("-usr", "rosa", "-pwd", PASSCODE, "-rsp")])
def test_the_user_goes_with_the_instance_and_the_passcode_nowhere(
    node: DimseNode, file: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...]
) -> None:
    caplog.set_level(logging.DEBUG)
    assert dcmtk.storescu(node.port, [file], *options).statuses == [0]
    assert users(node) == ["rosa"]
    [key] = node.kept
    with node.archive.store.open(key) as stream:
        origin = origin_of(read_head(stream.read)[0])
    assert origin is not None
    assert (origin.user, origin.calling_ae_title) == ("rosa", "STORESCU")
    with node.archive.db.read() as connection:
        [detail] = connection.execute("SELECT detail FROM audit").fetchone()
    assert '"user":"rosa"' in detail
    assert PASSCODE not in caplog.text + detail
    assert PASSCODE.encode() not in content_of(node.archive, key)


def test_a_response_is_given_where_it_was_asked_for_and_can_be(node: DimseNode) -> None:
    """PS3.7 D.3.3.7.2: of zero length for names; tickets, assertions and tokens would be answered in kind."""
    assert answered(node, 1, b"rosa") == b""
    assert answered(node, 2, b"rosa") == b""
    assert [answered(node, kind, b"ticket") for kind in (3, 4, 5)] == [None] * 3


@pytest.mark.parametrize("name", [b"a" * 1000, b"line\nbreak\x00\x1b[31m", b"\xff\xfe", "hélène".encode()])
def test_a_strange_name_harms_nothing(node: DimseNode, name: bytes) -> None:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = 1, name
    ae = AE("PYNETDICOM")
    ae.add_requested_context(CT, EXPLICIT)
    ds = a_ct()
    assoc = ae.associate("127.0.0.1", node.port, ext_neg=[item])
    assert assoc.send_c_store(ds).Status == 0
    assoc.release()
    [user] = users(node)
    assert len(user) <= 64
    assert user.isprintable()


def store_as(node: DimseNode, calling: str) -> int | None:
    """The status, None if the association was rejected because of who called (PS3.8 9.3.4)."""
    ds = a_ct()
    with scu(node.port, [(CT, [EXPLICIT])], calling=calling) as assoc:
        if assoc.is_rejected:
            answer = assoc.acceptor.primitive
            assert answer is not None
            assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3)
            return None
        return int(store_bytes(assoc, dataset_bytes(ds), sop_class_uid=CT, sop_instance_uid=ds.SOPInstanceUID).Status)


def test_strangers_are_rejected_whatever_they_ask(tmp_path: Path) -> None:
    with dimse_node(tmp_path / "node", policy=Policy(Mode.ENFORCED, STORING)) as node:
        assert store_as(node, "STRANGER") is None
        assert store_as(node, "STORESCU") == 0
        stranger = dcmtk.echoscu(node.port, calling="STRANGER")
        assert stranger.code != 0
        assert "Calling AE Title Not Recognized" in stranger.output
        assert dcmtk.echoscu(node.port, calling="STORESCU").code == 0


def test_the_own_title_opens_no_more_than_the_nodes_own_check_needs(tmp_path: Path) -> None:
    with dimse_node(tmp_path / "node", policy=Policy(Mode.ENFORCED, STORING)) as node:
        assert dcmtk.echoscu(node.port, calling="RELAIS").code == 0
        assert store_as(node, "RELAIS") is None


@pytest.mark.parametrize(("network", "status"), [("127.0.0.0/8", 0), ("10.1.0.0/16", None), ("::/0", None)])
def test_a_peer_counts_only_from_its_networks(tmp_path: Path, network: str, status: int | None) -> None:
    policy = Policy(Mode.ENFORCED, {"STORESCU": Rule(frozenset({Action.STORE}), [ip_network(network)])})
    with dimse_node(tmp_path / "node", policy=policy) as node:
        assert store_as(node, "STORESCU") == status
