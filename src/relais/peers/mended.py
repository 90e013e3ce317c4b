"""Parts of pynetdicom, mended where associations that we request and those that peers request both need it.

Knows private names of pynetdicom, as relais.dimse.engine does, and no other module; a contract test lists them.
"""

import logging
from typing import Any

from pydicom.config import IGNORE
from pydicom.config import settings as pydicom_settings
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

DATA_TRANSFER = frozenset({"Sta6", "Sta8"})  # the states in which P-DATA may be sent (PS3.8 table 9-10)


class ClosingSocket(AssociationSocket):
    """Closes what it holds also where the other end was faster, or there never was one; pynetdicom then forgets it."""

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()


class TidyProvider(DULServiceProvider):
    """The network thread of an association.

    Of the protocol version of a request it takes the one bit that counts (PS3.8 9.3.2); and it drops what is still to
    be sent once the association has ended, of which pynetdicom's state machine dies.
    """

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
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
