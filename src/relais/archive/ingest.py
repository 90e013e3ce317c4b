"""The one door for bytes: every instance that the node keeps came through here, whoever brought it.

1. The Data Set is kept as it came, bit for bit, behind a File Meta Information of ours that says where it came from.
2. Bytes are durable before rows commit; rows, counters, change and audit commit together; only then is it Stored.
3. After a crash there may be bytes without a row (archive.maintenance.sweep sees to them), never a row without bytes.
4. What is refused leaves nothing behind.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple, Self

from pydicom.uid import UID

from relais.access import audit
from relais.access.policy import Action
from relais.access.principals import of_origin
from relais.archive import Archive, registration, removal
from relais.archive.integrity import Lost, look_at_kept
from relais.archive.sameness import is_same
from relais.archive.settings import OnConflict
from relais.db.database import Transaction
from relais.dicom import contexts, part10, uids
from relais.dicom.header import LACKS_PIXELS, Header, early_ref, read_header
from relais.dicom.json_model import values
from relais.dicom.origin import Origin
from relais.dicom.refs import InstanceRef
from relais.errors import (
    Conflict,
    InvalidDataSet,
    Mismatch,
    NodeError,
    TooLarge,
    UnsupportedSOPClass,
    UnsupportedTransferSyntax,
    Unwanted,
)
from relais.index import condemned, lookup
from relais.index.rows import InstanceFacts, Outcome, Registered
from relais.storage.base import Buffer, StoredObject
from relais.storage.layout import fresh_token, instance_key
from relais.telemetry import metrics

log = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
NUMBER_OF_FRAMES = 0x00280008
OTHER_META = "The File Meta Information named another SOP Class or Instance than the Data Set."
OTHER_PATIENT = (
    "Patient ID or Issuer of Patient ID is not that of the study, which is found by that of its first instance."
)
EARLY_BYTES = 8 * 1024 * 1024  # of an instance; who has more to come is asked who it is before it is whole
HEAD_BYTES = 64 * 1024  # of a Part 10 stream, looked at before the Data Set is passed on


class Claim(NamedTuple):
    """What was announced with a Data Set: by the command set, the File Meta Information or the URL.

    *transfer_syntax_uid* is believed; the others must agree with the Data Set where they are given. Only the study must
    if the claim *is_hint*: the Data Set then wins, and a warning says so.
    """

    transfer_syntax_uid: str
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    is_hint: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that is durable, and what became of it. *warnings* are sentences about what is odd in it."""

    ref: InstanceRef
    sop_class_uid: str
    outcome: Outcome
    size_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def lacks_pixels(self) -> bool:
        """Whether it is not what its SOP Class wants: it has less Pixel Data than it says."""
        return LACKS_PIXELS in self.warnings


