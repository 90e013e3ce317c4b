"""In which compressed Transfer Syntaxes an instance can be had, by its kept metadata. Knows attributes, not pixels."""

from collections.abc import Iterable, Sequence

import orjson

from relais.archive import Archive, documents
from relais.dicom.json_model import JsonDataset, text, values
from relais.index.rows import InstanceRow
from relais.pixels.workers import ENCODABLE, Shape, can_encode, can_transcode

__all__ = ["ENCODABLE", "encodable"]

_SAMPLES_PER_PIXEL, _PHOTOMETRIC_INTERPRETATION = 0x00280002, 0x00280004
_BITS_ALLOCATED, _BITS_STORED, _PIXEL_REPRESENTATION = 0x00280100, 0x00280101, 0x00280103
_PIXEL_DATA = "7FE00010"


def encodable(archive: Archive, rows: Sequence[InstanceRow], targets: Iterable[str]) -> list[frozenset[str]]:
    """For each row those of *targets* that it can be compressed to. Raises Unavailable if one cannot be read."""
    targets = frozenset(targets) & ENCODABLE
    if not targets:
        return [frozenset()] * len(rows)
    return [
        _of(row, orjson.loads(document), targets)
        for row, document in zip(rows, documents.metadata(archive, rows), strict=True)
    ]


def _of(row: InstanceRow, ds: JsonDataset, targets: frozenset[str]) -> frozenset[str]:
    shape = _shape(ds)
    if shape is None or not can_transcode(row.transfer_syntax_uid):
        return frozenset()
    return frozenset(uid for uid in targets if can_encode(uid, shape))


def _shape(ds: JsonDataset) -> Shape | None:
    """None without integer Pixel Data."""
    allocated = _number(ds, _BITS_ALLOCATED)
    if _PIXEL_DATA not in ds or not allocated:
        return None
    return Shape(
        _number(ds, _SAMPLES_PER_PIXEL) or 1,
        allocated,
        _number(ds, _BITS_STORED) or allocated,
        (text(ds, _PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2").strip(),
        is_signed=_number(ds, _PIXEL_REPRESENTATION) == 1,
    )


def _number(ds: JsonDataset, tag: int) -> int | None:
    found = values(ds, tag)
    return found[0] if found and isinstance(found[0], int) else None
