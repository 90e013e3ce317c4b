"""The Maximum Length negotiation (PS3.8 D.1) over bare sockets: ours is announced and kept, theirs is respected."""

import socket
import struct
from collections.abc import Iterator

import pytest
from pydicom.datadict import tag_for_keyword

from fixtures import upper_layer as ul
from fixtures.builders import a_ct
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.pynetdicom_scu import scu
from relais.dicom.attributes import Level
from relais.dicom.query import Query
from relais.peers.identifier import decode, encode, of_query

pytestmark = pytest.mark.anywhere("is about PDUs")

STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING = 0xFF00
OURS = 16384


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("node"), max_pdu=OURS) as node:
        ds = a_ct(
            StudyDescription="A study with a description that takes some space", PatientName="Long^Name^Of^Somebody"
        )
        with scu(node.port, [(ul.CT, [ul.EXPLICIT_VR_LITTLE_ENDIAN])]) as assoc:
            assert assoc.send_c_store(ds).Status == 0
        yield node


def asked(max_pdu: int) -> bytes:
    return ul.associate_rq([(STUDY_FIND, (ul.EXPLICIT_VR_LITTLE_ENDIAN,))], max_pdu=max_pdu)


def identifier() -> bytes:
    keys = frozenset(tag_for_keyword(keyword) or 0 for keyword in ("PatientName", "StudyDescription", "StudyDate"))
    return encode(of_query(Query(Level.STUDY, return_keys=keys)), ul.EXPLICIT_VR_LITTLE_ENDIAN)


def find(connection: socket.socket) -> tuple[list[int], bytes]:
    """The lengths of all PDUs that answer a query, and the data set of its one pending response."""
    request = ul.command(e0002=STUDY_FIND, e0100=0x0020, e0110=1, e0700=0, e0800=1)
    connection.sendall(ul.pdv(3, request) + ul.pdv(2, identifier()))
    lengths, commands, found, is_final = [], b"", b"", False
    while not is_final:
        kind, body = ul.read_pdu(connection)
        assert kind == ul.P_DATA_TF
        lengths.append(len(body))
        at = 0
        while at < len(body):
            length, _, control = struct.unpack_from(">IBB", body, at)
            fragment = body[at + ul.PDV_HEADER_BYTES : at + 4 + length]
            at += 4 + length
            if control & 1:
                commands += fragment
                if control & 2:
                    is_final = ul.status_of(bytes(ul.PDV_HEADER_BYTES) + commands) != PENDING
                    commands = b""
            else:
                found += fragment
    return lengths, found


@pytest.mark.parametrize("theirs", [64, 128, 1024, 131072, 0])
def test_no_pdu_of_ours_is_longer_than_the_peer_takes(node: DimseNode, theirs: int) -> None:
    """Trap 18; 0 means that there is no limit."""
    with ul.associate(node.port, asked(theirs)) as connection:
        lengths, found = find(connection)
        ul.release(connection)
    assert all(length <= (theirs or OURS * 64) for length in lengths)
    assert len(lengths) > 3 or theirs not in (64, 128)
    answer = decode(found, ul.EXPLICIT_VR_LITTLE_ENDIAN)
    assert answer["00081030"]["Value"] == ["A study with a description that takes some space"]


def test_the_longest_pdu_that_we_ask_for_is_announced(node: DimseNode) -> None:
    """Trap 18."""
    with socket.create_connection(("127.0.0.1", node.port), 30) as connection:
        connection.sendall(asked(4096))
        kind, body = ul.read_pdu(connection)
        assert kind == ul.A_ASSOCIATE_AC
        assert struct.pack(">BxHI", 0x51, 4, OURS) in body
