"""What can be made of an instance for DICOMweb: media types and Transfer Syntaxes (PS3.18 8.7.3). Knows rows, not HTTP.

1. Without a Transfer Syntax asked for, the default is Explicit VR Little Endian; for an instance that has only a lossy
   form, or one that cannot be decoded here, it is the stored one (PS3.18 8.7.3.3).
2. `transfer-syntax=*` means as stored, but Implicit VR and Big Endian never leave by the web (PS3.18 8.7.3.5.2).
3. Nothing is compressed unless it is asked for: by its Transfer Syntax or, of frames, by a media type that has one.

Reading: a frame in a compressed form answers `type="application/octet-stream"` with its Transfer Syntax (or, if that is
the stored one, `*`), and the media type of its own without one; the answer always says what it truly is.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from relais.archive import Archive, forms
from relais.archive.retrieve import can_send, frame_count
from relais.dicom import uids
from relais.dicomweb.media_types import DICOM, OCTET_STREAM, ZIP, MediaRange, Offer, covers, frame_media_type
from relais.index.rows import InstanceRow

EXPLICIT = uids.EXPLICIT_VR_LITTLE_ENDIAN
NEVER_SENT = frozenset({uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN})

# The default Transfer Syntax of each media type of frames (PS3.18 table 8.7.3-5), the quickest to make first.
_DEFAULTS = {
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/dicom-rle": uids.RLE_LOSSLESS,
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/jp2": "1.2.840.10008.1.2.4.90",
}

Targets = frozenset[str]
NONE: Targets = frozenset()


class _Form(NamedTuple):
    transfer_syntax_uid: str
    is_default: bool
    is_stored: bool


def targets_for_instances(
    archive: Archive, rows: Sequence[InstanceRow], ranges: Iterable[MediaRange]
) -> Sequence[Targets]:
    """For each row the compressed Transfer Syntaxes that are asked for and can be made."""
    return forms.encodable(archive, rows, {wanted.transfer_syntax_uid for wanted in ranges})


def targets_for_frames(
    archive: Archive, rows: Sequence[InstanceRow], ranges: Sequence[MediaRange]
) -> Sequence[Targets]:
    """The same for frames, whose media type may be all that is asked for."""
    return forms.encodable(archive, rows, _asked_of_frames(tuple(ranges)))


@lru_cache(maxsize=256)
def _asked_of_frames(ranges: tuple[MediaRange, ...]) -> frozenset[str]:
    asked = {wanted.transfer_syntax_uid for wanted in ranges}
    patterns = [wanted.media_type for wanted in ranges if wanted.media_type.startswith("image/")]
    asked.update(uid for name, uid in _DEFAULTS.items() if any(covers(pattern, name) for pattern in patterns))
    return frozenset(asked)


def instance_offers(row: InstanceRow, *, may_be_single: bool, targets: Targets = NONE) -> tuple[Offer, ...]:
    """The instance as application/dicom. Several instances have no single-part form (PS3.18 8.6.1.2)."""
    can_decode = can_send(row, EXPLICIT)
    return _instance_offers(row.transfer_syntax_uid, can_decode, may_be_single, targets)


def zip_offers(row: InstanceRow, *, targets: Targets = NONE) -> tuple[Offer, ...]:
    """The instance as a file in application/zip (PS3.18 8.6.1.3)."""
    return _zip_offers(row.transfer_syntax_uid, can_send(row, EXPLICIT), targets)


def frame_offers(row: InstanceRow, *, may_be_single: bool, targets: Targets = NONE) -> tuple[Offer, ...]:
    """Its frames, a part for each."""
    return _frame_offers(row.transfer_syntax_uid, can_send(row, EXPLICIT), (may_be_single, may_be_single), targets)


def pixel_offers(row: InstanceRow, *, may_be_single: bool, targets: Targets = NONE) -> tuple[Offer, ...]:
    """Its Pixel Data: native frames are one part, encoded ones have one each (PS3.18 8.7.3.3)."""
    singles = (may_be_single, may_be_single and frame_count(row) == 1)
    return _frame_offers(row.transfer_syntax_uid, can_send(row, EXPLICIT), singles, targets)


@lru_cache(maxsize=256)
def _instance_offers(stored: str, can_decode: bool, may_be_single: bool, targets: Targets) -> tuple[Offer, ...]:
    found = tuple(_instance_forms(stored, can_decode, targets))
    return tuple(Offer(DICOM, multi, *form) for multi in _packagings(may_be_single) for form in found)


@lru_cache(maxsize=256)
def _zip_offers(stored: str, can_decode: bool, targets: Targets) -> tuple[Offer, ...]:
    return tuple(Offer(ZIP, False, *form) for form in _instance_forms(stored, can_decode, targets))


@lru_cache(maxsize=256)
def _frame_offers(stored: str, can_decode: bool, singles: tuple[bool, bool], targets: Targets) -> tuple[Offer, ...]:
    """*singles* says whether native and encoded forms may be a single part."""
    found = tuple(_frame_forms(stored, can_decode, targets))
    packaged = ((multi, name, form) for multi in (True, False) for name, form in found)
    return tuple(
        Offer(name, multi, *form)
        for multi, name, form in packaged
        if multi or singles[uids.is_encapsulated(form.transfer_syntax_uid)]
    )


def _packagings(may_be_single: bool) -> tuple[bool, ...]:
    return (True, False) if may_be_single else (True,)


def _instance_forms(stored: str, can_decode: bool, targets: Targets) -> Iterator[_Form]:
    yield from _uncompressed_forms(stored, can_decode)
    for target in sorted(targets - {stored}):
        yield _Form(target, is_default=False, is_stored=False)


def _uncompressed_forms(stored: str, can_decode: bool) -> Iterator[_Form]:
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


def _frame_forms(stored: str, can_decode: bool, targets: Targets) -> Iterator[tuple[str, _Form]]:
    is_encoded = uids.is_encapsulated(stored)
    if can_decode or not is_encoded:
        yield OCTET_STREAM, _Form(EXPLICIT, is_default=True, is_stored=not is_encoded)
    if is_encoded:
        yield from _encoded_forms(stored, is_default=True, is_stored=True)
    for target in [uid for uid in _DEFAULTS.values() if uid in targets] + sorted(targets - set(_DEFAULTS.values())):
        if target != stored:
            yield from _encoded_forms(target, is_default=target in _DEFAULTS.values(), is_stored=False)


def _encoded_forms(transfer_syntax_uid: str, *, is_default: bool, is_stored: bool) -> Iterator[tuple[str, _Form]]:
    own_type = frame_media_type(transfer_syntax_uid)
    if own_type != OCTET_STREAM:
        yield own_type, _Form(transfer_syntax_uid, is_default=is_default, is_stored=is_stored)
    yield OCTET_STREAM, _Form(transfer_syntax_uid, is_default=False, is_stored=is_stored)
