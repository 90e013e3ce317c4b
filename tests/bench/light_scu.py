"""C-ECHO, C-FIND, C-GET and C-MOVE asked at next to no cost, answers counted and not looked at. Knows no peer."""

from dataclasses import dataclass

from bench import wire
from bench.wire import Association, Message
from fixtures import upper_layer as ul

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))  # Study Root
EXPLICIT = (ul.EXPLICIT_VR_LITTLE_ENDIAN,)
STORAGE_CONTEXT_ID = 3
C_STORE_RQ = 0x0001


@dataclass(frozen=True)
class Retrieved:
    """What came, and what the peer says of it."""

    instances: int
    bytes: int
    status: int


def echo(port: int, called: str) -> int:
    """A whole association for one C-ECHO; its status."""
    assoc = Association(port, [(ul.VERIFICATION, EXPLICIT)], called)
    assoc.send(ul.pdv(3, ul.echo_rq(1)))
    status = next(assoc.messages()).status
    assoc.release()
    return status


def find(port: int, called: str, identifier: bytes) -> int:
    """How many matches there are. Raises ConnectionError if the search fails."""
    assoc = finding(port, called)
    matches = found(assoc, identifier)
    assoc.release()
    return matches


def finding(port: int, called: str) -> Association:
    """An association to search over."""
    return Association(port, [(FIND, EXPLICIT)], called)


def found(assoc: Association, identifier: bytes) -> int:
    """The same over an association that stays open."""
    assoc.send(ul.pdv(3, _request(FIND, wire.C_FIND_RQ)), *ul.fragments(identifier, assoc.max_pdu))
    matches = 0
    for response in assoc.messages():
        if response.status not in wire.PENDING:
            break
        matches += 1
    if response.status:
        raise ConnectionError(f"C-FIND ended with {response.status:04X}")
    return matches


def get(port: int, called: str, study_instance_uid: str, sop_class_uid: str) -> Retrieved:
    """A study by C-GET."""
    assoc = Association(port, [(GET, EXPLICIT), (sop_class_uid, EXPLICIT)], called, as_scp=sop_class_uid)
    assoc.send(ul.pdv(3, _request(GET, wire.C_GET_RQ)), *ul.fragments(_study(study_instance_uid), assoc.max_pdu))
    instances = received = 0
    for message in assoc.messages():
        if message.number(0x0100) == C_STORE_RQ:
            assoc.send(ul.pdv(3, store_rsp(message), message.context_id))
            instances += 1
            received += message.dataset_bytes
        elif message.status not in wire.PENDING:
            break
    assoc.release()
    return Retrieved(instances, received, message.status)


def move(port: int, called: str, study_instance_uid: str, destination: str) -> int:
    """A study by C-MOVE; the final status."""
    assoc = Association(port, [(MOVE, EXPLICIT)], called)
    request = _request(MOVE, wire.C_MOVE_RQ, e0600=destination)
    assoc.send(ul.pdv(3, request), *ul.fragments(_study(study_instance_uid), assoc.max_pdu))
    status = next(response.status for response in assoc.messages() if response.status not in wire.PENDING)
    assoc.release()
    return status


def store_rsp(request: Message) -> bytes:
    """The command set that says Success to a C-STORE-RQ."""
    return ul.command(
        e0002=request.text(0x0002),
        e0100=wire.C_STORE_RSP,
        e0120=request.number(0x0110),
        e0800=ul.NO_DATA_SET,
        e0900=0,
        e1000=request.text(0x1000),
    )


def _request(sop_class_uid: str, service: int, **more: str) -> bytes:
    return ul.command(e0002=sop_class_uid, e0100=service, e0110=1, e0700=0, e0800=1, **more)


def _study(study_instance_uid: str) -> bytes:
    return wire.identifier(CS00080052="STUDY", UI0020000D=study_instance_uid)
