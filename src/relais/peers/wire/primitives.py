"""Command sets as pynetdicom's DIMSE primitives and back: the five DIMSE-C services and C-CANCEL (PS3.7 9.3).

Knows which fields each message has; whatever else there is (DIMSE-N) is left to pynetdicom's own way. The primitives
made here are plain: subclasses whose fields are attributes instead of properties that check what is given to them,
which costs more than all the rest of a message. What a peer says is checked where it is used.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE, DimsePrimitiveType

from relais.peers.wire import command_set as cs
from relais.peers.wire.command_set import CommandSet, Value

RESPONSE = 0x8000  # the bit of Command Field that tells a response (PS3.7 E.1)
C_STORE_RQ, C_GET_RQ, C_FIND_RQ, C_MOVE_RQ, C_ECHO_RQ, C_CANCEL_RQ = 0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0FFF
DIMSE_N = frozenset(range(0x0100, 0x0160, 0x10))  # N-EVENT-REPORT to N-DELETE (PS3.7 E.1)

_KEYWORDS = {
    cs.AFFECTED_SOP_CLASS_UID: "AffectedSOPClassUID",
    cs.MESSAGE_ID: "MessageID",
    cs.MESSAGE_ID_BEING_RESPONDED_TO: "MessageIDBeingRespondedTo",
    cs.MOVE_DESTINATION: "MoveDestination",
    cs.PRIORITY: "Priority",
    cs.STATUS: "Status",
    cs.OFFENDING_ELEMENT: "OffendingElement",
    cs.ERROR_COMMENT: "ErrorComment",
    cs.AFFECTED_SOP_INSTANCE_UID: "AffectedSOPInstanceUID",
    cs.REMAINING: "NumberOfRemainingSuboperations",
    cs.COMPLETED: "NumberOfCompletedSuboperations",
    cs.FAILED: "NumberOfFailedSuboperations",
    cs.WARNING: "NumberOfWarningSuboperations",
    cs.MOVE_ORIGINATOR_AE_TITLE: "MoveOriginatorApplicationEntityTitle",
    cs.MOVE_ORIGINATOR_MESSAGE_ID: "MoveOriginatorMessageID",
}
_REQUEST = (cs.AFFECTED_SOP_CLASS_UID, cs.MESSAGE_ID)
_RESPONSE = (
    *(cs.AFFECTED_SOP_CLASS_UID, cs.MESSAGE_ID_BEING_RESPONDED_TO),
    *(cs.STATUS, cs.OFFENDING_ELEMENT, cs.ERROR_COMMENT),
)
_COUNTERS = (cs.REMAINING, cs.COMPLETED, cs.FAILED, cs.WARNING)
_ORIGINATOR = (cs.MOVE_ORIGINATOR_AE_TITLE, cs.MOVE_ORIGINATOR_MESSAGE_ID)

_FIELDS: Mapping[int, tuple[int, ...]] = {  # PS3.7 9.3.1 to 9.3.5
    C_STORE_RQ: (*_REQUEST, cs.PRIORITY, cs.AFFECTED_SOP_INSTANCE_UID, *_ORIGINATOR),
    C_STORE_RQ | RESPONSE: (*_RESPONSE, cs.AFFECTED_SOP_INSTANCE_UID),
    C_FIND_RQ: (*_REQUEST, cs.PRIORITY),
    C_FIND_RQ | RESPONSE: _RESPONSE,
    C_GET_RQ: (*_REQUEST, cs.PRIORITY),
    C_GET_RQ | RESPONSE: (*_RESPONSE, *_COUNTERS),
    C_MOVE_RQ: (*_REQUEST, cs.PRIORITY, cs.MOVE_DESTINATION),
    C_MOVE_RQ | RESPONSE: (*_RESPONSE, *_COUNTERS),
    C_ECHO_RQ: _REQUEST,
    C_ECHO_RQ | RESPONSE: (cs.AFFECTED_SOP_CLASS_UID, cs.MESSAGE_ID_BEING_RESPONDED_TO, cs.STATUS),
    C_CANCEL_RQ: (cs.MESSAGE_ID_BEING_RESPONDED_TO,),
}
_ENCODED = {field: tuple((element, _KEYWORDS[element]) for element in elements) for field, elements in _FIELDS.items()}
_DATA_SETS = {
    C_STORE_RQ: "DataSet",
    **dict.fromkeys((C_FIND_RQ, C_FIND_RQ | RESPONSE, C_MOVE_RQ, C_MOVE_RQ | RESPONSE), "Identifier"),
    **dict.fromkeys((C_GET_RQ, C_GET_RQ | RESPONSE), "Identifier"),
}
_STOCK: Mapping[int, type[Any]] = {
    C_STORE_RQ: C_STORE,
    C_FIND_RQ: C_FIND,
    C_GET_RQ: C_GET,
    C_MOVE_RQ: C_MOVE,
    C_ECHO_RQ: C_ECHO,
    C_CANCEL_RQ: C_CANCEL,
}


def _plain(stock: type[Any]) -> type[Any]:
    model = stock()
    keywords = {*_KEYWORDS.values(), *_DATA_SETS.values()}
    fields = {keyword: getattr(model, keyword) for keyword in keywords if hasattr(model, keyword)}
    return type(stock.__name__, (stock,), {"__init__": lambda self: None, **fields})


_SERVICES = {field: _plain(stock) for field, stock in _STOCK.items()}
_PLAIN = {stock: _SERVICES[field] for field, stock in _STOCK.items()}
_OF_SERVICE = {service: field for services in (_STOCK, _SERVICES) for field, service in services.items()}
_DECODED = {
    field: {element: word for element, word in _KEYWORDS.items() if hasattr(_SERVICES[field & ~RESPONSE], word)}
    for field in _FIELDS
}


def plain(service: type[Any]) -> type[Any]:
    """The plain kind of *service*, one of pynetdicom's DIMSE-C primitives."""
    return _PLAIN[service]