class Receiving:
    """One instance on its way in: write its encoded Data Set in pieces of any size, then finish.

    A context manager: leaving it without finish leaves no trace. Memory does not grow with the size of the instance.
    """

    def __init__(self, archive: Archive, claim: Claim, origin: Origin) -> None:
        self._principal = of_origin(origin)
        archive.policy.decide(self._principal, Action.STORE)
        if not contexts.is_transfer_syntax(claim.transfer_syntax_uid):
            raise UnsupportedTransferSyntax
        for uid in (claim.sop_class_uid, claim.sop_instance_uid):
            if uid and not uids.is_valid(uid):
                raise Mismatch("What was announced with the Data Set is not a UID.")
        if claim.sop_class_uid:
            _check_sop_class(claim.sop_class_uid)
        registration.check_writable(archive)
        self._archive, self._claim, self._origin = archive, claim, origin
        self._received_at = round(time.time(), 3)
        self._is_expected = self._is_closed = False
        self._expected: tuple[InstanceRef | None, str] = (None, "")
        self._head = self._encode_head(claim.sop_class_uid or "", claim.sop_instance_uid or "")
        self._upload = archive.store.begin(self._head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._upload.__exit__(*exc_info)

    def write(self, chunk: Buffer) -> None:
        """Take the next piece of the Data Set. Raises TooLarge, OutOfResources."""
        upload = self._upload
        upload.write(chunk)
        size_bytes = upload.size_bytes
        if size_bytes > self._archive.settings.max_instance_bytes:
            raise TooLarge(f"An instance may have at most {self._archive.settings.max_instance_bytes} bytes.")
        if size_bytes > EARLY_BYTES and not self._is_expected:
            self._expect()

    def finish(self) -> Stored:
        """Make the instance durable and findable.

        Raises InvalidDataSet if it is truncated or lacks a required UID, Mismatch if it is not what was announced,
        UnsupportedSOPClass, Conflict (only with on_conflict = keep), Unwanted, OutOfResources or Unavailable.
        """
        with self:
            self._upload.complete()
            header = self._read_header()
            self._check(header)
            if (self._claim.sop_class_uid, self._claim.sop_instance_uid) != _sop(header):
                header = self._begin_again(header)
            key = self._expected[1] if self._expected[0] == header.ref else instance_key(header.ref, fresh_token())
            try:
                stored = self._upload.stage(key)
                registered = self._register(self._facts(header, key, stored))
            except NodeError:  # whatever failed, the object may be there, and a sweep may have come across it
                registration.give_up(self._archive, header.ref, key)
                raise
        seconds = time.time() - self._received_at
        metrics.store(self._origin.channel, registered.outcome, stored.size_bytes, seconds)
        warnings = self._warnings(header, registered)
        return Stored(header.ref, header.sop_class_uid, registered.outcome, stored.size_bytes, warnings)

    def _encode_head(self, sop_class_uid: str, sop_instance_uid: str) -> bytes:
        meta = part10.FileMeta(
            self._claim.transfer_syntax_uid,
            sop_class_uid,
            sop_instance_uid,
            source_ae_title=self._origin.calling_ae_title,
            sending_ae_title=self._origin.calling_ae_title,
            receiving_ae_title=self._origin.called_ae_title,
            private=part10.private_information(self._origin, self._received_at),
        )
        return part10.encode_head(meta)

    def _expect(self) -> None:
        """Tell the store the key of what is large as soon as it is known: it may begin to bring it there."""
        self._is_expected, upload = True, self._upload
        ref = early_ref(upload.read_range, upload.size_bytes, len(self._head), self._claim.transfer_syntax_uid)
        if ref is not None:
            self._expected = (ref, instance_key(ref, fresh_token()))
            upload.expect(self._expected[1])

    def _read_header(self) -> Header:
        upload = self._upload
        return read_header(upload.read_range, upload.size_bytes, len(self._head), self._claim.transfer_syntax_uid)

    def _check(self, header: Header) -> None:
        _check_sop_class(header.sop_class_uid)
        for keyword, tag, announced, found in (
            ("Study Instance UID", 0x0020000D, self._claim.study_instance_uid, header.ref.study_instance_uid),
            ("SOP Class UID", 0x00080016, self._claim.sop_class_uid, header.sop_class_uid),
            ("SOP Instance UID", 0x00080018, self._claim.sop_instance_uid, header.ref.sop_instance_uid),
        )[: 1 if self._claim.is_hint else 3]:
            if announced and announced != found:
                raise Mismatch(f"{keyword} in the Data Set is not the one announced with it.", tag=tag)

    def _warnings(self, header: Header, registered: Registered) -> tuple[str, ...]:
        announced, found = (self._claim.sop_class_uid, self._claim.sop_instance_uid), _sop(header)
        is_other = announced != found and any(a and a != f for a, f in zip(announced, found, strict=True))
        if registered.is_of_another_patient:
            log.warning("of another patient than its study sop_instance_uid=%s", header.ref.sop_instance_uid)
        odd = ((OTHER_META, is_other), (OTHER_PATIENT, registered.is_of_another_patient))
        return header.warnings + tuple(sentence for sentence, is_so in odd if is_so)

    def _begin_again(self, header: Header) -> Header:
        """Write the same Data Set behind a true head, where its UIDs had not been announced, or others had been."""
        former, offset = self._upload, len(self._head)
        self._head = self._encode_head(header.sop_class_uid, header.ref.sop_instance_uid)
        self._upload = self._archive.store.begin(self._head)
        with former:
            while chunk := former.read_range(offset, CHUNK_BYTES):
                self._upload.write(chunk)
                offset += len(chunk)
        return self._read_header()

    def _facts(self, header: Header, key: str, stored: StoredObject) -> InstanceFacts:
        return InstanceFacts(
            ref=header.ref,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=header.transfer_syntax_uid,
            attributes=header.attributes,
            key=key,
            size_bytes=stored.size_bytes,
            digest=stored.digest,
            head_digest=stored.head_digest,
            layout=header.layout,
            origin=self._origin,
            received_at=self._received_at,
        )

    def _register(self, facts: InstanceFacts) -> Registered:
        """Commit rows, counters, change and audit when the bytes are durable. Whatever it raises, they are given up.

        Where another object is kept for the instance nothing is written before that was looked at.
        """
        archive, may_replace = self._archive, self._archive.settings.on_conflict is OnConflict.REPLACE
        lost: Lost | None = None

        def work(tx: Transaction) -> Registered | None:
            registered = registration.register(archive, tx, facts, lost, replace=may_replace)
            if registered is not None and (lost is not None or not registration.is_met(registered, facts)):
                self._complete(tx, facts, registered)
            return registered

        registered = archive.db.write(work)
        if lost is None and registration.is_met(registered, facts):
            lost = look_at_kept(archive, facts)
            registered = archive.db.write(work)
        if registered is None:
            raise Unwanted
        if registered.outcome is Outcome.KEPT_FIRST:
            return self._compared(facts, registered)
        if registered.superseded_key == facts.key:
            removal.take_away(archive, [facts.key])
        return registered

    def _complete(self, tx: Transaction, facts: InstanceFacts, registered: Registered) -> None:
        """What else is committed with the rows."""
        if registered.outcome is Outcome.DUPLICATE and registered.superseded_key:
            condemned.add(tx, [facts.key])
        detail: dict[str, object] = {"outcome": registered.outcome, "channel": self._origin.channel}
        audit.write(tx, audit.Record(self._principal, Action.STORE, facts.ref.study_instance_uid, detail))
        self._upload.seal()  # last: the disk was busy with the bytes meanwhile

    def _compared(self, facts: InstanceFacts, registered: Registered) -> Registered:
        """Tell the same instance in another encoding, which is a duplicate, from another one, which is a conflict."""
        kept = lookup.instance(self._archive.db, facts.ref)
        if kept is None or not is_same(self._archive, kept, replace(kept, **_stored(facts))):
            raise Conflict
        registration.give_up(self._archive, facts.ref, facts.key)
        return replace(registered, outcome=Outcome.DUPLICATE)


class Part10Receiving:
    """The same for a Part 10 file on its way in, head and all, in pieces of any size.

    The sender's File Meta Information is read, believed for the Transfer Syntax, and not kept.

    Seen: files whose UIDs were changed in the Data Set only (rtplan.dcm and others of pydicom): the Data Set wins.
    """

    def __init__(self, archive: Archive, origin: Origin, study_instance_uid: str | None = None) -> None:
        archive.policy.decide(of_origin(origin), Action.STORE)
        self._archive, self._origin, self._study = archive, origin, study_instance_uid
        self._start = bytearray()
        self._receiving: Receiving | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._receiving:
            self._receiving.__exit__(*exc_info)

    def write(self, chunk: Buffer) -> None:
        """Take the next piece of the file. Raises as Receiving does, and InvalidDataSet if it is no Part 10 file."""
        if self._receiving:
            self._receiving.write(chunk)
            return
        self._start += chunk
        if len(self._start) >= HEAD_BYTES:
            self._begin()

    def finish(self) -> Stored:
        """As Receiving.finish."""
        return (self._receiving or self._begin()).finish()

    def _begin(self) -> Receiving:
        meta, end = part10.parse_whole_head(self._start)
        if not meta.transfer_syntax_uid:
            raise InvalidDataSet("The File Meta Information names no Transfer Syntax.")
        class_uid, instance_uid = (u if uids.is_valid(u) else None for u in (meta.sop_class_uid, meta.sop_instance_uid))
        claim = Claim(meta.transfer_syntax_uid, class_uid, instance_uid, self._study, is_hint=True)
        self._receiving = Receiving(self._archive, claim, self._origin)
        self._receiving.write(bytes(self._start[end:]))
        self._start.clear()
        return self._receiving


def receive(archive: Archive, claim: Claim, origin: Origin) -> Receiving:
    """Begin to take one instance in, whose encoded Data Set will be written piece by piece.

    Raises Forbidden, UnsupportedSOPClass, UnsupportedTransferSyntax, OutOfResources.
    """
    return Receiving(archive, claim, origin)


def receive_part10(archive: Archive, origin: Origin, study_instance_uid: str | None = None) -> Part10Receiving:
    """Begin to take in one Part 10 file, of that study if one is given. Raises Forbidden."""
    return Part10Receiving(archive, origin, study_instance_uid)


def store(archive: Archive, claim: Claim, chunks: Iterable[Buffer], origin: Origin) -> Stored:
    """Take one instance in, whoever brought it, and return its ref and what became of it.

    Storing the same instance again, in whatever encoding, is a success that changes nothing. Raises as Receiving does.
    """
    with receive(archive, claim, origin) as receiving:
        for chunk in chunks:
            receiving.write(chunk)
        return receiving.finish()


def store_part10(archive: Archive, stream: BinaryIO, origin: Origin, study_instance_uid: str | None = None) -> Stored:
    """Take in one Part 10 file from *stream*. Raises as Receiving does."""
    with receive_part10(archive, origin, study_instance_uid) as receiving:
        while chunk := stream.read(CHUNK_BYTES):
            receiving.write(chunk)
        return receiving.finish()


def _stored(facts: InstanceFacts) -> dict[str, Any]:
    """What a row of *facts* would say of its bytes."""
    frames = values(facts.attributes, NUMBER_OF_FRAMES)
    return {
        "key": facts.key,
        "transfer_syntax_uid": facts.transfer_syntax_uid,
        "size_bytes": facts.size_bytes,
        "layout": facts.layout,
        "number_of_frames": frames[0] if frames and isinstance(frames[0], int) else 1,
    }


def _sop(header: Header) -> tuple[str, str]:
    return header.sop_class_uid, header.ref.sop_instance_uid


@lru_cache(maxsize=1024)
def _check_sop_class(sop_class_uid: str) -> None:
    """Refuse what the standard defines as something else than storage; private classes are kept as they come."""
    uid = UID(sop_class_uid)
    if uid.is_valid and not uid.is_private and sop_class_uid not in contexts.STORAGE_SOP_CLASSES and uid.type:
        raise UnsupportedSOPClass(f"{uid.name} is not a storage SOP Class.")
