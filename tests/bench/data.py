"""The instances that are sent, as templates. Knows DICOM and pydicom, no peer."""

from dataclasses import replace

import numpy as np
from pydicom import FileDataset

from bench.template import PATIENT_ID, Template
from fixtures.builders import a_ct, a_multiframe, dataset_bytes, part10
from fixtures.upper_layer import MR, UID_LENGTH, fresh_uid

FRAME_BYTES = 1024 * 1024
LEVELS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def a_ct_slice() -> Template:
    """A CT slice of 512 x 512, half a megabyte."""
    return _template("CT", a_ct(rows=512, columns=512, **_uids()))


def a_noisy_ct_slice(patient: str) -> Template:
    """The same for a patient of this name, with the noise of a real one: no compression makes it vanish."""
    ds = a_ct(rows=512, columns=512, PatientName=patient, PatientID=patient, **_uids())
    noise = np.random.default_rng(1).integers(0, 128, (512, 512), dtype=np.uint16)
    ds.PixelData = ((noise + np.arange(512, dtype=np.uint16) * 7) & 0xFFF).astype("<u2").tobytes()
    return _template("CT", ds)


def an_mr_slice() -> Template:
    """An MR slice of 256 x 256, 0.13 MB."""
    return _template("MR", a_ct(rows=256, columns=256, SOPClassUID=MR, Modality="MR", **_uids()))


def a_small_slice() -> Template:
    """A slice of 16 x 16: where the index is at work, not the disk."""
    return _template("small", a_ct(rows=16, columns=16, PatientID=PATIENT_ID, **_uids()))


def a_multiframe_of(megabytes: int) -> Template:
    """An ultrasound loop of so many frames of 1024 x 1024 bytes."""
    one = _template("multi-frame", a_multiframe(frames=1, rows=1024, columns=1024, NumberOfFrames=megabytes, **_uids()))
    length = (megabytes * FRAME_BYTES).to_bytes(4, "little")  # Pixel Data is the last element, OB, explicit VR
    return replace(one, head=one.head[:-4] + length, repeat=megabytes)


def _uids() -> dict[str, str]:
    return {level: fresh_uid() for level in LEVELS}


def _template(name: str, ds: FileDataset) -> Template:
    file, dataset = part10(ds), dataset_bytes(ds)
    study, series, instance = (str(ds[level].value) for level in LEVELS)
    assert {len(uid) for uid in (study, series, instance)} == {UID_LENGTH}
    at, preamble = len(dataset) - len(ds.PixelData), file[: -len(dataset)]
    uids = (study, series, instance)
    return Template(name, str(ds.SOPClassUID), dataset[:at], dataset[at:], uids, preamble=preamble)
