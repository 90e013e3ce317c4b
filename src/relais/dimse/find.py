"""Query as SCP: C-FIND (PS3.4 C.4.1)."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from relais.archive import Archive
from relais.archive import search as archive_search
from relais.dicom.json_model import JsonDataset
from relais.dicom.timezones import Zone
from relais.dimse.identifier import Negotiated, find_request
from relais.dimse.matches import Matches
from relais.dimse.models import model_of
from relais.dimse.operation import Operation
from relais.dimse.status import CANCEL, PENDING, PENDING_UNSUPPORTED_KEYS, SUCCESS
from relais.errors import TooBroad
from relais.index import offsets
from relais.peers.identifier import decode

AT_ONCE = 100  # responses between two looks for a C-CANCEL; they come from the index in larger batches


def serve(operation: Operation, archive: Archive, ae_title: str) -> None:
    """One pending response per match, in the order of the archive, until there is no more or the peer cancels.

    FF01 instead of FF00 says that some optional keys did not narrow the matches or are not returned (PS3.4 C.4.1.1.4).
    """
    model, _ = model_of(operation.sop_class_uid)
    asked = decode(operation.identifier, operation.transfer_syntax_uid)
    request = find_request(asked, model, negotiated(operation.extended), lambda: offsets.known(archive.db))
    found = archive_search.stream(archive, operation.principal, request.query)
    pending = PENDING_UNSUPPORTED_KEYS if found.unsupported or request.unknown else PENDING
    matches = Matches(request, ae_title, operation.transfer_syntax_uid)
    responses = operation.responses(pending)
    operation.tally["matches"] = 0
    rows = iter(found.rows)
    if request.zone is not None:
        rows = picked(request.zone, rows, archive.db.settings.read_timeout_s)
    while some := list(islice(rows, AT_ONCE)):
        if operation.is_cancelled:
            operation.respond(CANCEL)
            return
        responses.send(map(matches.encode, some))
        operation.tally["matches"] += len(some)
    operation.respond(SUCCESS)


def picked(zone: Zone, rows: Iterable[JsonDataset], patience_s: float) -> Iterator[JsonDataset]:
    """What is asked for in *zone* of the *rows* that may be.

    A time that may be any in its own zone is looked for among all. Raises TooBroad after *patience_s* in vain.
    """
    since = time.monotonic()
    for row in rows:
        for found in zone.pick((row,)):
            yield found
            since = time.monotonic()
        if time.monotonic() - since > patience_s:
            raise TooBroad


def negotiated(extended: bytes) -> Negotiated:
    """The bytes of SOP Class Extended Negotiation, by name (PS3.4 C.5.1.1)."""
    relational, combined, fuzzy, _, _, _, multiple_values = (byte == 1 for byte in extended[:7].ljust(7, b"\0"))
    return Negotiated(relational, combined, fuzzy, multiple_values)
