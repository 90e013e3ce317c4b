"""Reads the PDUs of one association, in whichever thread waits for something. Knows PDUs, not what they mean.

1. P-DATA in an established association never becomes a PDU object: its fragments go to the messages as they arrive.
2. No length that a stranger declares is believed: checked first, then taken as it comes (PS3.8 9.3.1).
3. What is sent later leaves before anybody waits.
"""

import logging
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from relais.peers.wire.connection import Connection
from relais.peers.wire.framing import P_DATA_TF, PDU_HEADER, PDV_HEADER, Buffer
from relais.telemetry.line import fields

MAX_PDU_BYTES = 1024 * 1024  # of any PDU; a longer one is invalid. Senders that ignore our maximum stay far below
POLLED_PDUS = 16  # taken in one look at the network while something else is going on
AT_ONCE_S = 1.0  # for what is there already
FOR_EVER_S = 365 * 86400.0  # a time limit of None

PDU_TYPES = range(1, 8)  # PS3.8 9.3.1

log = logging.getLogger(__name__)


class Messages(Protocol):
    """Whose fragments are read, and who may have something to send."""

    @property
    def is_receiving(self) -> bool:
        """Whether a message has begun and not ended."""

    def flush(self) -> bool:
        """Send what waits to be sent. Whether the association is still there."""

    def take(self, context_id: int, control: int, piece: memoryview, *, ends: bool) -> None:
        """The next *piece* of a fragment; *ends* if it is its last one."""


class Pump:
    """What an upper layer service has to do with the network. Whoever derives from it says what PDUs mean."""

    messages: Messages
    opening_deadline = float("inf")  # while a request is awaited: by when it must have come (PS3.8 9.1.5: ARTIM)

    # What a kind of upper layer knows

    assoc: Any

    @property
    def connection(self) -> Connection | None:
        """Where to read; None if there is no connection."""
        raise NotImplementedError

    @property
    def may_read(self) -> bool:
        """Whether what comes still matters."""
        raise NotImplementedError

    @property
    def takes_data(self) -> bool:
        """Whether P-DATA may come (PS3.8 table 9-10: DT-2)."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """Of the peer, for the log."""
        raise NotImplementedError

    @property
    def accepted_context_ids(self) -> Collection[int]:
        raise NotImplementedError

    @property
    def peer_max_length(self) -> int:
        """The longest P-DATA that the peer takes, 0 if it takes any (PS3.8 D.1)."""
        raise NotImplementedError

    @property
    def silence_s(self) -> float | None:
        """How long the peer may be silent within a PDU; None for ever."""
        raise NotImplementedError

    def send_data(self, buffers: list[Buffer]) -> bool:
        """Send P-DATA-TF PDUs, encoded, where the state has any. Whether the association is still there."""
        raise NotImplementedError

    def take(self, kind: int, header: bytes, body: bytes) -> None:
        """A PDU has come, other than P-DATA that is expected."""
        raise NotImplementedError

    def lose(self, failure: OSError) -> None:
        """The connection has ended, or the patience with it."""
        raise NotImplementedError

    def refuse(self) -> None:
        """What came is no PDU that may come."""
        raise NotImplementedError

    # Reading

    def pump(self, is_done: Callable[[], bool], timeout_s: float | None) -> bool:
        """Read until *is_done*, or the association is over, or nothing has come for *timeout_s*; whether it is done."""
        while not is_done():
            if not self.may_read or not self._receive(time.monotonic() + seconds(timeout_s)):
                return is_done()
        return True

    def poll(self) -> None:
        """Take what has arrived, without waiting for more than the end of what has begun."""
        for _ in range(POLLED_PDUS):
            connection = self.connection
            if connection is None or not self.may_read or not connection.has_data:
                return
            self._receive(time.monotonic() + AT_ONCE_S)

    def _receive(self, deadline: float) -> bool:
        """Take one PDU that begins before *deadline*, and what is there already of the message that it belongs to.

        Whether one came, or the connection ended.
        """
        self.messages.flush()
        if not self.may_read:
            return True
        connection = self.connection
        try:
            if connection is None:
                raise OSError("not connected")
            if not connection.wait(min(deadline, self.opening_deadline)):
                return False
            self._take_pdu(connection)
            while connection.is_filled and self.messages.is_receiving and self.takes_data:
                self._take_pdu(connection)  # the rest of the message, as far as it is there
        except OSError as exc:  # also the end of patience inside a PDU
            self.lose(exc)
        except Exception as exc:  # a stranger's bytes in a parser
            log.warning("%s", fields(event="invalid PDU", address=self.address, error=str(exc) or type(exc).__name__))
            self.refuse()
        return True

    def _take_pdu(self, connection: Connection) -> None:
        """One PDU, of which a byte is there."""
        deadline = min(time.monotonic() + seconds(self.silence_s), self.opening_deadline)
        header = connection.read(PDU_HEADER.size, deadline)
        kind, length = PDU_HEADER.unpack(header)
        if kind not in PDU_TYPES or length > MAX_PDU_BYTES:
            raise ValueError("no PDU, or a longer one than the limit")
        if kind == P_DATA_TF and self.takes_data:
            self._take_data(connection, length, deadline)
        else:
            self.take(kind, header, connection.read(length, deadline))

    def _take_data(self, connection: Connection, length: int, deadline: float) -> None:
        """The PDVs of one P-DATA-TF PDU (PS3.8 9.3.5.1)."""
        while length:
            if length < PDV_HEADER.size:
                raise ValueError("PDV cut off")
            pdv_length, context_id, control = PDV_HEADER.unpack(connection.read(PDV_HEADER.size, deadline))
            rest = pdv_length - 2
            length -= PDV_HEADER.size + rest
            if rest < 0 or length < 0:
                raise ValueError("PDV length does not fit its PDU")
            if not rest:
                self.messages.take(context_id, control, memoryview(b""), ends=True)
            for piece in connection.slices(rest, deadline):
                rest -= len(piece)
                self.messages.take(context_id, control, piece, ends=not rest)


def seconds(timeout: float | None) -> float:
    """A time limit that may be None."""
    return FOR_EVER_S if timeout is None else timeout
