"""The Image Pixel Module of one instance, read from the Data Set before its Pixel Data. Knows no pixels.

Whether pixels are floats is told by the element that holds them, whatever Bits Stored, High Bit and Pixel
Representation there are beside it (PS3.3 C.7.6.24, C.7.6.25).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from struct import unpack

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from relais.dicom import part10, uids
from relais.dicom.elements import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, LONG_VRS, SHORT_VRS
from relais.dicom.unknown import with_sequences
from relais.errors import InvalidDataSet, InvalidRequest, TooLarge
from relais.pixels.recode import in_explicit_little_endian
from relais.pixels.shutters import overlay_tags

_MAX_SIDE = 65535  # Rows and Columns are US
_TAG_BYTES = 4
_FLOAT_BITS = {FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64}  # PS3.3 C.7.6.24, C.7.6.25

# What decoding and rendering look at; nothing else of the Data Set is parsed.
_KEYWORDS = (
    "LossyImageCompression",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "FloatPixelPaddingValue",
    "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue",
    "DoubleFloatPixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTFunction",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ICCProfile",
    "OpticalPathSequence",
    "MaskSubtractionSequence",
    "RecommendedViewingMode",
    "PixelPresentation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameTime",
    "FrameTimeVector",
    "RecommendedDisplayFrameRate",
    "CineRate",
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "SeriesDescription",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "InstitutionName",
    "SliceThickness",
    "SliceLocation",
    "KVP",
    "XRayTubeCurrent",
    "RepetitionTime",
    "EchoTime",
)
_TAGS = {keyword: Tag(keyword) for keyword in _KEYWORDS}
_WANTED: list[BaseTag | int] = [int(tag) for tag in (*_TAGS.values(), *overlay_tags())]  # looked up sooner than tags


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """How the samples of a frame are laid out and encoded (PS3.3 C.7.6.3).

    *is_planar* is Planar Configuration 1. *is_half_chroma* says that native Pixel Data has Cb and Cr for every second
    pixel only (PS3.3 C.7.6.3.1.2).
    """

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_planar: bool
    is_float: bool
    number_of_frames: int
    is_half_chroma: bool = False

    def fitting(self, frame_bytes: int) -> "ImagePixel":
        """The same for a native frame of *frame_bytes*.

        Seen: frames of full size though the Photometric Interpretation says 4:2:2; so dicom.frames has it, too.
        """
        if self.is_half_chroma and frame_bytes * 2 >= self.frame_bytes * 3:
            return replace(self, is_half_chroma=False)
        return self

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame."""
        samples = 2 if self.is_half_chroma else self.samples_per_pixel
        return self.rows * self.columns * samples * self.bits_allocated

    @property
    def frame_bytes(self) -> int:
        """Bytes of one native frame that begins on a byte."""
        return (self.frame_bits + 7) // 8


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The layout of the pixels, and the attributes that say how to show them."""

    pixel: ImagePixel
    attributes: Dataset


@lru_cache(maxsize=4)  # the frames of one instance come one after the other
def read_part10_header(header: bytes, transfer_syntax_uid: str) -> ImageHeader:
    """From a Part 10 file up to its Pixel Data, whose tag is the end of *header*."""
    start = part10.parse_whole_head(header)[1]
    group, element = unpack(f"{'>' if uids.is_big_endian(transfer_syntax_uid) else '<'}HH", header[-_TAG_BYTES:])
    return read_header(header[start:-_TAG_BYTES], transfer_syntax_uid, group << 16 | element)


def read_header(data_set: bytes, transfer_syntax_uid: str, pixel_tag: int) -> ImageHeader:
    """From the encoded Data Set up to its pixels, which are in *pixel_tag*.

    Raises InvalidDataSet, InvalidRequest if it is no image.
    """
    is_explicit = data_set[4:6] in SHORT_VRS or data_set[4:6] in LONG_VRS
    if uids.is_big_endian(transfer_syntax_uid) or not is_explicit:
        # pydicom leaves "US or SS" and "OB or OW" undecided, and words of a big endian Data Set as they are.
        data_set = in_explicit_little_endian(data_set, transfer_syntax_uid)
    try:
        attributes = read_dataset(
            BytesIO(data_set),
            is_implicit_VR=False,
            is_little_endian=True,
            bytelength=len(data_set),
            specific_tags=_WANTED,
        )
        return ImageHeader(_image_pixel(attributes, pixel_tag), with_sequences(attributes))
    except (InvalidRequest, MemoryError):
        raise
    except Exception as exc:  # pydicom raises whatever the bytes made it raise
        raise InvalidDataSet("The attributes of the image cannot be read.") from exc


def check_size(pixel: ImagePixel, max_pixels: int, max_bytes: int) -> None:
    """Raises TooLarge for a frame beyond the limits, before anything is decoded."""
    if pixel.rows * pixel.columns > max_pixels:
        raise TooLarge(f"A frame of {pixel.columns} x {pixel.rows} pixels is larger than the limit of {max_pixels}.")
    if pixel.frame_bytes > max_bytes:
        raise TooLarge(f"A frame of {pixel.frame_bytes} bytes is larger than the limit of {max_bytes}.")


def _image_pixel(ds: Dataset, pixel_tag: int) -> ImagePixel:
    if "Rows" not in ds or "Columns" not in ds:
        raise InvalidRequest("This instance is not an image: it has no Rows and Columns.")
    bits_allocated = _integer(ds, "BitsAllocated") or 0
    samples = _integer(ds, "SamplesPerPixel") or 1
    is_float = pixel_tag in _FLOAT_BITS
    if is_float and bits_allocated != _FLOAT_BITS[pixel_tag]:
        raise InvalidDataSet(f"Bits Allocated is {bits_allocated}, where the pixels have {_FLOAT_BITS[pixel_tag]}.")
    bits_stored = (0 if is_float else _integer(ds, "BitsStored")) or bits_allocated
    high_bit = None if is_float else _integer(ds, "HighBit")
    photometric = str(ds.get("PhotometricInterpretation") or _default_photometric(samples)).strip()
    pixel = ImagePixel(
        rows=_integer(ds, "Rows") or 0,
        columns=_integer(ds, "Columns") or 0,
        samples_per_pixel=samples,
        photometric_interpretation=photometric,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        is_signed=not is_float and _integer(ds, "PixelRepresentation") == 1,
        is_planar=samples > 1 and _integer(ds, "PlanarConfiguration") == 1,
        is_float=is_float,
        number_of_frames=max(1, _integer(ds, "NumberOfFrames") or 1),
        is_half_chroma=samples == 3 and photometric in {"YBR_FULL_422", "YBR_PARTIAL_422"},
    )
    _check(pixel)
    return pixel


def _integer(ds: Dataset, keyword: str) -> int | None:
    """The value of *keyword*, None if it is missing or no number (Seen: "1A" frames in badVR.dcm of pydicom)."""
    tag = _TAGS[keyword]
    if tag not in ds:
        return None
    raw = ds.get_item(tag)
    if isinstance(raw, RawDataElement) and raw.VR == "US" and len(raw.value or b"") == 2:
        return int.from_bytes(raw.value or b"", "little")  # as pydicom reads it, in a tenth of the time
    try:
        return int(ds[tag].value)
    except (KeyError, TypeError, ValueError):
        return None


def _default_photometric(samples: int) -> str:
    return "MONOCHROME2" if samples == 1 else "RGB"


def _check(pixel: ImagePixel) -> None:
    if not (0 < pixel.rows <= _MAX_SIDE and 0 < pixel.columns <= _MAX_SIDE):
        raise InvalidDataSet("Rows or Columns is not between 1 and 65535.")
    if not 1 <= pixel.bits_allocated <= 64:
        raise InvalidDataSet(f"Bits Allocated is {pixel.bits_allocated}.")
    if not pixel.bits_stored - 1 <= pixel.high_bit < pixel.bits_allocated:
        raise InvalidDataSet(
            f"Bits Stored {pixel.bits_stored} and High Bit {pixel.high_bit} do not fit "
            f"into {pixel.bits_allocated} Bits Allocated."
        )
    if pixel.samples_per_pixel not in (1, 3):
        raise InvalidDataSet(f"Images of {pixel.samples_per_pixel} samples per pixel are not defined (PS3.3 C.7.6.3).")
