"""What can be made of an instance for DICOMweb: media types and Transfer Syntaxes (PS3.18 8.7.3). Knows rows, not HTTP.

1. Without a Transfer Syntax asked for, the default is Explicit VR Little Endian; for an instance that has only a lossy
   form, or one that cannot be decoded here, it is the stored one (PS3.18 8.7.3.3).
2. `transfer-syntax=*` means as stored, but Implicit VR and Big Endian never leave by the web (PS3.18 8.7.3.5.2).

Reading: a stored frame answers `type="application/octet-stream"` with its Transfer Syntax or `*`, and the media type of
its own without one; the answer always says what it truly is.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from relais.archive.retrieve import can_send
from relais.dicom import uids
from relais.dicomweb.media_types import DICOM, OCTET_STREAM, Offer, frame_media_type
from relais.index.rows import InstanceRow

EXPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN
NEVER_SENT = frozenset({uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN})


class _Form(NamedTuple):
    transfer_syntax_uid: str
    is_default: bool
    is_stored: bool


def instance_offers(row: InstanceRow, *, may_be_single: bool) -> tuple[Offer, ...]:
    """The instance as application/dicom. Several instances have no single-part form (PS3.18 8.6.1.2)."""
    return _instance_offers(row.transfer_syntax_uid, can_send(row, EXPLICIT), may_be_single)


def frame_offers(row: InstanceRow, *, may_be_single: bool) -> tuple[Offer, ...]:
    """Its frames, as bulk data."""
    return _frame_offers(row.transfer_syntax_uid, can_send(row, EXPLICIT), may_be_single)


@lru_cache(maxsize=256)
def _instance_offers(stored: str, can_decode: bool, may_be_single: bool) -> tuple[Offer, ...]:
    forms = tuple(_instance_forms(stored, can_decode))
    return tuple(Offer(DICOM, multi, *form) for multi in _packagings(may_be_single) for form in forms)


@lru_cache(maxsize=256)
def _frame_offers(stored: str, can_decode: bool, may_be_single: bool) -> tuple[Offer, ...]:
    forms = tuple(_frame_forms(stored, can_decode))
    return tuple(Offer(name, multi, *form) for multi in _packagings(may_be_single) for name, form in forms)


def _packagings(may_be_single: bool) -> tuple[bool, ...]:
    return (True, False) if may_be_single else (True,)


def _instance_forms(stored: str, can_decode: bool) -> Iterator[_Form]:
    if stored == EXPLICIT or stored in NEVER_SENT:
        yield _Form(EXPLICIT, is_default=True, is_stored=True)
        return
    keeps_stored = stored in uids.LOSSY or not can_decode
    stored_form = _Form(stored, is_default=keeps_stored, is_stored=True)
    if keeps_stored:
        yield stored_form
    if can_decode:
        yield _Form(EXPLICIT, is_default=not keeps_stored, is_stored=False)
    if not keeps_stored:
        yield stored_form


def _frame_forms(stored: str, can_decode: bool) -> Iterator[tuple[str, _Form]]:
    if not uids.is_encapsulated(stored):
        yield OCTET_STREAM, _Form(EXPLICIT, is_default=True, is_stored=True)
        return
    if can_decode:
        yield OCTET_STREAM, _Form(EXPLICIT, is_default=True, is_stored=False)
    own_type = frame_media_type(stored)
    if own_type != OCTET_STREAM:
        yield own_type, _Form(stored, is_default=True, is_stored=True)
    yield OCTET_STREAM, _Form(stored, is_default=False, is_stored=True)
