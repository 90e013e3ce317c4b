"""How a stored object gets its row, whoever found it: ingest has just stored it, the sweep came across it.

Both may find the same object at the same time. Never a row without bytes:

1. Whoever gives up an object whose key may have been seen condemns the key first, durably, and only if no row names it.
2. What is condemned is not registered.
3. An object is registered only when its bytes and its name survive a power cut.

Where an object is kept for the same instance, it is looked at before the newcomer is given up, with the index unlocked.
"""

import logging

from relais.archive import Archive, removal, spooling
from relais.archive.integrity import Lost
from relais.archive.settings import OnRejected
from relais.db.database import Transaction
from relais.dicom.refs import InstanceRef
from relais.dicom.rejection_note import UNWANTED
from relais.errors import NodeError
from relais.index import composite, condemned, lookup, rejections
from relais.index.rows import InstanceFacts, Outcome, Registered

log = logging.getLogger(__name__)


def register(
    archive: Archive, tx: Transaction, facts: InstanceFacts, lost: Lost | None = None, *, replace: bool = False
) -> Registered | None:
    """Enter a durable object; None if its instance was rejected for good: then its key is condemned.

    *lost* is what `integrity.look_at_kept` said: the object of that key is gone or damaged, and this one takes its
    place. What is damaged is kept as history if this is another Data Set, which may be that of another image. What
    waits on another node gives its place to the same Data Set only.
    """
    if _is_unwanted(archive, tx, facts.ref):
        condemned.add(tx, [facts.key])
        return None
    registered = composite.register(tx, facts, replace=replace)
    is_same = registered.outcome is Outcome.DUPLICATE
    may_go = lost is not None and (is_same or not lost.is_elsewhere)
    if is_met(registered, facts) and lost and may_go and _is_kept(tx, facts.ref, lost.key):
        log.warning("kept again sop_instance_uid=%s in place of key=%s", facts.ref.sop_instance_uid, lost.key)
        if lost.is_gone or is_same:
            spooling.drop(tx, [row.key for row in composite.remove(tx, facts.ref)])
        registered = composite.register(tx, facts, replace=True)
    if registered.outcome in {Outcome.STORED, Outcome.REPLACED}:
        spooling.record(archive, tx, facts.key)
    return registered


def is_met(registered: Registered | None, facts: InstanceFacts) -> bool:
    """Whether another object is kept for the instance, and nothing was changed."""
    return registered is not None and registered.superseded_key == facts.key


def check_writable(archive: Archive) -> None:
    """Raise OutOfResources or Unavailable if the index still cannot be written, after it could not the last time.

    Asked before bytes are taken in: those that cannot be registered cannot be given up either, and would fill the disk.
    """
    if archive.db.is_failing:
        archive.db.write(condemned.probe)


def give_up(archive: Archive, ref: InstanceRef, key: str) -> None:
    """See to it that the bytes of *key*, which was not stored, go: now, or when the index can be written again."""

    def work(tx: Transaction) -> bool:
        return condemned.add_unless_named(tx, ref, key)

    if archive.db.is_away:  # whoever waits for the answer has waited for the index already
        archive.db.write_soon(work)
        return
    try:
        is_condemned = archive.db.write(work)
    except NodeError:
        archive.db.write_soon(work)
    else:
        if is_condemned:
            removal.take_away(archive, [key])


def _is_kept(tx: Transaction, ref: InstanceRef, key: str) -> bool:
    kept = lookup.instance(tx, ref)
    return kept is not None and kept.key == key


def _is_unwanted(archive: Archive, tx: Transaction, ref: InstanceRef) -> bool:
    """Whether *ref* was rejected for good, is not here, and the setting says that it stays out."""
    return (
        archive.settings.on_rejected is OnRejected.REFUSE
        and rejections.is_unwanted(tx, ref, UNWANTED)
        and lookup.instance(tx, ref) is None
    )
