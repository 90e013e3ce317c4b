"""The record of who did what, in the index's own transactions. Written by the verbs of archive, by nobody else.

One record per request, never one per instance of it. Patient names and IDs belong here, and never in a log.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from relais.access.policy import Action
from relais.access.principals import Principal
from relais.db.database import Transaction

INSERT = "INSERT INTO audit(at, action, protocol, name, address, study_instance_uid, detail) VALUES (?,?,?,?,?,?,?)"


@dataclass(frozen=True, slots=True)
class Record:
    """One act. *detail* is small and JSON-serialisable: counts, level, outcome."""

    principal: Principal
    action: Action
    study_instance_uid: str = ""
    detail: dict[str, object] = field(default_factory=dict)


def write(tx: Transaction, record: Record) -> None:
    """Append *record*; it stands or falls with *tx*."""
    who = record.principal
    said = {"user": who.user} if who.user not in {"", who.name} else {}
    detail = _encode(record.detail | said)
    values = (tx.now, str(record.action), str(who.protocol), who.name, who.address, record.study_instance_uid, detail)
    tx.execute(INSERT, values)


def _encode(detail: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # lone surrogates, which only the standard library writes
        return json.dumps(detail, separators=(",", ":"), sort_keys=True)
