"""An Orthanc brought into the archive: the first time everything, then what its change log tells. The Work of a pull.

Knows peers and the archive, not when and how often: see archive.pull. The unit is a series: Orthanc names its
instances, those that we lack are downloaded, compared with the digest that it kept, and looked for among ours then.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from relais.access.principals import OPERATOR
from relais.archive import Archive, holdings, ingest
from relais.archive.pull import OPEN, Outcome, Pull, Report, Unit
from relais.dicom import uids
from relais.dicom.origin import Origin
from relais.dicom.refs import SeriesRef
from relais.errors import InvalidDataSet, NodeError, NotFound, Unavailable
from relais.peers.orthanc import OrthancInstance, OrthancPeer

CURSOR, DATABASE = (
    "changes",
    "database",
)  # keys of the ledger; series have Orthanc's identifiers, which are unlike these
DAMAGED = "The file is not the one that Orthanc stored: its MD5 is another."
GONE = "{} deleted there meanwhile"
LEFT = "attached to {} and not taken, since it is no DICOM: {}"


@dataclass(slots=True)
class _Fetched:
    """What became of the instances of one series."""

    received: int = 0
    gone: set[str] = field(default_factory=set)
    attached: list[str] = field(default_factory=list)

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
        return report

    def _is_first(self) -> bool:
        """Whether everything is to be looked at: no run has come to its end, or it is not the same database."""
        ledger, identity = self._pull.ledger, self._peer.identity()
        cursor = int(ledger.get(CURSOR) or -1)
        is_other = ledger.get(DATABASE) not in {None, identity} or cursor > self._peer.last_change()
        ledger.note(DATABASE, identity)
        return self._pull.again or is_other or cursor < 0

    def _units(self) -> Iterator[Unit]:
        for series_id in self._pull.ledger.keys_with(OPEN):
            yield Unit(series_id)
        if self._is_first():
            self._cursor, self._pull.report.total = self._peer.last_change(), self._peer.count_series()
            for series in self._peer.all_series():
                yield Unit(series.id, str(series.instances), series.instances)
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
        except NotFound:
            return Outcome(notes=[GONE.format("the series was")])
        held = self._held(ref)
        fetched = _Fetched(attached=attached)
        for instance in instances:
            if instance.sop_instance_uid not in held and not self._pull.is_ending():
                try:
                    self._fetch(unit, instance, fetched)
                except NodeError:
                    self._pull.came(unit, fetched.received, len(held) + fetched.received)
                    raise
        held = self._held(ref)
        left = [one for one in instances if one.id not in fetched.gone]
        missing = [one.sop_instance_uid for one in left if one.sop_instance_uid not in held]
        return Outcome(len(left), fetched.received, missing, fetched.notes)

    def _fetch(self, unit: Unit, instance: OrthancInstance, fetched: _Fetched) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            with ingest.receive_part10(self._archive, self._origin) as receiving:
                for piece in self._peer.retrieve(instance.id):
                    self._pull.received(len(piece))
                    digest.update(piece)
                    receiving.write(piece)
                if self._peer.md5(instance.id) not in {"", digest.hexdigest()}:
                    raise InvalidDataSet(DAMAGED)
                fetched.attached += self._attached("instances", instance.id)
                receiving.finish()
            fetched.received += 1
        except Unavailable:
            raise
        except NotFound:
            fetched.gone.add(instance.id)
        except NodeError as exc:
            self._pull.refused(unit, instance.sop_instance_uid, f"refused here: {exc.message}")

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
        is_known = uids.is_valid(ref.study_instance_uid) and uids.is_valid(ref.series_instance_uid)
        return holdings.sop_instance_uids(self._archive, OPERATOR, ref) if is_known else set()
