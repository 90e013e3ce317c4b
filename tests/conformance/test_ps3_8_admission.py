"""Who gets in at the DIMSE door and what for, by AE title, address and certificate, and what others are told.

DCMTK and pynetdicom call; rejections are PS3.8 9.3.4.
"""

import json
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

import pytest

from fixtures import certificates, dcmtk
from fixtures import upper_layer as ul
from fixtures.builders import a_ct, part10
from fixtures.certificates import Identity, World, as_whom, door
from fixtures.dimse_node import ENGINE, DimseNode, dimse_node
from fixtures.waiting import eventually
from relais.access.policy import Mode
from relais.archive.ingest import store_part10
from relais.config import Config, ConfigError, load
from relais.dicom.origin import Channel, Origin
from relais.peers.settings import PeerSettings

NOT_RECOGNIZED = (ul.A_ASSOCIATE_RJ, bytes((0, 1, 1, 3)))  # permanent, service user, calling AE title
LOCAL_LIMIT = (ul.A_ASSOCIATE_RJ, bytes((0, 2, 3, 2)))  # transient, presentation layer, local limit exceeded
CT = ((ul.CT, (ul.EXPLICIT_VR_LITTLE_ENDIAN,)),)
LOCALHOST = "127.0.0.1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return certificates.world(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ct.dcm"
    path.write_bytes(part10(a_ct()))
    return path


def fingerprint(who: Identity) -> str:
    """As `openssl x509 -fingerprint -sha256` prints it, with our prefix."""
    digest = sha256(PEM_cert_to_DER_cert(who.certificate.read_text())).hexdigest().upper()
    return "sha256:" + ":".join(digest[at : at + 2] for at in range(0, 64, 2))


def configured(folder: Path, mode: Mode, peers: str, settings: Mapping[str, str]) -> Config:
    """As `relais serve` would read it."""
    of_door = "\n".join(f'{key} = "{value}"' for key, value in settings.items())
    file = folder / "relais.toml"
    file.write_text(f'[access]\nmode = "{mode}"\n[dimse]\n{of_door}\n{peers}')
    return load(file, {}).config


def served(folder: Path, config: Config) -> AbstractContextManager[DimseNode]:
    settings = {key: getattr(config.dimse, key) for key in ("tls_certificate", "tls_key", "tls_ca", "tls_client")}
    return dimse_node(folder / "node", config.peers, config.policy, **settings)


def a_peer(name: str, *lines: str, may: str = '"store"') -> str:
    return "\n".join(
        ("[[peers]]", f'name = "{name}"', f'ae_title = "{name}"', 'host = "127.0.0.1"', f"may = [{may}]", *lines, "")
    )


def stores(node: DimseNode, world: World, who: Identity | None, file: Path, calling: str = "CT1") -> bool:
    """Whether *calling*, who shows the certificate of *who*, gets in and stores."""
    options = as_whom(who, world.ca) if who else ("+tla", "+cf", world.ca.certificate)
    ran = dcmtk.storescu(node.port, [file], "-aet", calling, *options)
    return ran.statuses == [0]


@pytest.mark.parametrize("rule", ["by fingerprint", "by subject", "one of two"])
def test_the_right_name_with_the_wrong_certificate_stays_out(
    tmp_path: Path, world: World, file: Path, rule: str
) -> None:
    certificate = {
        "by fingerprint": [fingerprint(world.modality)],
        "by subject": ["CN=modality"],
        "one of two": ["CN=somebody, O=else", fingerprint(world.modality)],
    }[rule]
    peers = a_peer("CT1", f"certificates = {certificate}")
    config = configured(tmp_path, Mode.ENFORCED, peers, door(world, "optional"))
    with served(tmp_path, config) as node:
        assert stores(node, world, world.modality, file)
        assert not stores(node, world, world.node, file)
        assert not stores(node, world, None, file)
        assert not stores(node, world, world.modality, file, calling="CT2")
        assert node.instances == 1


