"""How fast a node is on this machine and this disk: what a sender or a viewer waits for. Knows a node's doors.

Who measures runs on the same machine and takes its share of it: the figures are what is left, not what could be.
"""

import http.client
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import StudyRef
from relais.errors import Unavailable
from relais.node.made_up import CT, MR, Kind, MadeUp, study
from relais.node.temporary import Temporary
from relais.peers.base import Announced, Buffer, Outgoing, Verdict
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings

PER_STUDY = 20  # instances
TOGETHER = 4  # associations at once
QUESTIONS = 50  # searches and echoes
SYNCS = 50
BLOCK_BYTES = 4096
SYNC, ONE_CT = "sync of the disk", "C-STORE, CT, 1 association"
PATIENT_ID = 0x00100020
SYNCS_PER_STORE = 2  # of the journal and of the index (docs/decisions/0014)
MOST = 0.5  # of the time that something takes is what limits it


@dataclass(frozen=True, slots=True)
class Measurement:
    """*count* things were done in *seconds*, each in one of *times_s*. *cpu_s* is the node's; None if nobody tells."""

    what: str
    times_s: Sequence[float]
    seconds: float
    cpu_s: float | None = None
    size_bytes: int = 0

    @property
    def count(self) -> int:
        return len(self.times_s)

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_ms(self) -> float | None:
        """For each."""
        return None if self.cpu_s is None else self.cpu_s * 1000 / self.count

    def percentile_ms(self, percent: int) -> float:
        """What so many of a hundred stayed within."""
        ordered = sorted(self.times_s)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


Item = TypeVar("Item")


