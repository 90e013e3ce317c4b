"""An association that we request, driven by the thread that asks and by nobody else. Knows pynetdicom, not services.

pynetdicom gives every association a second thread, its reactor, which takes messages off the same queue as the thread
that waits for a response: `Association.send_c_store` pauses it, but between the reactor's wake-up and its next look at
the queue the pause is not seen, and the response is lost (once in some 1,500 sends). The associations made here have
neither that thread nor one for the network (relais.peers.wire). Messages are exchanged by relais.peers.messages.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.transport import AddressInformation

from relais.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from relais.errors import Unavailable
from relais.peers import mended, tls
from relais.peers.settings import PeerSettings
from relais.peers.wire.inline import InlineSocket, SingleThreaded
from relais.peers.wire.messages import InlineMessages

MAX_CONTEXTS = (
    128  # presentation context IDs are the odd numbers up to 255 (PS3.8 9.3.2.2); more need another association
)
MAX_PDU = 131072

Proposal = tuple[str, tuple[str, ...]]  # abstract syntax, transfer syntaxes


class Context(Protocol):
    """A presentation context that was accepted; its one Transfer Syntax is the first."""

    @property
    def context_id(self) -> int | None: ...

    @property
    def abstract_syntax(self) -> str | None: ...

    @property
    def transfer_syntax(self) -> Sequence[str]: ...

    @property
    def as_scu(self) -> bool | None: ...


class Associated(Protocol):
    """An association, whoever asked for it and whatever carries it. *dimse* has its messages."""

    dimse: Any

    @property
    def is_open(self) -> bool: ...

    @property
    def dimse_timeout(self) -> float | None: ...

    @property
    def accepted_contexts(self) -> Sequence[Context]: ...


class NotAssociated(Unavailable):
    """The peer cannot be reached, or did not accept the association."""


class Rejected(NotAssociated):
    """The peer is there and does not want the association, now or ever (PS3.8 9.3.4)."""


@contextmanager
def association(
    peer: PeerSettings,
    calling_ae_title: str,
    proposals: Sequence[Proposal],
    as_scp: Sequence[str] = (),
    secure: tls.Secure | None = None,
    dimse: type[InlineMessages] = InlineMessages,
) -> Iterator[SingleThreaded]:
    """An open association with *peer*, released at the end, aborted after an exception.

    *as_scp* are those of the abstract syntaxes whose SCP we want to be (PS3.7 D.3.3.4). *secure* is done to the
    connection before anything is said. *dimse* puts its messages together.
    Raises NotAssociated with a sentence that says why there is none.
    """
    assoc = _begin(peer, calling_ae_title, secure, dimse)
    _request(peer, assoc, proposals, as_scp)
    try:
        yield assoc
    except GeneratorExit:
        release(assoc)
        raise
    except BaseException:
        assoc.abort()
        raise
    release(assoc)


def release(assoc: SingleThreaded) -> None:
    """End *assoc* in good order, if it is still open, and its socket in any case."""
    if assoc.is_open:
        assoc.acse.negotiate_release()
    assoc.kill()


def _begin(
    peer: PeerSettings, calling_ae_title: str, secure: tls.Secure | None, dimse: type[InlineMessages]
) -> SingleThreaded:
    """An association that nobody has asked for yet."""
    mended.settle()
    ae = AE(calling_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = peer.timeout_s
    try:
        address = AddressInformation(peer.host, peer.port)
    except OSError as exc:
        raise NotAssociated(f"{peer.name} cannot be reached: its host is not known.") from exc
    assoc = SingleThreaded(ae, "requestor")
    assoc.drive(dimse)
    local = AddressInformation("0.0.0.0" if address.is_ipv4 else "::", 0)  # noqa: S104 - nobody listens there
    transport = InlineSocket(assoc, address=local)
    transport.secure = secure
    assoc.set_socket(transport)
    assoc.acceptor.ae_title, assoc.acceptor.address_info = peer.ae_title, address
    assoc.requestor.ae_title, assoc.requestor.address_info = calling_ae_title, local
    assoc.requestor.maximum_length = MAX_PDU
    assoc.requestor.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    assoc.requestor.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return assoc


def _request(peer: PeerSettings, assoc: SingleThreaded, proposals: Sequence[Proposal], as_scp: Sequence[str]) -> None:
    assoc.requestor.requested_contexts = _contexts(proposals)
    for uid in as_scp:
        assoc.requestor.add_negotiation_item(build_role(uid, scp_role=True))
    assoc.request()
    if not assoc.is_established:
        failure = assoc.dul.socket.failure if assoc.dul.socket else None
        refusal = (Rejected if assoc.is_rejected else NotAssociated)(_refusal(peer, assoc, failure))
        assoc.kill()
        raise refusal


def _contexts(proposals: Sequence[Proposal]) -> list[PresentationContext]:
    assert 0 < len(proposals) <= MAX_CONTEXTS
    contexts = []
    for number, (abstract_syntax, transfer_syntaxes) in enumerate(proposals):
        context = build_context(abstract_syntax, list(transfer_syntaxes))
        context.context_id = 2 * number + 1
        contexts.append(context)
    return contexts


def _refusal(peer: PeerSettings, assoc: SingleThreaded, failure: OSError | None) -> str:
    """One sentence on why the association was not accepted. *failure* is that of the connection."""
    answer = assoc.acceptor.primitive
    if assoc.is_rejected and answer is not None:
        return f"{peer.name} rejected the association: {answer.reason_str} ({answer.result_str})."
    if answer is not None:
        return f"{peer.name} accepted the association but none of the presentation contexts."
    what = tls.why_not(failure) or "does not answer, or broke off while it was called"
    return f"{peer.name} at {peer.host}:{peer.port} {what}."
