"""Parts of pynetdicom, mended, and what we need of it that it keeps to itself, under public names.

The only module that knows private names of pynetdicom, which a contract test lists and looks for elsewhere. Knows
nothing of what is done with associations.
"""

import logging
from collections.abc import Mapping
from typing import Any

from pydicom.config import IGNORE
from pydicom.config import settings as pydicom_settings
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AssociationSocket, RequestHandler

from relais.peers.wire import associate
from relais.peers.wire.framing import PDU_HEADER

CONNECTED = "Evt2"  # PS3.8 table 9-10
DATA_TRANSFER = frozenset({"Sta6", "Sta8"})  # the states in which P-DATA may be sent (PS3.8 table 9-10)


class ClosingSocket(AssociationSocket):
    """Closes what it holds also where the other end was faster, or there never was one; pynetdicom then forgets it."""

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()


class HeldSocket(AssociationSocket):
    """A connection that is opened, read and closed by whoever derives from it."""

    def hang_up(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    def tell(self, primitive: T_CONNECT) -> None:
        """What became of opening it, to the association that waits for it."""
        self._is_connected = primitive.result == CONNECTED
        self.provider_queue.put(primitive)
        self._ready.set()

    def _shutdown_socket(self) -> None:
        self.hang_up()


class TidyProvider(DULServiceProvider):
    """The network thread of an association.

    Of the protocol version of a request it takes the one bit that counts (PS3.8 9.3.2), and of its items those that
    pynetdicom knows, which dies of others. It takes no request, and sends nothing once the association has ended, of
    which pynetdicom's threads would die. *asked* is the request that came.
    """

    asked: associate.Request | None = None

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] == associate.A_ASSOCIATE_RQ:
            body = bytes(bytestream[PDU_HEADER.size :])
            self.asked = associate.decode(body)
            if not all(context.transfer_syntaxes for context in self.asked.proposal.contexts):
                raise ValueError("a presentation context without Transfer Syntax")
            bytestream = bytearray(associate.familiar(body))
        pdu, event = super()._decode_pdu(bytestream)
        if isinstance(pdu, A_ASSOCIATE_RQ):
            pdu.protocol_version &= 1
        return pdu, event

    def _process_recv_primitive(self) -> bool:
        if not self.event_queue.empty():  # may end the data transfer: first things first
            return False
        waiting = self.to_provider_queue.queue
        if waiting and isinstance(waiting[0], P_DATA) and self.state_machine.current_state not in DATA_TRANSFER:
            self.to_provider_queue.get(block=False)
            return False
        return super()._process_recv_primitive()


class DrivenProvider(TidyProvider):
    """A network provider without a thread: whoever waits for something or has something to send drives it."""

    @property
    def is_over(self) -> bool:
        return bool(self._kill_thread)

    def end(self) -> None:
        self._kill_thread = True

    def take_pdu(self, encoded: bytes) -> None:
        """A PDU has come: what it is waits to be done as an event."""
        pdu, event = self._decode_pdu(bytearray(encoded))
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def take_primitive(self) -> bool:
        """Make an event of the next thing that our user asks for. Whether there was one."""
        return self._process_recv_primitive()


class OpenAssociation(Association):
    """An association that tells what it agreed to."""

    @property
    def contexts_by_id(self) -> Mapping[int, PresentationContext]:
        """The accepted presentation contexts."""
        return self._accepted_cx


class DrivenAssociation(OpenAssociation):
    """One that we request, whose network provider has no thread."""

    def provider_started(self) -> None:
        self._dul_ready.set()

    def _abort_blocking(self, block: bool = True) -> None:
        """PS3.8 9.3.8, at once."""
        if not (self._sent_abort or self.is_released):
            self._sent_abort = True
            self.acse.send_abort(0x00)
            evt.trigger(self, evt.EVT_ABORTED, {})
            self.kill()


class ServedAssociation(OpenAssociation):
    """One that a peer requests, with its own way to serve what comes."""

    dul: TidyProvider

    def serve_request(self, request: DimseServiceType, context_id: int) -> None:
        """A request has come over that presentation context."""
        raise NotImplementedError

    def was_heard(self) -> None:
        """The peer has not been silent, though nothing came of it."""
        self.dul._idle_timer.restart()

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        self.serve_request(msg, context_id)


class Welcoming(RequestHandler):
    """Makes an association of a connection."""

    def associate(self) -> Association:
        """A new association, which waits to be requested over `self.request`."""
        raise NotImplementedError

    def _create_association(self) -> Association:
        assoc = self.associate()
        assoc._server = self.server
        return assoc


def mend(assoc: Association) -> None:
    """Give a new association, not yet started, its network thread, which does not keep the process alive."""
    assoc.dul = TidyProvider(assoc)
    assoc.dul.daemon = True
    assoc.acse_timeout, assoc.network_timeout = assoc.acse_timeout, assoc.network_timeout  # its timers are set by these


def settle() -> None:
    """What is set once for all associations of this process.

    pynetdicom logs several lines per message, Identifiers with names among them, and a traceback for a connection that
    closes: left out unless an operator has set a level for its loggers. A UID that is none is passed on to be answered
    with a status; pynetdicom would abort, and pydicom would write it to the log.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.VALIDATORS["UI"] = lambda value: (True, "")
    pydicom_settings.reading_validation_mode = IGNORE
    theirs = logging.getLogger("pynetdicom")
    if theirs.level == logging.NOTSET:
        theirs.setLevel(logging.CRITICAL)