class Measuring:
    """*node* is given *instances* of each kind, and asked for them again."""

    def __init__(self, node: Temporary, instances: int) -> None:
        self._node, self._instances = node, instances
        self._stored: list[MadeUp] = []

    def steps(self) -> list[Callable[[], Measurement]]:
        """What to measure, to be done in this order."""
        return [
            self._syncs,
            self._echoes,
            partial(self._stores, CT, 1),
            partial(self._stores, MR, 1),
            partial(self._stores, CT, TOGETHER),
            self._finds,
            self._gets,
            self._searches,
            self._retrieves,
        ]

    def _syncs(self) -> Measurement:
        """As the journal does it: blocks that exist are written anew and flushed."""
        path = self._node.folder / "blocks"
        path.write_bytes(bytes(SYNCS * BLOCK_BYTES))
        fd = os.open(path, os.O_WRONLY)
        try:
            os.fsync(fd)

            def write(number: int) -> None:
                os.pwrite(fd, os.urandom(BLOCK_BYTES), number * BLOCK_BYTES)
                os.fdatasync(fd)

            return replace(self._timed(SYNC, range(SYNCS), write), cpu_s=None)
        finally:
            os.close(fd)

    def _echoes(self) -> Measurement:
        peer = self._peer()
        return self._timed("C-ECHO with its association", range(QUESTIONS), lambda _: peer.echo())

    def _stores(self, kind: Kind, associations: int) -> Measurement:
        made = [[study(kind, PER_STUDY) for _ in range(number)] for number in _shares(self._studies(), associations)]
        began_at, cpu = time.monotonic(), self._node.cpu_s()
        with ThreadPoolExecutor(associations) as pool:
            times = list(chain.from_iterable(pool.map(self._store, made)))
        many = f"{associations} association{'s' if associations > 1 else ''}"
        self._stored += chain.from_iterable(made)
        size = sum(one.size_bytes for one in chain.from_iterable(made))
        return self._since(f"C-STORE, {kind.modality}, {many}", times, began_at, cpu, size)

    def _studies(self) -> int:
        return max(1, self._instances // PER_STUDY)

    def _store(self, studies: Sequence[MadeUp]) -> list[float]:
        """Over one association; between an answer and the next one is what one instance takes."""
        times, at = [], time.monotonic()
        instances: list[Outgoing] = [instance for one in studies for instance in one.instances]
        for sent in self._peer().store(instances):
            if sent.verdict is not Verdict.COMPLETED:
                raise Unavailable(f"The temporary node did not store an instance: {sent.comment or sent.status}.")
            now = time.monotonic()
            times.append(now - at)
            at = now
        return times

    def _finds(self) -> Measurement:
        peer = self._peer()

        def find(one: MadeUp) -> None:
            match = Match(PATIENT_ID, MatchKind.SINGLE_VALUE, (one.patient_id,))
            _expect(len(list(peer.search(Query(Level.STUDY, (match,))))), 1, "studies found")

        return self._timed("C-FIND of one patient", self._asked(QUESTIONS), find)

    def _gets(self) -> Measurement:
        peer, studies = self._peer(), self._of_ct()

        def get(one: MadeUp) -> None:
            taken: list[_Counted] = []

            def receive(announced: Announced) -> _Counted:
                taken.append(_Counted())
                return taken[-1]

            peer.get(StudyRef(one.study_instance_uid), [one.kind.sop_class_uid], receive)
            _expect(len(taken), PER_STUDY, "instances retrieved")
            _expect(sum(each.size_bytes for each in taken) > one.size_bytes, True, "whole")

        return self._timed(f"C-GET of {PER_STUDY} CT", studies, get, sum(one.size_bytes for one in studies))

    def _searches(self) -> Measurement:
        with _Browser(self._node) as browser:
            path = "/dicom-web/studies?PatientID="

            def search(one: MadeUp) -> None:
                _expect(one.study_instance_uid.encode() in browser.get(path + one.patient_id), True, "study found")

            return self._timed("QIDO-RS of one patient", self._asked(QUESTIONS), search)

    def _retrieves(self) -> Measurement:
        studies = self._of_ct()
        with _Browser(self._node) as browser:

            def retrieve(one: MadeUp) -> None:
                found = browser.get(f"/dicom-web/studies/{one.study_instance_uid}")
                _expect(len(found) > one.size_bytes, True, "study retrieved")

            size = sum(one.size_bytes for one in studies)
            return self._timed(f"WADO-RS of {PER_STUDY} CT", studies, retrieve, size)

    def _of_ct(self) -> list[MadeUp]:
        return [one for one in self._stored if one.kind is CT]

    def _asked(self, count: int) -> list[MadeUp]:
        """So many studies, the same again if there are fewer."""
        return [self._stored[number % len(self._stored)] for number in range(count)]

    def _peer(self) -> DimsePeer:
        dimse = self._node.config.dimse
        return DimsePeer(PeerSettings("node", dimse.ae_title, dimse.host, dimse.port, timeout_s=60.0), "BENCH")

    def _timed(
        self, what: str, items: Iterable[Item], work: Callable[[Item], None], size_bytes: int = 0
    ) -> Measurement:
        """*work* done with each of *items*, one after the other."""
        times: list[float] = []
        began_at, cpu = time.monotonic(), self._node.cpu_s()
        for item in items:
            at = time.monotonic()
            work(item)
            times.append(time.monotonic() - at)
        return self._since(what, times, began_at, cpu, size_bytes)

    def _since(
        self, what: str, times: Sequence[float], began_at: float, cpu: float | None, size_bytes: int = 0
    ) -> Measurement:
        seconds, used = time.monotonic() - began_at, self._node.cpu_s()
        return Measurement(what, times, seconds, None if cpu is None or used is None else used - cpu, size_bytes)


def limit(found: Sequence[Measurement]) -> str:
    """A sentence on what a sender with one association waits for, by the times of the steps."""
    by_name = {one.what: one for one in found}
    sync, store = by_name[SYNC], by_name[ONE_CT]
    takes, syncs = store.percentile_ms(50), sync.percentile_ms(50) * SYNCS_PER_STORE
    told = (
        f"One CT takes {takes:.1f} ms; the {SYNCS_PER_STORE} syncs that it waits for took {syncs:.1f} ms on this disk"
    )
    if store.cpu_ms is not None:
        told += f", and the node works {store.cpu_ms:.1f} ms for it"
    if syncs > takes * MOST:
        return f"{told}. The disk is what limits: one that syncs faster stores more."
    if store.cpu_ms is not None and store.cpu_ms > takes * MOST:
        return f"{told}. The processor is what limits."
    return f"{told}. Neither limits alone: the sender and what else runs here take their share."


class _Counted:
    """An instance that comes back: its bytes are counted and forgotten."""

    code = 0

    def __init__(self) -> None:
        self.size_bytes = 0

    def write(self, data: Buffer) -> None:
        self.size_bytes += len(data)

    def finish(self) -> "_Counted":
        return self

    def discard(self) -> None:
        """Nothing is kept."""


class _Browser:
    """One HTTP connection that is used again, as a viewer does."""

    def __init__(self, node: Temporary) -> None:
        self._connection = http.client.HTTPConnection(node.config.web.host, node.config.web.port, timeout=60)

    def __enter__(self) -> "_Browser":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def get(self, path: str) -> bytes:
        """The body of a good answer."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        _expect(answer.status, 200, f"status of {path}")
        return body


def _shares(count: int, parts: int) -> list[int]:
    """*count* in so many parts, none of them empty."""
    return [max(1, count * (number + 1) // parts - count * number // parts) for number in range(parts)]


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Unavailable(f"The temporary node answered wrongly ({what}: {found}, not {wanted}).")