def test_an_open_node_asks_for_no_certificate_and_no_name(tmp_path: Path, world: World, file: Path) -> None:
    peers = a_peer("CT1", 'certificates = ["CN=modality"]', 'networks = ["10.0.0.0/8"]')
    config = configured(tmp_path, Mode.OPEN_LOOPBACK, peers, door(world, "optional"))
    with served(tmp_path, config) as node:
        assert stores(node, world, world.node, file)
        assert stores(node, world, None, file, calling="STRANGER")


def test_who_is_rejected_is_told_why_and_the_log_shows_the_certificate(
    tmp_path: Path, world: World, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    peers = a_peer("CT1", 'certificates = ["CN=modality"]')
    with served(tmp_path, configured(tmp_path, Mode.ENFORCED, peers, door(world, "optional"))) as node:
        ran = dcmtk.storescu(node.port, [file], "-aet", "CT1", *as_whom(world.node, world.ca))
        assert "Reason: Calling AE Title Not Recognized" in ran.output
        shown = "sha256:" + fingerprint(world.node).removeprefix("sha256:").replace(":", "").lower()
        assert eventually(lambda: f"certificate={shown}" in caplog.text, 120)
        assert "not recognized" in caplog.text


def test_each_peer_does_what_it_may_and_no_more(tmp_path: Path, file: Path) -> None:
    peers = a_peer("SENDS") + a_peer("READS", may='"search", "retrieve"') + a_peer("SILENT", may="")
    with served(tmp_path, configured(tmp_path, Mode.ENFORCED, peers, {})) as node:
        assert dcmtk.storescu(node.port, [file], "-aet", "SENDS").statuses == [0]
        assert dcmtk.storescu(node.port, [file], "-aet", "READS").statuses == [0x0124]
        keys = ["QueryRetrieveLevel=STUDY", "StudyInstanceUID"]
        found, answers = dcmtk.findscu(node.port, keys, "-aet", "READS", into=tmp_path / "found")
        assert (found.statuses[-1], len(answers)) == (0, 1)
        refused, none = dcmtk.findscu(node.port, keys, "-aet", "SENDS", into=tmp_path / "refused")
        assert (refused.statuses, none) == ([0x0124], [])
        assert dcmtk.storescu(node.port, [file], "-aet", "SILENT").statuses == [0x0124]


def moved(node: DimseNode) -> list[tuple[str, str]]:
    """Who had instances sent, and where, as the audit tells."""
    with node.archive.db.read() as connection:
        found = connection.execute("SELECT name, detail FROM audit WHERE action = 'move' ORDER BY id").fetchall()
    return [(row[0], json.loads(row[1])["to"]) for row in found]


def test_a_peer_moves_only_to_whom_it_may(tmp_path: Path) -> None:
    """PS3.4 C.4.2.1.5: 0124 where that is not allowed, A801 where there is no such peer for who may know."""
    with dcmtk.storescp(tmp_path / "got", ae_title="NEAR") as near:
        where = f"port = {near.port}"
        known = a_peer("NEAR", where) + a_peer("FAR", where)
        ward = a_peer("WARD", 'move_to = ["NEAR"]', may='"move"') + a_peer("ALL", may='"move"')
        with served(tmp_path, configured(tmp_path, Mode.ENFORCED, known + ward, {})) as node:
            ds = a_ct()
            store_part10(node.archive, BytesIO(part10(ds)), Origin(Channel.IMPORT))
            keys = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={ds.StudyInstanceUID}"]
            asked = [("WARD", "FAR"), ("WARD", "NOBODY"), ("NEAR", "NEAR"), ("NEAR", "NOBODY"), ("ALL", "NOBODY")]
            asked += [("WARD", "NEAR"), ("ALL", "FAR")]
            said = [dcmtk.movescu(node.port, keys, "-aet", who, destination=to).statuses[-1] for who, to in asked]
            assert eventually(lambda: moved(node) == [("WARD", "NEAR"), ("ALL", "FAR")], 120)
        assert said == [0x0124, 0x0124, 0x0124, 0x0124, 0xA801, 0, 0]


def test_a_peer_holds_as_many_associations_as_it_may(tmp_path: Path) -> None:
    few = PeerSettings("FEW", "FEW", LOCALHOST, max_associations=2)
    with dimse_node(tmp_path, [few]) as node, ExitStack() as open_:
        few_rq, many_rq = ul.associate_rq(CT, calling="FEW"), ul.associate_rq(CT, calling="MANY")
        for _ in range(2):
            last = open_.enter_context(ul.associate(node.port, few_rq))
        assert answer_to(node.port, few_rq) == LOCAL_LIMIT
        for _ in range(5):
            open_.enter_context(ul.associate(node.port, many_rq))
        assert answer_to(node.port, few_rq) == LOCAL_LIMIT
        ul.release(last)
        assert eventually(lambda: answer_to(node.port, few_rq)[0] == ul.A_ASSOCIATE_AC, 120)


def test_in_all_no_more_than_the_door_holds(tmp_path: Path) -> None:
    with dimse_node(tmp_path, max_associations=3) as node, ExitStack() as open_:
        for number in range(3):
            open_.enter_context(ul.associate(node.port, ul.associate_rq(CT, calling=f"CT{number}")))
        assert answer_to(node.port, ul.associate_rq(CT, calling="CT9")) == LOCAL_LIMIT


def test_strangers_and_those_from_elsewhere_are_rejected_for_good(tmp_path: Path) -> None:
    peers = a_peer("CT1", 'networks = ["127.0.0.2"]')
    with served(tmp_path, configured(tmp_path, Mode.ENFORCED, peers, {})) as node:
        assert answer_to(node.port, ul.associate_rq(CT, calling="MALLORY")) == NOT_RECOGNIZED
        assert answer_to(node.port, ul.associate_rq(CT, calling="CT1")) == NOT_RECOGNIZED
        assert answer_to(node.port, ul.associate_rq(CT, calling="CT1"), "127.0.0.2")[0] == ul.A_ASSOCIATE_AC


def answer_to(port: int, request: bytes, source: str = LOCALHOST) -> tuple[int, bytes]:
    """The PDU that answers the A-ASSOCIATE-RQ."""
    with socket.create_connection((LOCALHOST, port), 120, (source, 0)) as connection:
        connection.sendall(request)
        return ul.read_pdu(connection)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('certificates = ["CN=CT1"]', "CT1: certificates are given, but callers show none"),
        ('move_to = ["NOBODY"]', "CT1: move_to names NOBODY, but there is no such peer"),
        ('certificates = ["sha256:12"]', 'certificates must hold "sha256:<64 hex digits>" or subjects'),
        ("max_associations = -1", "max_associations must be from 0"),
    ],
)
def test_rules_that_make_no_sense_stop_the_start(tmp_path: Path, lines: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        configured(tmp_path, Mode.ENFORCED, a_peer("CT1", lines), {})


def answered(node: DimseNode, header: bytes) -> int | None:
    """The type of the PDU that answers CT1, who is announced by *header*; None if there is none."""
    with socket.create_connection((LOCALHOST, node.port), 120) as connection, suppress(ConnectionResetError):
        connection.sendall(header + ul.associate_rq(CT, calling="CT1"))
        return (connection.recv(1) or [None])[0]
    return None


@pytest.mark.skipif(ENGINE != "inline", reason="the stock engine knows no balancers")
def test_behind_a_balancer_its_header_says_who_calls(
    tmp_path: Path, world: World, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(tmp_path, Mode.ENFORCED, a_peer("CT1", 'networks = ["10.1.0.0/16"]'), {})
    here = b"PROXY TCP4 10.1.2.3 10.0.0.1 50000 104\r\n"
    with dimse_node(tmp_path / "node", config.peers, config.policy, proxies=("127.0.0.1",)) as node:
        caplog.set_level("INFO")
        assert answered(node, here) == ul.A_ASSOCIATE_AC
        assert answered(node, here.replace(b"10.1.2.3", b"10.2.2.3")) == ul.A_ASSOCIATE_RJ
        assert answered(node, b"PROXY UNKNOWN\r\n") == ul.A_ASSOCIATE_RJ  # the balancer itself is no peer
        assert answered(node, b"") is None
        assert eventually(lambda: "address=10.2.2.3 outcome=rejected" in caplog.text, 120)
    with dimse_node(tmp_path / "other", config.peers, config.policy) as node:
        assert answered(node, here) != ul.A_ASSOCIATE_AC  # nobody may say so who is not a balancer of ours
