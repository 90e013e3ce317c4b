"""Requests of an association that no client makes (PS3.8 9.3.2), with either engine: an answer at once, and no more."""

import socket
from collections.abc import Iterator

import pytest

from fixtures import upper_layer as ul
from fixtures.dimse_node import DimseNode, dimse_node
from fixtures.waiting import eventually
from relais.dimse.settings import ENGINES

pytestmark = pytest.mark.anywhere("is about PDUs")

ITEM_BYTES = 4
PDU_HEADER_BYTES = 6
CONTEXT_ITEM, TRANSFER_SYNTAX_ITEM, USER_ITEM = 0x20, 0x40, 0x50


@pytest.fixture(scope="module", params=ENGINES)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DimseNode]:
    with dimse_node(tmp_path_factory.mktemp("node"), engine=request.param) as node:
        yield node


def with_context_id(number: int) -> bytes:
    """A request whose only presentation context has that ID."""
    rq = bytearray(ul.associate_rq())
    at = rq.index(bytes((CONTEXT_ITEM, 0)), 74)
    rq[at + ITEM_BYTES] = number
    return bytes(rq)


def with_item(kind: int, content: bytes) -> bytes:
    """A request with one more item in its User Information, which comes last."""
    rq, added = bytearray(ul.associate_rq()), ul.item(kind, content)
    at = rq.index(bytes((USER_ITEM, 0)), 74)
    rq[at + 2 : at + 4] = (len(rq) - at - ITEM_BYTES + len(added)).to_bytes(2)
    return ul.pdu(1, bytes(rq[PDU_HEADER_BYTES:]) + added)


@pytest.mark.parametrize(
    ("request_", "answers"),
    [
        pytest.param(with_context_id(0), {ul.A_ABORT}, id="context 0"),
        pytest.param(with_context_id(2), {ul.A_ABORT}, id="an even context"),
        pytest.param(with_context_id(255), {ul.A_ASSOCIATE_AC}, id="the last context"),
        pytest.param(ul.associate_rq(((ul.CT, ()),)), {ul.A_ASSOCIATE_AC, ul.A_ABORT}, id="no Transfer Syntax"),
        pytest.param(with_item(0x99, b"abc"), {ul.A_ASSOCIATE_AC}, id="an item of no known kind"),
        pytest.param(with_item(0x58, b"\1\1\0\3bob\0\0"), {ul.A_ASSOCIATE_AC}, id="a user"),
        pytest.param(with_item(0x58, b"\x09\1\0\3bob\0\0"), {ul.A_ASSOCIATE_AC}, id="a user in no known way"),
        pytest.param(with_item(0x58, b""), {ul.A_ABORT}, id="an empty user"),
        pytest.param(ul.associate_rq(called=""), {ul.A_ASSOCIATE_RJ}, id="nobody called"),
        pytest.param(ul.associate_rq(calling=""), {ul.A_ASSOCIATE_RJ}, id="nobody calling"),
        pytest.param(ul.associate_rq(()), {ul.A_ASSOCIATE_AC, ul.A_ABORT}, id="no context"),
    ],
)
def test_a_strange_request_is_answered_at_once(node: DimseNode, request_: bytes, answers: set[int]) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 10) as connection:
        connection.sendall(request_)
        assert ul.read_pdu(connection)[0] in answers
    assert eventually(lambda: not node.server._server.active_associations)  # type: ignore[union-attr]
    ul.release(ul.associate(node.port, ul.associate_rq()))
