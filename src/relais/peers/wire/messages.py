"""DIMSE messages out of P-DATA fragments and into them (PS3.7 6.3, PS3.8 E). Runs in the thread of its association.

1. A Data Set that has a sink is passed on slice by slice; any other is collected up to a limit.
2. What a message must not be (a foreign context, a Data Set without command, too long, too many) is an InvalidMessage.
3. Only the command set of a C-STORE request waits, for its Data Set; whoever waits for the peer sends it first.
"""

import queue
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Protocol

from pynetdicom import dimse_messages
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_STORE, DimsePrimitiveType, DimseServiceType
from pynetdicom.pdu_primitives import P_DATA

from relais.peers.wire import command_set as cs
from relais.peers.wire import framing, primitives
from relais.peers.wire.command_set import CommandSet
from relais.peers.wire.framing import Buffer
from relais.peers.wire.pump import Pump

MAX_COMMAND_BYTES = 64 * 1024
MAX_IDENTIFIER_BYTES = (
    4 * 1024 * 1024
)  # of a Data Set without a sink; a storage commitment request may name 20,000 instances
MAX_WAITING = 4  # requests of one association that wait for an earlier one (PS3.7 D.3.3.3: one is agreed)
SEND_BYTES = 1024 * 1024  # of a Data Set, handed to the network at once


class InvalidMessage(ValueError):
    """What the peer sent is no DIMSE message, or none that it may send now."""


class Sink(Protocol):
    """What takes a Data Set as it arrives: each piece is valid during the call only."""

    def write(self, data: Buffer, /) -> None: ...

    def discard(self) -> None: ...


class MessageQueue(queue.Queue[Any]):
    """The messages that have arrived. Whoever waits for one reads the network meanwhile.

    Put and taken by one thread, so without a queue's locks, which cost more than all the rest of it.
    """

    def __init__(self, upper_layer: Pump) -> None:
        super().__init__()
        self._upper_layer = upper_layer

    def empty(self) -> bool:
        return not self.queue

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self.queue.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block and not self.queue:
            self._upper_layer.pump(lambda: bool(self.queue), timeout)
        if not self.queue:
            raise queue.Empty
        return self.queue.popleft()


class _Incoming:
    """The message that is arriving."""

    def __init__(self, context_id: int) -> None:
        self.context_id = context_id
        self.encoded = bytearray()  # the command set
        self.command: CommandSet | None = None  # once it is complete
        self.data: bytearray | None = None
        self.sink: Sink | None = None


