"""Sequences that come with VR UN (PS3.5 6.2.2). Knows pydicom's Data Sets.

pydicom reads a known attribute that comes as UN by its VR of PS3.6 if its value has less than 64 KB. The Explicit VR of
most attributes ends there, that of sequences does not.
"""

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement


def with_sequences(ds: Dataset) -> Dataset:
    """*ds*, of which what is UN and a sequence by PS3.6 is one, whatever its length; its Items are not read yet."""
    for raw in list(ds.values()):
        if isinstance(raw, RawDataElement) and raw.VR == "UN" and raw.value and _is_sequence(raw.tag):
            ds[raw.tag] = raw._replace(VR="SQ", is_implicit_VR=True, is_little_endian=True)
    return ds


def _is_sequence(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
