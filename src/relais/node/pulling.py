"""Studies of a peer brought into the archive, from a DIMSE one by C-FIND and C-GET or C-MOVE: the Work of a pull.

Knows peers and the archive, not when and how often: see archive.pull. What a study is to have, the peer says by its
SOP Instance UIDs where it answers queries for series and instances, else by its number of instances alone.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relais.access.principals import OPERATOR
from relais.archive import Archive, holdings
from relais.archive.ingest import Claim, Stored
from relais.archive.pull import Outcome, Pull, Report, Unit
from relais.dicom import json_model, uids
from relais.dicom.attributes import Level
from relais.dicom.origin import Origin
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import SeriesRef, StudyRef
from relais.dimse.status import Status
from relais.dimse.store import Incoming
from relais.errors import NodeError, OutOfResources
from relais.index import rows
from relais.peers.base import Announced, Buffer, Refused
from relais.peers.dicomweb import DicomwebPeer
from relais.peers.dimse import DimsePeer
from relais.peers.discovery import NUMBER_OF_INSTANCES, STUDY_INSTANCE_UID, Discovery

SERIES_INSTANCE_UID, SOP_INSTANCE_UID, SOP_CLASS_UID = 0x0020000E, 0x00080018, 0x00080016
OUTSIDE = "The peer did not tell all its studies of {}: narrower keys may help."

Named = Mapping[SeriesRef, Mapping[str, str]]  # SOP Classes by SOP Instance UID


class By(StrEnum):
    """How instances come: on the association that asks for them, from the peer to the node that runs, or by HTTP."""

    GET = "get"
    MOVE = "move"
    WEB = "web"


@dataclass(slots=True)
class Taken:
    """What came for one study over connections of our own. *received* are those that were not here before."""

    unit: Unit
    pull: Pull
    archive: Archive
    origin: Origin
    received: int = 0
    full: OutOfResources | None = None

    def receive(self, announced: Announced) -> "_Paced":
        claim = Claim(announced.transfer_syntax_uid, announced.sop_class_uid, announced.sop_instance_uid)
        incoming = Incoming(self.archive, claim, announced.context_sop_class_uid, self.origin)
        return _Paced(incoming, announced.sop_instance_uid, self)

    def stored(self, stored: Stored) -> None:
        """Count an instance that came whole."""
        self.received += stored.outcome is not rows.Outcome.DUPLICATE

    def refused(self, instance: Hashable, why: str) -> None:
        """Note one that was not taken."""
        self.pull.refused(self.unit, instance, why)


@dataclass(slots=True)
class _Paced:
    """One instance, taken at the pace of the pull."""

    incoming: Incoming
    sop_instance_uid: str
    taken: Taken

    def write(self, data: Buffer) -> None:
        self.incoming.write(data)
        self.taken.pull.received(len(data))

    def finish(self) -> Status:
        status = self.incoming.finish()
        if self.incoming.stored is not None:
            self.taken.stored(self.incoming.stored)
        if isinstance(self.incoming.error, OutOfResources):
            self.taken.full = self.incoming.error
        elif status.is_failure:
            self.taken.refused(self.sop_instance_uid, f"refused here with status {status.code:04X}: {status.comment}")
        return status

    def discard(self) -> None:
        self.incoming.discard()


class StudyPull(ABC):
    """Brings the studies that a peer tells. How their instances come is what the kinds of it differ in.

    *passes* say of each attempt at a study whether to take what is compressed uncompressed.
    """

    passes: tuple[bool, ...] = (True, False)

    def __init__(self, pull: Pull, archive: Archive, peer: DimsePeer | DicomwebPeer, origin: Origin) -> None:
        self._pull, self._archive, self._peer, self._origin = pull, archive, peer, origin

    @abstractmethod
    def transfer(self, ref: StudyRef | SeriesRef, sop_classes: list[str], taken: Taken, *, uncompressed: bool) -> str:
        """Have what *ref* names brought into *taken*; what is to be said of it. Raises Unavailable, OutOfResources."""

    def run(self, matches: tuple[Match, ...], parallel: int) -> Report:
        """Bring the studies that *matches* name, all of which are asked for before. Raises Unavailable, Refused."""
        units = list(self._units(matches))
        self._pull.report.total = len(units)
        return self._pull.run(units, self.bring, parallel)

    def _units(self, matches: tuple[Match, ...]) -> Iterator[Unit]:
        """The studies that the peer tells for *matches*; what it did not tell is noted."""
        discovery = Discovery(self._peer, matches, datetime.now().astimezone().date())
        for study in discovery.studies():
            count = _count(study)
            uid = json_model.text(study, STUDY_INSTANCE_UID) or ""
            yield Unit(uid, "" if count is None else str(count), count or 0)
        for window in discovery.cut:
            self._pull.miss(window, OUTSIDE.format(window))

    def bring(self, unit: Unit) -> Outcome:
        """One study: the Work of the pull. Raises Unavailable, OutOfResources."""
        study, taken = StudyRef(unit.key), Taken(unit, self._pull, self._archive, self._origin)
        try:
            return self._brought(unit, study, taken)
        except NodeError:
            self._pull.came(unit, taken.received, len(self._held(study)))
            raise

    def _brought(self, unit: Unit, study: StudyRef, taken: Taken) -> Outcome:
        named = self._named(study)
        outcome = Outcome()
        before = held = self._held(study)
        for uncompressed in self.passes:
            outcome.notes.clear()
            for ref, classes in _wanted(study, named, held, unit.instances):
                if self._pull.is_ending():
                    break
                said = self.transfer(ref, classes, taken, uncompressed=uncompressed)
                outcome.notes += [said] if said else []
            held = self._held(study)
        outcome.received = taken.received or len(held - before)
        _compare(outcome, named, held, unit.instances)
        return outcome

    def goes_on(self) -> bool:
        """Whether the pull is not to be broken off."""
        return not self._pull.is_ending()

    def _held(self, study: StudyRef) -> set[str]:
        return holdings.sop_instance_uids(self._archive, OPERATOR, study)

    def _named(self, study: StudyRef) -> Named:
        """What the peer says the study has; {} if it does not answer at these levels."""
        of_study = Match(STUDY_INSTANCE_UID, MatchKind.SINGLE_VALUE, (study.study_instance_uid,))
        named: dict[SeriesRef, dict[str, str]] = {}
        try:
            with self._peer.searching() as search:
                for series_uid in _told(search(Query(Level.SERIES, (of_study,))), SERIES_INSTANCE_UID):
                    named[SeriesRef(study.study_instance_uid, series_uid)] = {}
                for ref, instances in named.items():
                    of_series = Match(SERIES_INSTANCE_UID, MatchKind.SINGLE_VALUE, (ref.series_instance_uid,))
                    query = Query(Level.IMAGE, (of_study, of_series), frozenset({SOP_CLASS_UID}))
                    instances.update(_told(search(query), SOP_INSTANCE_UID))
        except Refused:
            return {}
        return named


class DimsePull(StudyPull):
    """Of a DIMSE peer: by C-GET, or by C-MOVE to *destination*, the node that runs."""

    def __init__(self, pull: Pull, archive: Archive, peer: DimsePeer, origin: Origin, destination: str = "") -> None:
        super().__init__(pull, archive, peer, origin)
        self._dimse, self._destination = peer, destination
        self.passes = (True,) if destination else (True, False)

    def transfer(self, ref: StudyRef | SeriesRef, sop_classes: list[str], taken: Taken, *, uncompressed: bool) -> str:
        if self._destination:
            said = self._dimse.move(ref, self._destination, self.goes_on)
        else:
            said = self._dimse.get(ref, sop_classes, taken.receive, self.goes_on, uncompressed=uncompressed)
            if taken.full is not None:
                raise taken.full
        if not said.status:
            return ""
        comment = f": {said.comment}" if said.comment else ""
        return (
            f"{self._dimse.name} ended {in_words(ref)} with status {said.status:04X}{comment} ({said.failed} failed)."
        )


def in_words(ref: StudyRef | SeriesRef) -> str:
    """*ref* in a sentence about its study."""
    return f"series {ref.series_instance_uid}" if isinstance(ref, SeriesRef) else "the study"


def _told(answers: Iterable[json_model.JsonDataset], unique_key: int) -> dict[str, str]:
    """The UIDs under *unique_key*, and the SOP Class of each, "" where it is not told."""
    found = {json_model.text(one, unique_key) or "": json_model.text(one, SOP_CLASS_UID) or "" for one in answers}
    return {uid: sop_class_uid for uid, sop_class_uid in found.items() if uids.is_valid(uid)}


def _wanted(
    study: StudyRef, named: Named, held: set[str], instances: int
) -> Iterator[tuple[StudyRef | SeriesRef, list[str]]]:
    """What to ask for, and the SOP Classes that may come: the whole study, or the series of which something is missing.

    No SOP Classes are nobody knows which.
    """
    if not any(named.values()):
        if not held or len(held) < instances:
            yield study, []
        return
    if held.isdisjoint(uid for series in named.values() for uid in series):
        yield study, _classes(*named.values())
        return
    for ref, series in named.items():
        if not held.issuperset(series):
            yield ref, _classes(series)


def _classes(*series: Mapping[str, str]) -> list[str]:
    """The commonest first; [] if one is not known."""
    found = Counter(uid for one in series for uid in one.values())
    return [] if "" in found else [uid for uid, _ in found.most_common()]


def _compare(outcome: Outcome, named: Named, held: set[str], counted: int) -> None:
    """Put into *outcome* what the study has and what of it is missing."""
    expected = {uid for series in named.values() for uid in series}
    outcome.instances = max(len(expected), counted)
    outcome.missing = sorted(expected - held)
    outcome.unnamed = max(0, counted - max(len(held), len(expected)))
    if not (expected or counted or held):
        outcome.unnamed = None


def _count(study: json_model.JsonDataset) -> int | None:
    found = json_model.values(study, NUMBER_OF_INSTANCES)
    try:
        return int(found[0]) if found else None
    except (TypeError, ValueError):
        return None
