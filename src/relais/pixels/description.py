"""The Image Pixel Description that a compressed frame gives of itself, as DICOM JSON. Knows markers, no pixels.

User agents may leave these attributes out where they store a bitstream that holds them (PS3.18 10.5.1.4).
"""

from relais.dicom import uids
from relais.dicom.json_model import JsonDataset
from relais.errors import InvalidDataSet
from relais.pixels.bitstream import Bitstream, find_codestream, read_jpeg, read_jpeg_2000

_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))
_LOSSY_JPEG = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_COD = b"\xff\x52"  # ISO/IEC 15444-1 A.6.1: coding style; the colour transform is its 9th byte, the wavelet its 14th
_COLOUR_AT, _WAVELET_AT = 8, 13
_SIGN_AT = 42  # of a codestream: the highest bit of Ssiz says that components are signed (ISO/IEC 15444-1 A.5.1)


def describe(transfer_syntax_uid: str, start: bytes) -> JsonDataset:
    """What the first bytes of a frame say of it; {} where its encoding says nothing. Raises InvalidDataSet."""
    if transfer_syntax_uid in uids.JPEG_FAMILY:
        found, is_signed = read_jpeg(start), False
        photometric = _of_jpeg(found, transfer_syntax_uid)
    elif transfer_syntax_uid in _JPEG_2000:
        codestream = find_codestream(start)
        found, is_signed = read_jpeg_2000(codestream), bool(codestream[_SIGN_AT] & 0x80)
        photometric = _of_jpeg_2000(codestream)
    else:
        return {}
    if found.components not in (1, 3):
        raise InvalidDataSet(f"An image has 1 or 3 samples per pixel, not {found.components}.")
    return _attributes(found, photometric if found.components == 3 else "MONOCHROME2", is_signed=is_signed)


def _of_jpeg(found: Bitstream, transfer_syntax_uid: str) -> str:
    is_lossy = transfer_syntax_uid in _LOSSY_JPEG
    has_transform = is_lossy if found.has_colour_transform is None else found.has_colour_transform
    return ("YBR_FULL_422" if is_lossy else "YBR_FULL") if has_transform else "RGB"


def _of_jpeg_2000(codestream: bytes) -> str:
    at = codestream.find(_COD)
    if at < 0 or at + _WAVELET_AT >= len(codestream):
        raise InvalidDataSet("A JPEG 2000 codestream does not say how it is coded.")
    if not codestream[at + _COLOUR_AT]:
        return "RGB"
    return "YBR_RCT" if codestream[at + _WAVELET_AT] else "YBR_ICT"


def _attributes(found: Bitstream, photometric: str, *, is_signed: bool) -> JsonDataset:
    """PS3.3 C.7.6.3.1"""
    numbers = {
        "00280002": found.components,
        "00280010": found.rows,
        "00280011": found.columns,
        "00280100": 8 if found.precision <= 8 else 16,
        "00280101": found.precision,
        "00280102": found.precision - 1,
        "00280103": int(is_signed),
    }
    if found.components > 1:
        numbers["00280006"] = 0
    described: JsonDataset = {key: {"vr": "US", "Value": [value]} for key, value in numbers.items()}
    return {**described, "00280004": {"vr": "CS", "Value": [photometric]}}
