"""Data Sets as XML: the Native DICOM Model (PS3.19 A.1), made from the DICOM JSON model. Knows text, not messages."""

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from relais.dicom.json_model import JsonDataset

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def document(ds: JsonDataset) -> bytes:
    """*ds* as one XML document (PS3.19 A.1.6)."""
    text = "".join(_attributes(ds))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
        f"{text}</NativeDicomModel>"
    ).encode()


def _attributes(ds: JsonDataset) -> Iterator[str]:
    for key, element in sorted(ds.items()):
        tag, creator = _private(ds, key)
        keyword = keyword_for_tag(int(key, 16))
        names = {"tag": tag, "vr": element["vr"], "keyword": keyword, "privateCreator": creator}
        head = "".join(f" {name}={quoteattr(_legal(value))}" for name, value in names.items() if value)
        yield f"<DicomAttribute{head}>{_content(element)}</DicomAttribute>"


def _private(ds: JsonDataset, key: str) -> tuple[str, str]:
    """The tag as it stands in XML, and its private creator: the block number is left out (PS3.19 table A.1.5-2)."""
    block = key[4:6]
    if int(key[:4], 16) % 2 == 0 or block == "00":
        return key, ""
    creators = ds.get(f"{key[:4]}00{block}", {}).get("Value") or [""]
    return (f"{key[:4]}00{key[6:]}", str(creators[0])) if creators[0] else (key, "")


def _content(element: dict[str, Any]) -> str:
    if "InlineBinary" in element:
        return f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    if "BulkDataURI" in element:
        return f"<BulkData uri={quoteattr(_legal(element['BulkDataURI']))}/>"
    values = enumerate(element.get("Value", ()), 1)
    return "".join(_value(element["vr"], number, value) for number, value in values)


def _value(vr: str, number: int, value: Any) -> str:
    """One value. An empty one among others has its number too, or how many there are would be lost."""
    if vr == "SQ":
        return f'<Item number="{number}">{"".join(_attributes(value or {}))}</Item>'
    if vr == "PN":
        return f'<PersonName number="{number}">{_person_name(value or {})}</PersonName>'
    return f'<Value number="{number}">{"" if value is None else _escaped(str(value))}</Value>'


def _person_name(value: dict[str, str]) -> str:
    return "".join(f"<{group}>{_components(value[group])}</{group}>" for group in _GROUPS if value.get(group))


def _components(group: str) -> str:
    pairs = zip(_COMPONENTS, group.split("^", len(_COMPONENTS) - 1), strict=False)
    return "".join(f"<{name}>{_escaped(text)}</{name}>" for name, text in pairs if text)


def _escaped(text: str) -> str:
    """*text* as content: a carriage return would else be read as a line feed (XML 1.0 2.11)."""
    return escape(_legal(text), {"\r": "&#13;"})


def _legal(text: str) -> str:
    """*text* without characters that XML 1.0 cannot carry."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "�" for c in text
    )
