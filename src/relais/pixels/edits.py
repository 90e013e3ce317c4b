"""What an instance says of itself once its pixels are encoded in another way. Knows attributes, not codecs.

1. Photometric Interpretation, Planar Configuration and Bits Allocated follow the pixels (PS3.5 8.2).
2. Where only the Transfer Syntax told that something was lost, Lossy Image Compression says it (PS3.3 C.7.6.1.1.5).
3. An image that loses something here is another image: it is DERIVED, says how and how much, and has a SOP Instance UID
   of its own, the same each time (PS3.3 C.7.6.1.1.5).
"""

from collections.abc import Mapping
from struct import Struct

from relais.dicom import uids
from relais.dicom.part10 import FileMeta
from relais.pixels import syntaxes
from relais.pixels.decode import container_bytes, photometric_after_decoding
from relais.pixels.encoders import QUALITY, photometric_after_encoding
from relais.pixels.image import ImageHeader, ImagePixel
from relais.pixels.part10_file import Part10File

RATIO_CHARACTERS = 16  # room for a compression ratio that is known only when all frames have been encoded
LOSSY_RATIO = 0x00282112

_IMAGE_TYPE, _SOP_INSTANCE_UID, _DERIVATION_DESCRIPTION = 0x00080008, 0x00080018, 0x00082111
_PHOTOMETRIC_INTERPRETATION, _PLANAR_CONFIGURATION, _BITS_ALLOCATED = 0x00280004, 0x00280006, 0x00280100
_LOSSY, _LOSSY_METHOD = 0x00282110, 0x00282114
_USHORT = Struct("<H")

# JPEG 2000 and its kin allow reversible compression in the syntaxes for lossy images, too.
_SURELY_LOSSY = syntaxes.JPEG_LOSSY | {syntaxes.JPEG_LS_NEAR_LOSSLESS}

Edits = Mapping[int, tuple[bytes, bytes]]
"""VR and little endian value of even length, by tag."""


def of_pixels(image: ImageHeader, source_uid: str, target_uid: str) -> dict[int, tuple[bytes, bytes]]:
    """What follows from decoding *image*, and from encoding it again if *target_uid* is a compressed syntax."""
    pixel, photometric = image.pixel, photometric_after_decoding(image.pixel, source_uid)
    is_encoded = uids.is_encapsulated(target_uid)
    if is_encoded:
        photometric = photometric_after_encoding(photometric, target_uid)
    values = {_PHOTOMETRIC_INTERPRETATION: _text(b"CS", photometric)}
    if pixel.samples_per_pixel > 1:
        values[_PLANAR_CONFIGURATION] = (b"US", _USHORT.pack(pixel.is_planar and not is_encoded))
    if pixel.bits_allocated != 1:
        values[_BITS_ALLOCATED] = (b"US", _USHORT.pack(_bits_allocated(pixel)))
    if source_uid in _SURELY_LOSSY and not image.attributes.get("LossyImageCompression"):
        values[_LOSSY] = _text(b"CS", "01")
    return values


def of_loss(source: Part10File) -> dict[int, tuple[bytes, bytes]]:
    """What is said of an image that loses something, with room for the ratio (LOSSY_RATIO) at the end of its value."""
    image_type = ["DERIVED", *(_values(source, _IMAGE_TYPE)[1:] or ["PRIMARY"])]
    ratios = [*_values(source, LOSSY_RATIO), " " * RATIO_CHARACTERS]
    methods = [*_values(source, _LOSSY_METHOD), "ISO_10918_1"]
    uid = derived_uid(source.meta.sop_instance_uid)
    return {
        _IMAGE_TYPE: _text(b"CS", "\\".join(image_type)),
        _SOP_INSTANCE_UID: (b"UI", uid.encode() + b"\0" * (len(uid) % 2)),
        _DERIVATION_DESCRIPTION: _text(b"ST", f"Lossy JPEG, quality {QUALITY}, of {source.meta.sop_instance_uid}"),
        _LOSSY: _text(b"CS", "01"),
        LOSSY_RATIO: _text(b"DS", "\\".join(ratios), before=True),
        _LOSSY_METHOD: _text(b"CS", "\\".join(methods)),
    }


def derived_meta(meta: FileMeta, target_uid: str) -> FileMeta:
    """File Meta Information of the result."""
    if target_uid in syntaxes.LOSSY_WHEN_ENCODED:
        return meta._replace(transfer_syntax_uid=target_uid, sop_instance_uid=derived_uid(meta.sop_instance_uid))
    return meta._replace(transfer_syntax_uid=target_uid)


def derived_uid(sop_instance_uid: str) -> str:
    """The SOP Instance UID of the lossy form of an instance."""
    return uids.derived(sop_instance_uid, f"lossy JPEG {QUALITY}")


def _bits_allocated(pixel: ImagePixel) -> int:
    return container_bytes(pixel) * 8


def _values(source: Part10File, tag: int) -> list[str]:
    """The values of a text attribute of *source*; [] if it has none."""
    element = source.found.elements.get(tag)
    text = source.read_at(element.value_offset, element.length).decode("ascii", "replace") if element else ""
    return [value.strip(" \0") for value in text.split("\\")] if text.strip(" \0") else []


def _text(vr: bytes, text: str, *, before: bool = False) -> tuple[bytes, bytes]:
    padding = b" " * (len(text) % 2)
    value = text.encode("ascii", "replace")
    return vr, padding + value if before else value + padding