class InlineMessages:
    """The messages of one association, in the place of pynetdicom's DIMSE provider."""

    def __init__(self, upper_layer: Pump) -> None:
        self._cancelled: dict[int, C_CANCEL] = {}  # by the Message ID of a request that is served or waits
        self._served: int | None = None  # the Message ID of the request that is served
        self.upper_layer = upper_layer
        self.msg_queue = MessageQueue(upper_layer)
        self._incoming: _Incoming | None = None
        self._sinks: dict[int, Sink] = {}  # of complete Data Sets by Message ID, until their request is served
        self._unsent: list[Buffer] = []

    # Receiving

    @property
    def is_receiving(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._incoming is not None

    @property
    def cancel_req(self) -> dict[int, C_CANCEL]:
        """The C-CANCEL requests that have arrived. Looks what is there now."""
        self.upper_layer.poll()
        return self._cancelled

    def open_sink(self, command: CommandSet, context_id: int) -> Sink | None:
        """What shall take the Data Set of this C-STORE request. None collects it."""
        return None

    def reserve(self, size_bytes: int) -> None:
        """So much more of a Data Set is about to be collected. Raises InvalidMessage if there is no room for it."""

    def release(self) -> None:
        """The message before has been dealt with: what was reserved for it is free, and its C-CANCEL is forgotten."""
        served, self._served = self._served, None
        if self._cancelled and served is not None and not self._is_expected(served):
            self._cancelled.pop(served, None)

    def take_sink(self, message_id: int) -> Sink | None:
        """What took the Data Set of the request with that ID, None if it had none. Given once: it is served now."""
        self._served = message_id
        return self._sinks.pop(message_id, None)

    def discard(self) -> None:
        """Let go of every Data Set that nobody will ask for any more."""
        sinks = list(self._sinks.values())
        if self._incoming is not None and self._incoming.sink is not None:
            sinks.append(self._incoming.sink)
        self._sinks, self._incoming = {}, None
        for sink in sinks:
            sink.discard()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Fragments that came another way than by `take`: those of P-DATA during a release (PS3.8 table 9-10)."""
        for context_id, fragment in primitive.presentation_data_value_list:
            self.take(context_id, fragment[0], memoryview(fragment)[1:], ends=True)

    def take(self, context_id: int, control: int, piece: memoryview, *, ends: bool) -> None:
        """The next *piece* of a fragment; *ends* if it is its last one. Raises InvalidMessage."""
        incoming = self._incoming
        if incoming is None:
            if context_id not in self.upper_layer.accepted_context_ids:
                raise InvalidMessage("not in an accepted presentation context")
            incoming = self._incoming = _Incoming(context_id)
        if incoming.context_id != context_id:
            raise InvalidMessage("a message in two presentation contexts")
        if bool(control & framing.COMMAND) is not (incoming.command is None):
            raise InvalidMessage("command set and Data Set out of order")
        is_last = ends and bool(control & framing.LAST)
        if incoming.command is None:
            self._take_command(incoming, piece, is_last)
        else:
            self._take_data(incoming, piece, is_last)

    def _take_command(self, incoming: _Incoming, piece: memoryview, is_last: bool) -> None:
        if len(incoming.encoded) + len(piece) > MAX_COMMAND_BYTES:
            raise InvalidMessage("command set longer than the limit")
        incoming.encoded += piece
        if not is_last:
            return
        command = incoming.command = cs.decode(incoming.encoded)
        field, data_set = cs.number(command, cs.COMMAND_FIELD), cs.number(command, cs.COMMAND_DATA_SET_TYPE)
        if not primitives.is_known(field) or data_set is None:
            raise InvalidMessage("a command set of no message")
        if data_set == cs.NO_DATA_SET:
            self._deliver(incoming, command)
            return
        if field == primitives.C_STORE_RQ:
            incoming.sink = self.open_sink(command, incoming.context_id)
        incoming.data = bytearray()

    def _take_data(self, incoming: _Incoming, piece: memoryview, is_last: bool) -> None:
        assert incoming.command is not None
        assert incoming.data is not None
        if incoming.sink is not None:
            incoming.sink.write(piece)
        elif len(incoming.data) + len(piece) > MAX_IDENTIFIER_BYTES:
            raise InvalidMessage("Data Set longer than the limit")
        else:
            self.reserve(len(piece))
            incoming.data += piece
        if is_last:
            self._deliver(incoming, incoming.command)

    def _deliver(self, incoming: _Incoming, command: CommandSet) -> None:
        primitive = self._primitive(incoming, command)
        if isinstance(primitive, C_CANCEL):
            message_id = primitive.MessageIDBeingRespondedTo or 0
            if self._is_expected(message_id):  # else it came too late (PS3.7 9.3.2.3), or means nothing
                self._cancelled[message_id] = primitive
        else:
            if self.msg_queue.qsize() >= MAX_WAITING:
                raise InvalidMessage("more requests at once than were negotiated")
            if primitive.MessageIDBeingRespondedTo is None:
                self._expect_service(primitive, incoming)
            self.msg_queue.put((incoming.context_id, primitive))
        self._incoming = None

    def _primitive(self, incoming: _Incoming, command: CommandSet) -> DimsePrimitiveType:
        if primitives.is_ours(cs.number(command, cs.COMMAND_FIELD)):
            return primitives.to_primitive(command, incoming.data)
        return _stock_primitive(incoming)

    def _is_expected(self, message_id: int) -> bool:
        """Whether a request with that ID is served, or waits to be."""
        return message_id == self._served or any(one.MessageID == message_id for _, one in self.msg_queue.queue)

    def _expect_service(self, primitive: DimseServiceType, incoming: _Incoming) -> None:
        message_id = primitive.MessageID
        if message_id is None or message_id in self._sinks:
            raise InvalidMessage("no Message ID of its own")
        self._cancelled.pop(message_id, None)
        if incoming.sink is not None:
            assert isinstance(primitive, C_STORE)
            self._sinks[message_id] = incoming.sink

    # Sending

    def send_msg(self, primitive: DimsePrimitiveType, context_id: int) -> None:
        """Send a message. A C-STORE request may wait for its Data Set (see `send_data`)."""
        if not primitives.is_coded(primitive):
            self._unsent += _stock_message(primitive, context_id, self._fragment_size)
            self.flush()
            return
        command, data = primitives.of_primitive(primitive)
        self._unsent += framing.message(context_id, command, data, self._fragment_size)
        if not (isinstance(primitive, C_STORE) and data == b""):
            self.flush()

    def send_many(self, context_id: int, command: bytes, data_sets: Iterable[bytes]) -> bool:
        """Send encoded messages, one for each of *data_sets*. Whether the association is still there."""
        self._unsent.append(framing.messages(context_id, command, data_sets, self._fragment_size))
        return self.flush()

    def send_data(self, context_id: int, data: Iterable[Buffer]) -> None:
        """The Data Set of the message that was sent last, at the pace of the network, without copies.

        Stops when the association has ended.
        """
        held, size = self._begun(), 0
        for pieces, is_last in framing.fragments(data, self._fragment_size):
            held += framing.pdu(context_id, framing.LAST if is_last else 0, pieces)
            size += sum(map(len, pieces))
            if size >= SEND_BYTES or is_last:
                if not self.upper_layer.send_data(held):
                    return
                held, size = [], 0

    def flush(self) -> bool:
        """Send what waits to be sent. Whether the association is still there."""
        return self.upper_layer.send_data(self._begun()) if self._unsent else True

    def _begun(self) -> list[Buffer]:
        begun, self._unsent = self._unsent, []
        return begun

    @cached_property
    def _fragment_size(self) -> int:
        """Asked for the first time when the association is open, and then always the same."""
        return framing.fragment_size(self.upper_layer.peer_max_length)


def _stock_message(primitive: DimsePrimitiveType, context_id: int, size: int) -> list[Buffer]:
    """The PDUs of a message, encoded by pynetdicom."""
    kind = "RQ" if primitive.MessageIDBeingRespondedTo is None else "RSP"
    message = getattr(dimse_messages, f"{type(primitive).__name__}_{kind}")()
    message.primitive_to_message(primitive)
    buffers: list[Buffer] = []
    for pdata in message.encode_msg(context_id, size + framing.PDV_OVERHEAD):
        for _, fragment in pdata.presentation_data_value_list:
            buffers += framing.pdu(context_id, fragment[0], (fragment[1:],))
    return buffers


def _stock_primitive(incoming: _Incoming) -> DimsePrimitiveType:
    """The message by pynetdicom's own decoder. Raises whatever that raises."""
    message = DIMSEMessage()
    pdata = P_DATA()
    fragments = pdata.presentation_data_value_list
    fragments.append((incoming.context_id, b"\x03" + bytes(incoming.encoded)))
    if incoming.data is not None:
        fragments.append((incoming.context_id, b"\x02" + bytes(incoming.data)))
    if not message.decode_msg(pdata):
        raise InvalidMessage("an incomplete message")
    return message.message_to_primitive()
