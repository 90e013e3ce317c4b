"""De-identification by the Basic Application Level Confidentiality Profile (PS3.15 E.2). Knows Data Sets, no pixels.

1. What table E.1-1 names is treated as it says, at every depth; where it leaves a choice, so that the attribute stays
   valid: a dummy (D) before an empty value (Z), and that before leaving it out (X).
2. What is private, what is not in PS3.6, curves and overlays go.
3. Instances keep their relations: the same UID becomes the same new one each time, by the caller's function.
4. Newer attributes that the table may not know yet: names of persons and dates are emptied, UIDs of instances
   replaced, addresses (UR) left out, as those of instances hold their UIDs; so are dates that are text, and numbers of
   orders.
5. What comes in a VR of another kind than PS3.6 gives it goes, unless the table says something else than to keep it:
   a sequence as OB or a name as text would be kept whole.

Reading: a sequence that is to get a dummy (D) is left out, as its Items would say nothing.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement

Remap = Callable[[str], str]  # a UID to the one that stands for it

METHOD = "PS3.15 E.2 Basic Profile"
_PROFILE_CODE = ("113100", "Basic Application Confidentiality Profile")
_CLEAN_PIXELS_CODE = ("113101", "Clean Pixel Data Option")

# By VR, what stands for a value that may not be empty.
_DUMMIES: dict[str, Any] = {
    "AE": "ANONYMIZED",
    "AS": "000Y",
    "CS": "ANONYMIZED",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "PN": "ANONYMIZED",
    "TM": "000000",
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), "ANONYMIZED"),
    **dict.fromkeys(("FD", "FL"), 0.0),
    **dict.fromkeys(("SL", "SS", "SV", "UL", "US", "UV"), 0),
}
_FIRST_OF = {"X/Z": "Z", "X/D": "D", "X/Z/D": "D", "Z/D": "D", "X/Z/U*": "R"}
_REMOVE, _EMPTY, _DUMMY, _UID, _RECURSE, _KEEP = "X", "Z", "D", "U", "R", "K"
# Endings of keywords: UIDs that name no instance, but classes and the schemes and lists that codes are taken from.
_CODES = ("CodingSchemeUID", "ContextUID", "MappingResourceUID")
_NO_INSTANCE = ("ClassUID", "ClassesInStudy", "TransferSyntaxUID", *_CODES)
_KEPT_ADDRESSES = frozenset({0x0008010E, 0x00080120})  # Coding Scheme URL, URN Code Value: parts of codes
_UNLISTED = frozenset(  # what tells of the patient or his orders, though the table does not have it
    {
        0x00100033,  # Patient's Birth Date in Alternative Calendar
        0x00100034,  # Patient's Death Date in Alternative Calendar
        0x00100035,  # Patient's Alternative Calendar
        0x00401006,  # Placer Order Number / Procedure
        0x00401007,  # Filler Order Number / Procedure
        0x00402006,  # Placer Order Number / Imaging Service Request (retired)
        0x00402007,  # Filler Order Number / Imaging Service Request (retired)
    }
)
_STANDARD_UIDS = "1.2.840.10008."
# VRs that are one kind: what one of them may hold, the others may. Every other VR is a kind of its own.
_TEXTS = ("CS", "LO", "LT", "SH", "ST", "UC", "UT")
_NUMBERS = ("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV")
_BINARY = ("OB", "OD", "OF", "OL", "OV", "OW")
_KINDS = {vr: kind[0] for kind in (_TEXTS, _NUMBERS, _BINARY, ("DS", "IS")) for vr in kind}

_ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104."
_WAVEFORMS_OF_VOICES = frozenset({"1.2.840.10008.5.1.4.1.1.9.4.1", "1.2.840.10008.5.1.4.1.1.9.4.2"})
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Images that devices make without writing into them: CR, DX, mammography, CT, MR, NM, PET, XA, RF, RT, segmentations.
_UNWRITTEN = frozenset(
    _STORAGE + number
    for number in [
        "1",
        "1.1",
        "1.1.1",
        "1.2",
        "1.2.1",
        "1.3",
        "1.3.1",
        "2",
        "2.1",
        "2.2",
        "4",
        "4.1",
        "4.2",
        "4.3",
        "4.4",
        "12.1",
        "12.1.1",
        "12.2",
        "12.2.1",
        "13.1.3",
        "20",
        "30",
        "66",
        "66.1",
        "66.2",
        "66.4",
        "66.5",
        "128",
        "128.1",
        "130",
        "481.1",
        "481.2",
    ]
)
_PRINTED = frozenset({"SCREEN SAVE", "SCREEN", "DOSE_INFO", "DOSE INFO", "PASTED", "PRINT"})  # words of Image Type


def obstacle(ds: Dataset) -> str:
    """Why *ds* cannot be de-identified honestly, as a sentence; "" if it can.

    Pixels are believed to be clean if Burned In Annotation says so or, where it is absent, if the kind of image is one
    that devices do not write into (PS3.15 E.3.1).
    """
    return _telling(ds) or _written_upon(ds)


def deidentify(ds: Dataset, remap: Remap) -> None:
    """Make *ds*, which has no obstacle, that of nobody, and say so in it (PS3.15 E.1.1)."""
    is_clean = _burned_in(ds) == "NO"
    _clean(ds, remap)
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = METHOD
    ds.DeidentificationMethodCodeSequence = [_code(*_PROFILE_CODE)] + [_code(*_CLEAN_PIXELS_CODE)] * is_clean
    ds.LongitudinalTemporalInformationModified = "REMOVED"


def keeps(tag: int, vr: str) -> bool:
    """Whether the value of a top-level attribute that came as *vr*, too large to be looked at, stays as it is."""
    return _action(tag, vr) == _KEEP


def _telling(ds: Dataset) -> str:
    """What else than pixels may say who the patient is."""
    sop_class = str(ds.get("SOPClassUID", ""))
    if "ContentSequence" in ds:
        return "A structured report says who the patient is in its text."
    if sop_class.startswith(_ENCAPSULATED):
        return "An encapsulated document may say who the patient is."
    if sop_class in _WAVEFORMS_OF_VOICES:
        return "A voice may tell who the patient is."
    return ""


def _written_upon(ds: Dataset) -> str:
    """What in the pixels may say who the patient is."""
    if any(element.tag.group & 0xFF01 == 0x6000 and _is_in_pixels(element) for element in ds):
        return "The pixels hold overlays, which may say who the patient is."
    burned_in = _burned_in(ds)
    if burned_in not in {"", "NO"}:  # Yes, TRUE, UNKNOWN: whatever it is, it does not say that they are clean
        return "The pixels are said to hold text that may identify the patient, or not said to hold none."
    if burned_in == "NO" or "Rows" not in ds:
        return ""
    if str(ds.get("SOPClassUID", "")) in _UNWRITTEN and _is_primary(ds):
        return ""
    return "Nothing says that the pixels are free of text that may identify the patient."


def _burned_in(ds: Dataset) -> str:
    return str(ds.get("BurnedInAnnotation") or "").strip().upper()


def _clean(ds: Dataset, remap: Remap) -> None:
    for element in list(ds):
        action = _action(int(element.tag), element.VR)
        if action == _REMOVE or (action == _DUMMY and element.VR not in _DUMMIES):
            del ds[element.tag]
        elif action == _UID:
            element.value = _remapped(element.value, remap)
        elif action == _DUMMY:
            element.value = _DUMMIES[element.VR]
        elif action == _EMPTY:
            element.value = [] if element.VR == "SQ" else None
        elif element.VR == "SQ":
            for item in element.value:
                _clean(item, remap)


def _action(tag: int, vr: str) -> str:
    if not _is_known(tag) or tag in _UNLISTED:
        return _REMOVE
    listed = _actions().get(tag, _KEEP)
    if listed in (_REMOVE, _EMPTY, _DUMMY):
        return listed
    if not _is_of_kind(tag, vr):  # nobody can tell what it says
        return _REMOVE
    return _by_vr(tag, vr) if listed == _KEEP else listed


def _by_vr(tag: int, vr: str) -> str:
    """What becomes of an attribute that the table does not have."""
    if vr == "UR" and tag not in _KEPT_ADDRESSES:
        return _REMOVE
    if vr in ("PN", "DA", "DT"):
        return _EMPTY
    is_instance = vr == "UI" and not keyword_for_tag(tag).endswith(_NO_INSTANCE)
    return _UID if is_instance else _KEEP


def _is_of_kind(tag: int, vr: str) -> bool:
    """Whether *vr* is of the kind of one that PS3.6 gives the attribute; UN is of none."""
    return not {_KINDS.get(one, one) for one in vr.split(" or ")}.isdisjoint(_kinds(tag))


@lru_cache(maxsize=4096)
def _kinds(tag: int) -> frozenset[str]:
    return frozenset(_KINDS.get(vr, vr) for vr in dictionary_VR(tag).split(" or "))


def _is_known(tag: int) -> bool:
    """Whether PS3.6 has it for Data Sets, and it is neither curve nor overlay nor a group length.

    Commands, File Meta Information and directories (groups 0000, 0002, 0004) have no place in one.
    """
    group = tag >> 16
    if group % 2 or group < 0x0008 or group >> 8 in (0x50, 0x60):
        return False
    return tag & 0xFFFF != 0 and dictionary_has_tag(tag)


def _remapped(value: Any, remap: Remap) -> Any:
    """UIDs that the standard itself defines stay."""
    if not value:
        return value
    values = [value] if isinstance(value, str) else list(value)
    changed = [str(uid) if str(uid).startswith(_STANDARD_UIDS) else remap(str(uid)) for uid in values]
    return changed[0] if isinstance(value, str) else changed


def _is_in_pixels(element: DataElement) -> bool:
    """Overlay Bit Position or Bits Allocated of an overlay in unused bits of Pixel Data (PS3.3 C.9.2, retired)."""
    return (element.tag.element == 0x0102 and bool(element.value)) or (
        element.tag.element == 0x0100 and element.value not in (None, 1)
    )


def _is_primary(ds: Dataset) -> bool:
    """Whether the image is what the device measured, and not a picture of a screen (PS3.3 C.7.6.1.1.2)."""
    words = ds.get("ImageType") or []
    values = [words] if isinstance(words, str) else [str(word) for word in words]
    return values[1:2] != ["SECONDARY"] and not _PRINTED & set(values) and "ConversionType" not in ds


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


@lru_cache
def _actions() -> dict[int, str]:
    text = (resources.files("relais.dicom") / "basic_profile.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {int(tag, 16): _FIRST_OF.get(action, action) for tag, action, _ in rows}
