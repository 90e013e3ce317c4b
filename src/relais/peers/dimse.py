"""A peer that speaks DIMSE, with us as SCU: C-ECHO, C-FIND, C-STORE, C-GET, C-MOVE, storage commitment.

Knows nothing of what we hold.

Every operation has an association of its own, which is released before the operation is over.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from io import BytesIO
from itertools import count, islice

from pynetdicom.dimse_primitives import C_ECHO, C_FIND

from relais.dicom import uids
from relais.dicom.attributes import Level
from relais.dicom.commitment import PUSH_MODEL, Report, Request
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query
from relais.dicom.refs import Ref
from relais.errors import Unavailable
from relais.peers import commitment, contexts, identifier, messages, retrieving
from relais.peers.association import MAX_CONTEXTS, Associated, NotAssociated, Proposal, association
from relais.peers.base import MoveOriginator, Outgoing, Receive, Refused, Retrieved, Sent
from relais.peers.delivery import Delivery, lost
from relais.peers.sending import MAX_MESSAGE_ID
from relais.peers.settings import PeerSettings
from relais.peers.tls import Secure
from relais.peers.wire.messages import InlineMessages

VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PENDING = frozenset({0xFF00, 0xFF01})

Search = Callable[[Query], Iterator[JsonDataset]]

log = logging.getLogger(__name__)


class DimsePeer:
    """As relais.peers.base.Peer. *calling_ae_title* is how we call ourselves.

    *introduce* is done to each connection before anything is said, instead of the TLS of the settings.
    """

    def __init__(
        self, settings: PeerSettings, calling_ae_title: str = "RELAIS", introduce: Secure | None = None
    ) -> None:
        self.settings = settings
        self._calling_ae_title = calling_ae_title
        self._secure = introduce or settings.secure

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def ae_title(self) -> str:
        """What it is called, and calls itself."""
        return self.settings.ae_title

    def echo(self) -> None:
        with self._association([(VERIFICATION, uids.TRANSCODE_TARGETS)]) as assoc:
            request = C_ECHO()
            request.MessageID, request.AffectedSOPClassUID = 1, VERIFICATION
            messages.send(assoc, 1, request)
            status = messages.expect(messages.receive(assoc), request).Status
            if status != 0:
                raise Unavailable(f"{self.name} answered C-ECHO with status {status:04X}.")

    def search(self, query: Query) -> Iterator[JsonDataset]:
        stop = None if query.limit is None else query.offset + query.limit
        with closing(self._search(query)) as answers:
            yield from islice(answers, query.offset, stop)

    def _search(self, query: Query) -> Generator[JsonDataset]:
        model = PATIENT_ROOT_FIND if query.level is Level.PATIENT else STUDY_ROOT_FIND
        with self._association([(model, uids.TRANSCODE_TARGETS)]) as assoc:
            yield from self._find(assoc, query, 1)

    @contextmanager
    def searching(self) -> Iterator[Search]:
        """`search` several times over one association, for studies, series and instances, each read to its end."""
        with self._association([(STUDY_ROOT_FIND, uids.TRANSCODE_TARGETS)]) as assoc:
            numbers = (number % MAX_MESSAGE_ID + 1 for number in count())
            yield lambda query: self._find(assoc, query, next(numbers))

    def _find(self, assoc: Associated, query: Query, message_id: int) -> Iterator[JsonDataset]:
        [context] = assoc.accepted_contexts
        syntax = str(context.transfer_syntax[0])
        request = C_FIND()
        request.MessageID, request.Priority, request.AffectedSOPClassUID = message_id, 0, context.abstract_syntax
        request.Identifier = BytesIO(identifier.encode(identifier.of_query(query), syntax))
        messages.send(assoc, 1, request)
        try:
            yield from self._matches(assoc, request, syntax)
        except GeneratorExit:
            with suppress(Unavailable):
                messages.cancel(assoc, 1, request)
            raise

    def _matches(self, assoc: Associated, request: C_FIND, syntax: str) -> Iterator[JsonDataset]:
        while True:
            response = messages.expect(messages.receive(assoc), request)
            if response.Status not in PENDING:
                break
            encoded = b"" if response.Identifier is None else response.Identifier.getvalue()
            answer = identifier.decode(encoded, syntax)
            yield {key: element for key, element in answer.items() if key not in {"00080005", "00080052"}}
        if response.Status != 0:
            comment = f": {response.ErrorComment}" if response.ErrorComment else ""
            said = f"{self.name} refused the query with status {response.Status:04X}{comment}."
            raise Refused(said, response.Status or 0)

    def store(
        self,
        instances: Iterable[Outgoing],
        originator: MoveOriginator | None = None,
        keep_going: Callable[[], bool] = lambda: True,
    ) -> Iterator[Sent]:
        some_told = False
        for batch in contexts.batches(instances, MAX_CONTEXTS):
            connect = partial(self._association, batch.proposals)
            try:
                for sent in Delivery(connect, batch.instances, originator, keep_going).run(self.settings.parallel):
                    yield sent
                    some_told = True
            except NotAssociated as exc:
                if not some_told:
                    raise
                yield from (lost(instance, exc) for instance in batch.instances)

    def get(
        self,
        ref: Ref,
        sop_classes: Sequence[str],
        receive: Receive,
        keep_going: Callable[[], bool] = lambda: True,
        *,
        uncompressed: bool = True,
    ) -> Retrieved:
        """Have what *ref* names sent over the association that asks for it (C-GET), each instance to what *receive*
        gives. *sop_classes* are those that may come, () if nobody knows; see contexts.to_receive for *uncompressed*.

        *keep_going* is asked before each instance is answered: once it says no, the association is aborted. Raises
        Unavailable, also for that, and Refused if the peer does not do C-GET.
        """
        classes = list(sop_classes or contexts.COMMON_SOP_CLASSES)[: MAX_CONTEXTS - 1]
        proposals = contexts.to_receive(classes, MAX_CONTEXTS - 1, uncompressed=uncompressed)
        proposals.insert(0, (retrieving.GET, uids.TRANSCODE_TARGETS))
        with self._association(proposals, as_scp=classes, dimse=retrieving.GetMessages) as assoc:
            return retrieving.get(assoc, ref, receive, keep_going)

    def move(self, ref: Ref, destination: str, keep_going: Callable[[], bool] = lambda: True) -> Retrieved:
        """Have what *ref* names sent to the AE title *destination* (C-MOVE).

        *keep_going* is asked every second: once it says no, the association is aborted. Raises Unavailable, also then.
        """
        with self._association([(retrieving.MOVE, uids.TRANSCODE_TARGETS)]) as assoc:
            return retrieving.move(assoc, ref, destination, keep_going)

    def ask_commitment(self, request: Request, wait_s: float, is_answered: Callable[[], bool]) -> Report | None:
        """Ask the peer to commit to the storage of what *request* names, as relais.peers.commitment.ask does.

        Raises Unavailable, and InvalidRequest if the peer refuses to be asked.
        """
        with self._association([(PUSH_MODEL, uids.TRANSCODE_TARGETS)]) as assoc:
            return commitment.ask(assoc, request, wait_s, is_answered)

    def tell_commitments(self, reports: Iterable[Report]) -> Iterator[int]:
        """Tell the peer what became of its requests, over one association, and give the status of each answer.

        Raises Unavailable.
        """
        with self._association([(PUSH_MODEL, uids.TRANSCODE_TARGETS)], as_scp=[PUSH_MODEL]) as assoc:
            context = commitment.context_of(assoc)
            for number, report in enumerate(reports):
                yield commitment.tell(assoc, context, report, number % MAX_MESSAGE_ID + 1)

    def _association(
        self, proposals: Sequence[Proposal], as_scp: Sequence[str] = (), dimse: type[InlineMessages] = InlineMessages
    ) -> AbstractContextManager[Associated]:
        return association(self.settings, self._calling_ae_title, proposals, as_scp, self._secure, dimse)
