"""Values as they are written down into the types of the settings classes. Knows types, not settings.

Every refusal is a ValueError whose sentence says what was expected. Values from the environment arrive as text.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin

from cattrs import ClassValidationError, Converter
from cattrs.errors import AttributeValidationNote, ForbiddenExtraKeysError


def explained(error: ClassValidationError, kind: Any) -> Iterator[tuple[str, str]]:
    """Key ("" where it concerns several) and sentence of everything that *error* holds about a *kind*."""
    noted, others = error.group_exceptions()
    for exc, note in noted:
        assert isinstance(note, AttributeValidationNote)
        yield note.name, "is missing" if isinstance(exc, KeyError) else _sentence(exc)
    for other in others:
        if isinstance(other, ForbiddenExtraKeysError):
            yield from ((key, f"there is no such key{nearest(key, keys(kind))}") for key in sorted(other.extra_fields))
        else:
            yield "", _sentence(other)


def nearest(word: str, known: Sequence[str]) -> str:
    """How the sentence about an unknown word ends: with what was probably meant, else with all there is."""
    near = get_close_matches(word, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"


def keys(kind: Any) -> list[str]:
    """The keys of a section whose settings class is *kind*."""
    return [f.name for f in fields(kind)]


def _sentence(exc: Exception) -> str:
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    return str(exc)


def _whole_number(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        return int(value)
    raise ValueError(f"expected a whole number, not {value!r}")


def _number(value: Any, _: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a number, not {value!r}")
    return number


def _truth(value: Any, _: Any) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"expected true or false, not {value!r}")


def _text(value: Any, kind: Any) -> str:
    """Text; where a StrEnum is wanted, which is text to the converter, one of its words."""
    if issubclass(kind, StrEnum):
        return _choice(value, kind)
    if isinstance(value, str):
        return value
    raise ValueError(f"expected text in quotes, not {value!r}")


def _path(value: Any, _: Any) -> Path:
    if isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"expected a path, not {value!r}")


def _choice(value: Any, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"expected one of {', '.join(kind)}, not {value!r}") from None


def _list(value: Any, kind: Any) -> tuple[Any, ...]:
    """A list, a JSON list, or words with commas between them."""
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else [word.strip() for word in text.split(",") if word.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list, not {value!r}")
    item = get_args(kind)[0]
    return tuple(converter.structure(one, item) for one in value)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _converter() -> Converter:
    made = Converter(forbid_extra_keys=True, detailed_validation=True)
    made.register_structure_hook(int, _whole_number)
    made.register_structure_hook(float, _number)
    made.register_structure_hook(bool, _truth)
    made.register_structure_hook(str, _text)
    made.register_structure_hook(Path, _path)
    made.register_structure_hook_func(_is_list, _list)
    made.register_unstructure_hook(Path, str)
    return made


converter = _converter()