def is_known(field: int | None) -> bool:
    """Whether PS3.7 has a message with that Command Field."""
    return field in _FIELDS or (field or 0) & ~RESPONSE in DIMSE_N


def is_ours(field: int | None) -> bool:
    """Whether messages with that Command Field are coded here."""
    return field in _FIELDS


def is_coded(primitive: DimsePrimitiveType) -> bool:
    """Whether *primitive* is coded here."""
    return type(primitive) in _OF_SERVICE


def to_primitive(command: CommandSet, data: bytes | bytearray | None) -> DimsePrimitiveType:
    """The message with that command set and, if it has one, that Data Set; its Command Field is one of ours.

    A value that is malformed is left out.
    """
    field = cs.number(command, cs.COMMAND_FIELD) or 0
    primitive: Any = _SERVICES[field & ~RESPONSE]()
    keywords = _DECODED[field]
    for element, value in command.items():
        keyword = keywords.get(element)
        if keyword is not None and not isinstance(value, bytes):
            setattr(primitive, keyword, list(value) if isinstance(value, tuple) else value)
    if field in _DATA_SETS and data is not None:
        setattr(primitive, _DATA_SETS[field], BytesIO(data))
    return primitive  # type: ignore[no-any-return]


def of_primitive(primitive: DimsePrimitiveType) -> tuple[bytes, bytes | None]:
    """The encoded command set of *primitive*, and its encoded Data Set, None if it has none."""
    field = _OF_SERVICE[type(primitive)]
    if field != C_CANCEL_RQ and primitive.MessageIDBeingRespondedTo is not None:
        field |= RESPONSE
    command: dict[int, Value] = {cs.COMMAND_FIELD: field}
    for element, keyword in _ENCODED[field]:
        value = getattr(primitive, keyword)
        if value is not None:
            command[element] = tuple(value) if element == cs.OFFENDING_ELEMENT else value
    stream = getattr(primitive, _DATA_SETS[field]) if field in _DATA_SETS else None
    command[cs.COMMAND_DATA_SET_TYPE] = cs.NO_DATA_SET if stream is None else 0x0001
    return cs.encode(command), None if stream is None else stream.getvalue()
