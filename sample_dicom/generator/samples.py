"""One sample: where it goes, what it is, how it is encoded."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from generator.modules import Study


@dataclass(frozen=True)
class Sample:
    """One file to write, relative to sample_dicom/."""

    path: PurePosixPath
    ds: Dataset
    transfer_syntax: str = ExplicitVRLittleEndian


def sample(study: Study, name: str, ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Sample:
    """A sample in the folder of its study."""
    return Sample(PurePosixPath(study.patient.site.folder, study.key, f"{name}.dcm"), ds, transfer_syntax)
