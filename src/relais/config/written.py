"""What was written down in the file and in the environment, and where. Knows sections and keys, not their meaning."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from relais.config.convert import keys, nearest

PREFIX = "RELAIS_"
NOT_SETTINGS = (
    "RELAIS_CONFIG",
    "RELAIS_TEST_",
    "RELAIS_BENCH_",
    "RELAIS_FUZZ_",
)  # but heeded elsewhere
LISTS = ("peers", "tokens")  # sections of which there may be many
MAX_FILE_BYTES = 1024 * 1024  # a larger configuration or secret file is refused: it is not what it is meant to be


class Written:
    """Values by section and key, the place of each, and one sentence per thing that is in no place it could be.

    *sections* maps each section to its settings class. Those in LISTS are lists, and only the file can hold them.
    """

    def __init__(self, sections: Mapping[str, Any]) -> None:
        self.sections = sections
        self.values: dict[str, Any] = {}
        self.sources: dict[tuple[str, str], str] = {}
        self.problems: list[str] = []

    def read_file(self, path: Path) -> None:
        """Take in the TOML file at *path*."""
        try:
            text = small_text(path)
            values = tomllib.loads(text)
        except (OSError, ValueError) as exc:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
            self.problems.append(f"{path}: {reason(exc)}")
            return
        lines = lines_of_keys(text)
        for section, content in values.items():
            place = f"{path}, line {lines.get((section, ''), lines.get(('', section), 1))}"
            if not self._is_section(section, place, content):
                continue
            self.values[section] = content
            self.sources[section, ""] = place
            if isinstance(content, dict):
                for key in content:
                    self.sources[section, key] = f"{path}, line {lines.get((section, key), 1)}"
            else:
                listed = {at: line for at, line in lines.items() if at[0].startswith(f"{section} ")}
                self.sources |= {at: f"{path}, line {line}" for at, line in listed.items()}

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take in every `RELAIS_<SECTION>__<KEY>`. For names with one underscore see `not_heeded`."""
        for name in sorted(environ):
            section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
            if name.startswith(PREFIX) and separator:
                self._read_variable(name, section, key, environ[name])

    def _is_section(self, section: str, place: str, content: object) -> bool:
        if section not in self.sections:
            self.problems.append(f"{place}: there is no section [{section}]{nearest(section, list(self.sections))}")
        elif not isinstance(content, list if section in LISTS else dict):
            form = f"[[{section}]]" if section in LISTS else f"[{section}]"
            self.problems.append(f"{place}: {section} must be written as {form} with its keys below")
        else:
            return True
        return False

    def _read_variable(self, name: str, section: str, key: str, value: str) -> None:
        if section in LISTS:
            self.problems.append(f"{name}: {section} can only be written in the file, as [[{section}]]")
            return
        if section not in self.sections:
            self.problems.append(f"{name}: there is no section [{section}]{nearest(section, list(self.sections))}")
            return
        known = keys(self.sections[section])
        if key not in known and key.removesuffix("_file") in known:
            key = key.removesuffix("_file")
            try:
                value = small_text(Path(value)).strip()
            except (OSError, ValueError) as exc:
                self.problems.append(f"{name}: {value}: {reason(exc)}")
                return
        if key not in known:
            self.problems.append(f"{name}: [{section}] has no key {key}{nearest(key, known)}")
            return
        self.values.setdefault(section, {})[key] = value
        self.sources[section, key] = name


def not_heeded(environ: Mapping[str, str], sections: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each variable of *environ* that is named like a setting of *sections* and is none.

    No error: where containers are run side by side, such names are made for whoever is called "relais", too.
    """
    settings = [f"{PREFIX}{section}__{key}".upper() for section, kind in sections.items() for key in _keys(kind)]
    meant = {name.replace("__", "_"): name for known in settings for name in (known, f"{known}_FILE")}
    for name in sorted(environ):
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and "__" not in name:
            hint = f"; did you mean {meant[name]}?" if name in meant else ": they are called RELAIS_<SECTION>__<KEY>."
            yield f"{name} in the environment is no setting{hint}"


def _keys(kind: Any) -> list[str]:
    """The keys of a section that the environment can set: of a list there are none."""
    return keys(kind) if isinstance(kind, type) and is_dataclass(kind) else []


def small_text(path: Path) -> str:
    """The text of a file that people write by hand. Raises OSError or ValueError."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"is larger than {MAX_FILE_BYTES} bytes")
    return content.decode("utf-8")


def reason(exc: OSError | ValueError) -> str:
    """Why a file could not be used, in words."""
    if isinstance(exc, OSError):
        return (exc.strerror or str(exc)).lower()
    return "is not UTF-8 text" if isinstance(exc, UnicodeDecodeError) else str(exc)


def lines_of_keys(text: str) -> dict[tuple[str, str], int]:
    """The line of each section (as (section, "")) and of each key in it; of several the first.

    The second of the sections in double brackets, `[[peers]]`, is also there as "peers 2".
    """
    lines: dict[tuple[str, str], int] = {}
    section, counts = "", Counter[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.-]+)", line):
            brackets, section = header.groups()
            lines.setdefault((section, ""), number)
            if brackets == "[[":
                counts[section] += 1
                section = f"{section} {counts[section]}"
                lines[section, ""] = number
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            lines.setdefault((section, key[1]), number)
    return lines
