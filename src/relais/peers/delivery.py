"""Instances sent over one association, or several at once, and over new ones where these are lost.

Knows associations only as something that can be opened, and nothing of what is sent.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from queue import Queue
from threading import Thread

from relais.errors import Unavailable
from relais.peers.association import Associated, NotAssociated
from relais.peers.base import MoveOriginator, Outgoing, Sent
from relais.peers.messages import NoAnswer
from relais.peers.sending import Sending

Connect = Callable[[], AbstractContextManager[Associated]]

PATIENCE = 5  # associations in a row that the peer breaks off at their first instance; then no more is sent

log = logging.getLogger(__name__)


class Delivery:
    """*instances* on their way over associations that *connect* opens: whichever has room takes the next.

    *keep_going* is asked before each instance, and in any thread.
    """

    def __init__(
        self,
        connect: Connect,
        instances: Sequence[Outgoing],
        originator: MoveOriginator | None,
        keep_going: Callable[[], bool],
    ) -> None:
        self._connect, self._originator, self._is_wanted = connect, originator, keep_going
        self._waiting = deque(instances)
        self._is_closed = self._has_told = False
        self._reason: Unavailable = NotAssociated()

    def run(self, parallel: int) -> Generator[Sent]:
        """What became of each, sent over up to *parallel* associations at once.

        An association that is lost is replaced if it was of use before, or the peer broke it off at its first instance,
        as some do at what they cannot read: no more than PATIENCE in a row. What is left in the end has no status.
        Raises NotAssociated if there was not a single association.
        """
        if parallel > 1:
            yield from self._work_together(parallel)
        if parallel == 1 or self._has_told:  # then for what one association lost and no other took up
            yield from self._work()
        if self._waiting and self._keep_going():
            if not self._has_told and isinstance(self._reason, NotAssociated):
                raise self._reason
            yield from (lost(instance, self._reason) for instance in self._waiting)

    def _keep_going(self) -> bool:
        return self._is_wanted() and not self._is_closed

    def _next(self) -> Iterator[Outgoing]:
        while True:
            try:
                yield self._waiting.popleft()
            except IndexError:
                return

    def _work(self) -> Generator[Sent]:
        """One association after another, until there is nothing left or there is no use in another one."""
        patience = PATIENCE
        while self._waiting and patience > 0 and self._keep_going():
            was_of_use, on_its_way = False, None
            try:
                with self._connect() as assoc:
                    sending = Sending(assoc, self._next(), self._originator, keep_going=self._keep_going)
                    try:
                        for sent in sending:
                            was_of_use = self._has_told = True
                            yield sent
                    finally:
                        sending.close()
                        on_its_way = sending.on_its_way
                        self._waiting.extendleft(reversed(sending.left))
            except Unavailable as exc:
                self._reason = exc
                if on_its_way is not None:
                    log.warning("lost an association: %s", exc.message)
                    self._has_told = True
                    yield lost(on_its_way, exc)
            is_broken_off = on_its_way is not None and not isinstance(self._reason, NoAnswer)
            patience = PATIENCE if was_of_use else patience - 1 if is_broken_off else 0

    def _work_together(self, parallel: int) -> Generator[Sent]:
        found: Queue[Sent | BaseException | None] = Queue(parallel)  # nobody runs far ahead of who may say stop
        working = min(parallel, len(self._waiting))
        for _ in range(working):
            Thread(target=copy_context().run, args=(self._report, found), name="delivery", daemon=True).start()
        try:
            while working:
                sent = found.get()
                if isinstance(sent, Sent):
                    yield sent
                    continue
                working -= 1
                if sent is not None:
                    raise sent
        finally:
            self._is_closed = working > 0
            while working:
                working -= not isinstance(found.get(), Sent)

    def _report(self, found: "Queue[Sent | BaseException | None]") -> None:
        """In a thread of its own: a worker's results, and at its end None or what it failed of."""
        try:
            for sent in self._work():
                found.put(sent)
            found.put(None)
        except BaseException as exc:
            found.put(exc)


def lost(instance: Outgoing, reason: Unavailable) -> Sent:
    """What is told of an instance that the peer gave no status for."""
    return Sent(instance.sop_instance_uid, comment=reason.message)
