"""An Orthanc brought into the archive: the first time everything, then what its change log tells. The Work of a pull.

Knows peers and the archive, not when and how often: see archive.pull. The unit is a series: Orthanc names its
instances. A file of theirs that is not known to have come is downloaded, compared with the digest that it kept, and
given to archive.ingest, which alone can tell whether what is held under these UIDs is the same.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from relais.access.principals import OPERATOR
from relais.archive import Archive, holdings, ingest
from relais.archive.fetched import Fetched
from relais.archive.ingest import Stored
from relais.archive.pull import OPEN, Outcome, Pull, Report, Unit
from relais.archive.settings import OnConflict
from relais.dicom import uids
from relais.dicom.origin import Origin
from relais.dicom.refs import InstanceRef, SeriesRef
from relais.errors import Conflict, InvalidDataSet, NodeError, NotFound, Unavailable
from relais.index import rows
from relais.peers.orthanc import OrthancInstance, OrthancPeer

CURSOR, DATABASE, BEGUN = "changes", "database", "begun"
"""Keys of the ledger: the change up to which everything is here, whose log that is, and the last change of the log when
a run began that looks at everything and has not ended. Series have Orthanc's identifiers, which are unlike these. UIDs
are the key of what replaced another instance: Orthanc's identifier of that which is here since."""
DAMAGED = "The file is not the one that Orthanc stored: its MD5 is another."
TWINS = "Orthanc has several instances of these UIDs, of several patients, of which one can be here."
GONE = "{} deleted there meanwhile"
LEFT = "attached to {} and not taken, since it is no DICOM: {}"


@dataclass(slots=True)
class _Visit:
    """What becomes of the instances of one series. *held* are those that were here before, by SOP Instance UID.

    *known* says as which files they came. By Orthanc's identifiers: what is *here* for certain, what is *gone*, and
    *twins*, the series of other patients with these UIDs.
    """

    unit: Unit
    ref: SeriesRef
    held: set[str]
    known: Fetched
    twins: list[str]
    attached: list[str]
    received: int = 0
    here: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def called(self, instance: OrthancInstance) -> InstanceRef:
        return InstanceRef(self.ref.study_instance_uid, self.ref.series_instance_uid, instance.sop_instance_uid)

    def came(self, instance: OrthancInstance, md5: str, stored: Stored) -> None:
        self.known.add(instance.id, (instance.file, md5))
        self.here.add(instance.id)
        self.received += stored.outcome is not rows.Outcome.DUPLICATE

    @property
    def notes(self) -> list[str]:
        gone = [GONE.format(len(self.gone))] if self.gone else []
        return gone + self.attached


