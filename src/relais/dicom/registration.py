"""Spatial registrations: what takes places of one frame of reference into another (PS3.3 C.20.2). Knows Data Sets.

Only matrices: a deformable registration has none and is not read here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from pydicom import Dataset

from relais.dicom.planes import Matrix
from relais.errors import NotAcceptable

SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
_SIDE = 4  # of a matrix
_BOTTOM = (0.0, 0.0, 0.0, 1.0)  # its last row, whatever it does


@dataclass(frozen=True, slots=True)
class Registration:
    """What takes images into *frame_of_reference*: a matrix for each frame of reference, or for single instances."""

    frame_of_reference: str
    by_space: Mapping[str, Matrix]
    by_instance: Mapping[str, Matrix]

    def of(self, frame_of_reference: str, sop_instance_uid: str) -> Matrix | None:
        """What takes an image there; None if nothing is said of it."""
        return self.by_instance.get(sop_instance_uid) or self.by_space.get(frame_of_reference)


def read(ds: Dataset) -> Registration:
    """The registration that *ds* is. Raises NotAcceptable if it is none, and whatever pydicom raises."""
    if str(ds.get("SOPClassUID") or "") != SPATIAL_REGISTRATION:
        raise NotAcceptable("Only a Spatial Registration takes one image onto another here.")
    by_space: dict[str, Matrix] = {}
    by_instance: dict[str, Matrix] = {}
    for item in ds.get("RegistrationSequence") or ():
        matrix = _matrix(item)
        if space := str(item.get("FrameOfReferenceUID") or ""):
            by_space[space] = matrix
        for image in item.get("ReferencedImageSequence") or ():
            by_instance[str(image.get("ReferencedSOPInstanceUID") or "")] = matrix
    return Registration(str(ds.get("FrameOfReferenceUID") or ""), by_space, by_instance)


def _matrix(item: Dataset) -> Matrix:
    """All matrices of *item*, the first one applied first."""
    found = [
        _read(one)
        for registration in item.get("MatrixRegistrationSequence") or ()
        for one in registration.get("MatrixSequence") or ()
    ]
    if not found:
        raise NotAcceptable("The registration has no matrix.")
    return reduce(lambda before, after: _times(after, before), found)


def _read(item: Dataset) -> Matrix:
    values = tuple(float(value) for value in item.get("FrameOfReferenceTransformationMatrix") or ())
    is_whole = len(values) == _SIDE**2 and all(map(math.isfinite, values))
    if not is_whole or any(abs(a - b) > 1e-6 for a, b in zip(values[-_SIDE:], _BOTTOM, strict=True)):
        raise NotAcceptable("A matrix of the registration is none.")
    return values


def _times(a: Matrix, b: Matrix) -> Matrix:
    return tuple(
        sum(a[row * _SIDE + k] * b[k * _SIDE + column] for k in range(_SIDE))
        for row in range(_SIDE)
        for column in range(_SIDE)
    )
