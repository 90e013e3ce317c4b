"""What may be asked of a rendered frame (PS3.18 8.3.5.1). Knows values and their limits, not pixels or URLs."""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from relais.dicom.planes import Affine
from relais.errors import InvalidRequest, NotAcceptable

MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/jp2", "image/jph", "image/jxl")
ANNOTATIONS = ("patient", "technique")
ICC_PROFILES = ("no", "yes", "srgb", "adobergb", "rommrgb", "displayp3")
VOI_LUT_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
GRAYSCALE_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
COLOR_STATE = "1.2.840.10008.5.1.4.1.1.11.2"
PSEUDO_COLOR_STATE = "1.2.840.10008.5.1.4.1.1.11.3"
BLENDING_STATE = "1.2.840.10008.5.1.4.1.1.11.4"
SHOWN_STATES = frozenset(
    {GRAYSCALE_STATE, COLOR_STATE, PSEUDO_COLOR_STATE, BLENDING_STATE}
)  # SOP Classes that can be applied here
MAX_SIDE_PX = 8192  # a viewport or thumbnail may not ask for more


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center, Window Width and VOI LUT Function in modality values (PS3.3 C.11.2.1.2).

    Raises InvalidRequest: a width below 1 (LINEAR) or not above 0 (the others), or an unknown function.
    """

    center: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        if self.function not in VOI_LUT_FUNCTIONS:
            raise InvalidRequest(f"The function of a window is one of {', '.join(VOI_LUT_FUNCTIONS)}.")
        if not (math.isfinite(self.center) and math.isfinite(self.width)):
            raise InvalidRequest("Center and width of a window are finite numbers.")
        if self.width < 1 if self.function == "LINEAR" else self.width <= 0:
            raise InvalidRequest("A window is at least 1 wide; LINEAR_EXACT and SIGMOID more than 0.")


@dataclass(frozen=True, slots=True)
class Viewport:
    """The box that the image is scaled into, and the region of the image to show (PS3.18 8.3.5.1.3).

    *sx* and *sy* are the region's left and top, *sw* and *sh* its size, all in pixels of the image; None is all of it.
    A negative *sw* or *sh* flips the region. Raises InvalidRequest for a box or region without size.
    """

    width: int
    height: int
    sx: float = 0.0
    sy: float = 0.0
    sw: float | None = None
    sh: float | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE_PX and 1 <= self.height <= MAX_SIDE_PX):
            raise InvalidRequest(f"A viewport is between 1 and {MAX_SIDE_PX} pixels wide and high.")
        region = [value for value in (self.sx, self.sy, self.sw, self.sh) if value is not None]
        if not all(math.isfinite(value) for value in region) or 0 in (self.sw, self.sh):
            raise InvalidRequest("The region of a viewport has finite offsets and a width and height other than 0.")
        if self.sx < 0 or self.sy < 0:
            raise InvalidRequest("The region of a viewport begins inside the image.")


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """How a frame is to be shown. *max_size* limits the longer side and never enlarges.

    *annotation* names what is written into the image (PS3.18 8.3.5.1.1), *icc_profile* the colour space that it is
    turned into and labelled with: "no" leaves it alone, "yes" is its own (PS3.18 8.3.5.1.5).

    Raises NotAcceptable for a media type that is not made here, InvalidRequest for values out of range.
    """

    media_type: str
    quality: int = 90
    window: Window | None = None
    viewport: Viewport | None = None
    max_size: int | None = None
    annotation: tuple[str, ...] = ()
    icc_profile: str = "no"

    def __post_init__(self) -> None:
        if self.media_type not in MEDIA_TYPES:
            raise NotAcceptable(f"Rendered frames are {' or '.join(MEDIA_TYPES)}.")
        if not 1 <= self.quality <= 100:
            raise InvalidRequest("Quality is between 1 and 100.")
        if self.max_size is not None and not 1 <= self.max_size <= MAX_SIDE_PX:
            raise InvalidRequest(f"The longest side is between 1 and {MAX_SIDE_PX} pixels.")
        if not set(self.annotation) <= set(ANNOTATIONS):
            raise InvalidRequest(f"annotation is {' or '.join(ANNOTATIONS)}, or both.")
        if self.icc_profile not in ICC_PROFILES:
            raise InvalidRequest(f"iccprofile is one of {', '.join(ICC_PROFILES)}.")


@dataclass(frozen=True, slots=True)
class AppliedState:
    """A softcopy presentation state as a Part 10 file, to be applied to the image *sop_instance_uid*."""

    part10: bytes
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Frame *frame_number* of the Part 10 file *path*, to be laid over another by a blending presentation state.

    *onto* says where the pixels of the other lie among its own (relais.dicom.planes.Plane.onto).
    """

    path: Path
    sop_instance_uid: str
    frame_number: int
    onto: Affine


_FIELDS = tuple(field.name for field in fields(RenderRequest))


def to_fields(request: RenderRequest) -> dict[str, Any]:
    """*request* as plain JSON values."""
    found = {name: getattr(request, name) for name in _FIELDS}
    return found | {name: asdict(found[name]) for name in ("window", "viewport") if found[name] is not None}


def from_fields(fields: dict[str, Any]) -> RenderRequest:
    """What to_fields made of it."""
    window, viewport = fields["window"], fields["viewport"]
    parts = {
        "window": Window(**window) if window else None,
        "viewport": Viewport(**viewport) if viewport else None,
        "annotation": tuple(fields["annotation"]),
    }
    return RenderRequest(**{**fields, **parts})