class OrthancPull:
    """Brings what *peer* holds into *archive*."""

    def __init__(self, pull: Pull, archive: Archive, peer: OrthancPeer, origin: Origin) -> None:
        self._pull, self._archive, self._peer, self._origin = pull, archive, peer, origin
        self._cursor = 0
        self._studies: dict[str, str] = {}  # Study Instance UIDs by Orthanc's identifiers

    def run(self, parallel: int) -> Report:
        """Bring everything, or what is new since the last run that came to its end. Raises Unavailable."""
        report = self._pull.run(self._units(), self.bring, parallel)
        if not self._pull.is_ending():
            self._pull.ledger.note(CURSOR, str(self._cursor))
            self._pull.ledger.note(BEGUN)
        return report

    def _is_first(self) -> bool:
        """Whether everything is to be looked at: no run has come to its end, or it is not the same database."""
        ledger, identity = self._pull.ledger, self._peer.identity()
        cursor = int(ledger.get(CURSOR) or -1)
        is_other = ledger.get(DATABASE) not in {None, identity} or cursor > self._peer.last_change()
        if is_other:  # noted first: if this run is killed, nothing of the other log is believed by the next one
            ledger.note(CURSOR)
            ledger.note(BEGUN)
        ledger.note(DATABASE, identity)
        return self._pull.again or is_other or cursor < 0

    def _begin(self) -> int:
        """The last change of the log when this run began, or one like it that was ended before its end.

        A series that was complete then is not looked at again for itself: what became of it since, the log tells.
        """
        ledger, last = self._pull.ledger, self._peer.last_change()
        begun = int(ledger.get(BEGUN) or -1)
        if not 0 <= begun <= last:
            begun = last
            ledger.note(BEGUN, str(begun))
        return begun

    def _units(self) -> Iterator[Unit]:
        for series_id in self._pull.ledger.keys_with(OPEN):
            yield Unit(series_id)
        if self._is_first():
            self._cursor, self._pull.report.total = self._begin(), self._peer.count_series()
            for series in self._peer.all_series():
                yield Unit(series.id, f"{series.mark} {self._cursor}", series.instances)
        else:
            self._cursor = int(self._pull.ledger.get(CURSOR) or 0)
        is_done = False
        while not is_done:
            changes = self._peer.changes(self._cursor)
            if changes.instances:
                yield from (Unit(one.id, None, one.instances) for one in self._peer.series_of(changes.instances))
            self._cursor, is_done = max(self._cursor, changes.last), changes.is_done

    def bring(self, unit: Unit) -> Outcome:
        """One series: the Work of the pull. Raises Unavailable, OutOfResources."""
        try:
            series = self._peer.series(unit.key)
            ref = SeriesRef(self._study(series.parent), series.series_instance_uid)
            instances = self._peer.instances(unit.key)
            attached = self._attached("series", unit.key)
            twins = self._twins(unit.key, ref)
        except NotFound:
            return Outcome(notes=[GONE.format("the series was")])
        with Fetched(self._pull.ledger, unit.key) as known:
            visit = _Visit(unit, ref, self._held(ref), known, twins, attached)
            try:
                self._visit(visit, instances)
            except NodeError:
                self._pull.came(unit, visit.received, len(visit.here))
                raise
        held = self._held(ref)
        left = [one for one in instances if one.id not in visit.gone]
        missing = [one.sop_instance_uid for one in left if not (one.id in visit.here and one.sop_instance_uid in held)]
        return Outcome(len(left), visit.received, missing, visit.notes)

    def _visit(self, visit: _Visit, instances: list[OrthancInstance]) -> None:
        """What has come before is seen to first: then it is counted, whatever happens to the rest."""
        wanted = []
        for instance in instances:
            if self._pull.is_ending():
                return
            if not self._has_come(visit, instance):
                wanted.append(instance)
        for instance in wanted:
            if self._pull.is_ending():
                return
            self._fetch(visit, instance)

    def _has_come(self, visit: _Visit, instance: OrthancInstance) -> bool:
        """Whether the file that Orthanc has now is the one that came last; it is asked for the MD5 of a new file."""
        known, name = visit.known, instance.id
        if instance.sop_instance_uid not in visit.held or not self._is_last(known, visit.called(instance), name):
            return False
        if not known.has_file(name, instance.file):
            try:
                md5 = self._peer.md5(name)
            except NotFound:
                return False
            if not known.has_file(name, md5):
                return False
            known.add(name, (instance.file, md5))
        visit.here.add(name)
        return True

    def _fetch(self, visit: _Visit, instance: OrthancInstance) -> None:
        try:
            self._take(visit, instance)
        except Unavailable:
            raise
        except NotFound:
            visit.gone.add(instance.id)
        except NodeError as exc:
            self._pull.refused(visit.unit, instance.sop_instance_uid, f"refused here: {exc.message}")

    def _take(self, visit: _Visit, instance: OrthancInstance) -> None:
        self._check_twins(visit, instance)
        digest = hashlib.md5(usedforsecurity=False)
        with ingest.receive_part10(self._archive, self._origin) as receiving:
            for piece in self._peer.retrieve(instance.id):
                self._pull.received(len(piece))
                digest.update(piece)
                receiving.write(piece)
            if self._peer.md5(instance.id) not in {"", digest.hexdigest()}:
                raise InvalidDataSet(DAMAGED)
            visit.attached += self._attached("instances", instance.id)
            stored = receiving.finish()
        if stored.outcome is rows.Outcome.REPLACED:
            self._pull.ledger.note(_key(stored.ref), instance.id)
        visit.came(instance, digest.hexdigest(), stored)

    def _is_last(self, known: Fetched, ref: InstanceRef, name: str) -> bool:
        """Whether *name* came, and nothing else of Orthanc's took its place."""
        return known.has(name) and self._pull.ledger.get(_key(ref)) in {None, name}

    def _check_twins(self, visit: _Visit, instance: OrthancInstance) -> None:
        """Raises Conflict if another one of Orthanc's has these UIDs and came, or comes, first.

        Where instances may be replaced, they would otherwise replace each other, and nobody were told.
        """
        ref = visit.called(instance)
        if not visit.twins or self._is_last(visit.known, ref, instance.id):
            return
        ledgers = [Fetched(self._pull.ledger, series) for series in visit.twins]
        for other in self._peer.called(ref):
            if other < instance.id or any(self._is_last(one, ref, other) for one in ledgers):
                raise Conflict(TWINS)

    def _twins(self, series_id: str, ref: SeriesRef) -> list[str]:
        """The other series with these UIDs, which are of other patients. Asked only where it matters."""
        if self._archive.settings.on_conflict is not OnConflict.REPLACE or not _is_valid(ref):
            return []
        return [one for one in self._peer.called(ref) if one != series_id]

    def _study(self, study_id: str) -> str:
        """The Study Instance UID; the first time, what is attached to the study is noted."""
        if study_id not in self._studies:
            self._studies[study_id] = self._peer.study_instance_uid(study_id)
            self._pull.remark(study_id, self._attached("studies", study_id))
        return self._studies[study_id]

    def _attached(self, level: str, resource_id: str) -> list[str]:
        names = self._peer.foreign_attachments(level, resource_id)
        return [LEFT.format(f"{level}/{resource_id}", ", ".join(names))] if names else []

    def _held(self, ref: SeriesRef) -> set[str]:
        return holdings.sop_instance_uids(self._archive, OPERATOR, ref) if _is_valid(ref) else set()


def _is_valid(ref: SeriesRef) -> bool:
    return uids.is_valid(ref.study_instance_uid) and uids.is_valid(ref.series_instance_uid)


def _key(ref: InstanceRef) -> str:
    return f"{ref.study_instance_uid} {ref.series_instance_uid} {ref.sop_instance_uid}"
