"""What a softcopy presentation state says about one frame (PS3.3 C.11, A.33), as values. Knows Data Sets, no pixels.

Of a presentation state everything counts, and nothing of what the image says about the same (PS3.4 N.2): where it has
no modality LUT, there is none.
"""

from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset, dcmread

from relais.dicom.unknown import with_sequences
from relais.errors import InvalidDataSet, NotAcceptable
from relais.pixels.attributes import LookupTable, Rescale, first_item, lookup_table, number, numbers
from relais.pixels.request import PSEUDO_COLOR_STATE, SHOWN_STATES, VOI_LUT_FUNCTIONS, Window

MAX_GRAPHICS = 10_000  # objects in one frame; a presentation state with more is refused


@dataclass(frozen=True, slots=True)
class Area:
    """The part of the image that is shown: columns and rows in pixels from its top left corner (PS3.3 C.10.4).

    *aspect* is how many times a pixel is higher than wide, None where the image says so. *magnification* is how many
    pixels of the picture one pixel of the image becomes, as far as the viewport allows.
    """

    left: float
    top: float
    right: float
    bottom: float
    aspect: float | None = None
    magnification: float = 1.0


@dataclass(frozen=True, slots=True)
class Presentation:
    """A presentation state as it applies to one frame.

    *rotation* is clockwise, in degrees, and comes before *is_flipped*, left to right (PS3.3 C.10.6).
    """

    attributes: Dataset
    modality: Rescale | LookupTable
    voi: Window | LookupTable | None
    is_inverted: bool
    presentation_lut: LookupTable | None
    area: Area | None
    rotation: int
    is_flipped: bool
    annotations: tuple[Dataset, ...]

    @property
    def is_pseudo_color(self) -> bool:
        return str(self.attributes.get("SOPClassUID")) == PSEUDO_COLOR_STATE


def read(part10: bytes, sop_instance_uid: str, frame_number: int) -> Presentation:
    """What the presentation state *part10* says of that frame. Raises NotAcceptable for what is not applied here."""
    try:
        ds = with_sequences(dcmread(BytesIO(part10)))
        return _read(ds, sop_instance_uid, frame_number)
    except (NotAcceptable, InvalidDataSet, MemoryError):
        raise
    except Exception as exc:  # pydicom raises whatever the bytes made it raise
        raise InvalidDataSet("The presentation state cannot be read.") from exc


def _read(ds: Dataset, sop_instance_uid: str, frame_number: int) -> Presentation:
    if str(ds.get("SOPClassUID")) not in SHOWN_STATES:
        raise NotAcceptable("Presentation states of this kind are not applied here.")
    annotations = _concerned(ds, "GraphicAnnotationSequence", sop_instance_uid, frame_number)
    if sum(len(item.get(name) or ()) for item in annotations for name in _OBJECTS) > MAX_GRAPHICS:
        raise NotAcceptable(f"Presentation states with more than {MAX_GRAPHICS} graphics are not applied here.")
    modality, voi = modality_and_voi(ds, sop_instance_uid, frame_number)
    areas = _concerned(ds, "DisplayedAreaSelectionSequence", sop_instance_uid, frame_number)
    return Presentation(
        ds,
        modality,
        voi,
        str(ds.get("PresentationLUTShape") or "").strip() == "INVERSE",
        lookup_table(first_item(ds, "PresentationLUTSequence")),
        _area(areas[0]) if areas else None,
        int(number(ds, "ImageRotation") or 0) % 360,
        str(ds.get("ImageHorizontalFlip") or "").strip() == "Y",
        tuple(annotations),
    )


_OBJECTS = ("TextObjectSequence", "GraphicObjectSequence")


def modality_and_voi(
    ds: Dataset, sop_instance_uid: str, frame_number: int
) -> tuple[Rescale | LookupTable, Window | LookupTable | None]:
    """What *ds*, a presentation state or an Item of a blending one, puts a frame through (PS3.3 C.11.1, C.11.8)."""
    voi = _concerned(ds, "SoftcopyVOILUTSequence", sop_instance_uid, frame_number)
    return _modality(ds), _voi(voi[0]) if voi else None


def _modality(ds: Dataset) -> Rescale | LookupTable:
    if table := lookup_table(first_item(ds, "ModalityLUTSequence")):
        return table
    return Rescale(number(ds, "RescaleSlope") or 1.0, number(ds, "RescaleIntercept") or 0.0)


def _voi(item: Dataset) -> Window | LookupTable | None:
    center, width = number(item, "WindowCenter"), number(item, "WindowWidth")
    if center is None or width is None:
        return lookup_table(first_item(item, "VOILUTSequence"))
    function = str(item.get("VOILUTFunction") or "LINEAR").strip()
    return Window(center, width, function if function in VOI_LUT_FUNCTIONS else "LINEAR")


def _area(item: Dataset) -> Area:
    """The corners are those of the picture after rotation and flip, in the rows and columns of the image before."""
    corners = [numbers(item.get(f"DisplayedArea{corner}HandCorner")) for corner in ("TopLeft", "BottomRight")]
    if [len(corner) for corner in corners] != [2, 2]:
        raise InvalidDataSet("A displayed area of the presentation state has no corners.")
    columns, rows = sorted(corner[0] for corner in corners), sorted(corner[1] for corner in corners)
    magnification = 1.0
    if str(item.get("PresentationSizeMode") or "").strip() == "MAGNIFY":
        magnification = number(item, "PresentationPixelMagnificationRatio") or 1.0
    return Area(columns[0] - 1, rows[0] - 1, columns[1], rows[1], _aspect(item), magnification)


def _aspect(item: Dataset) -> float | None:
    for keyword in ("PresentationPixelSpacing", "PresentationPixelAspectRatio"):
        values = numbers(item.get(keyword))
        if len(values) == 2 and min(values) > 0:
            return values[0] / values[1]
    return None


def _concerned(ds: Dataset, sequence: str, sop_instance_uid: str, frame_number: int) -> list[Dataset]:
    """The Items of *sequence* that are about the frame: those that name no image are about all (PS3.3 C.11.8)."""
    return [item for item in ds.get(sequence) or () if _is_about(item, sop_instance_uid, frame_number)]


def _is_about(item: Dataset, sop_instance_uid: str, frame_number: int) -> bool:
    references = item.get("ReferencedImageSequence")
    if not references:
        return True
    for reference in references:
        frames = numbers(reference.get("ReferencedFrameNumber"))
        if reference.get("ReferencedSOPInstanceUID") == sop_instance_uid and (not frames or frame_number in frames):
            return True
    return False
