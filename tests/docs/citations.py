"""Every citation of the DICOM standard in this repository, with its places: `python tests/docs/citations.py [CLAUSE]`.

A citation is `PS3.<part> <clause>`: `PS3.4 C.2.2.2.4`, `PS3.18 table 10.6.3-5`. A part alone, `PS3.6`, is a mention.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHERE = ("src", "tests", "docs", "sample_dicom", "README.md", "CHANGELOG.md")
KINDS = {".py", ".md", ".sql", ".html", ".js", ".toml"}
CLAUSE = r"(?:(?:[tT]ables?|[fF]igures?) )?(?:[A-Z]{1,2}|\d{1,2})(?:\.\d+[a-z]?)*(?:-\d+[a-z]?)?"
CITATION = re.compile(rf"PS3\.(?P<part>\d{{1,2}})(?: (?P<clause>{CLAUSE})(?![\w]))?")
ALMOST = re.compile(r"\bPS[ -]?3(?=\W)")
NEVER = re.compile(r"PS3\.\d{1,2}(?:[-:]\S|\.[A-Z\d]|,? (?:§|Sect|sect|Annex|annex|Clause|clause|\d{4}[a-e]?\b))")
PARTS = range(1, 23)

Place = tuple[Path, int]


def lines() -> Iterator[tuple[Place, str]]:
    """Every line of text of the repository, but for those of this folder, which must be able to give bad examples."""
    for name in WHERE:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in KINDS and file.is_file() and Path(__file__).parent not in file.parents:
                for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                    yield (file.relative_to(ROOT), number), line


def citations() -> dict[tuple[int, str], list[Place]]:
    """Places by part and clause ("" for a mention of the part)."""
    found: dict[tuple[int, str], list[Place]] = defaultdict(list)
    for place, line in lines():
        for match in CITATION.finditer(line):
            found[int(match["part"]), match["clause"] or ""].append(place)
    return dict(found)


def complaints() -> Iterator[str]:
    """One sentence for each citation that is not well formed."""
    for (path, number), line in lines():
        for match in ALMOST.finditer(line):
            cited = CITATION.match(line, match.start())
            if not cited or int(cited["part"]) not in PARTS or NEVER.match(line, match.start()):
                yield f"{path}:{number}: {line[match.start() : match.start() + 30]!r} is not like PS3.4 C.2.2.2.4"


def sort_key(citation: tuple[int, str]) -> list[tuple[int, int | str]]:
    part, clause = citation
    return [(0, part), *((0, int(word)) if word.isdecimal() else (1, word) for word in re.findall(r"\d+|\D+", clause))]


def main(arguments: list[str]) -> None:
    """Print all citations, or those of one clause and below."""
    wanted = arguments[0].removeprefix("PS3.") if arguments else ""
    for citation, places in sorted(citations().items(), key=lambda item: sort_key(item[0])):
        name = f"{citation[0]} {citation[1]}".strip()
        if name.startswith(wanted):
            sys.stdout.write(f"PS3.{name}\n" + "".join(f"    {path}:{number}\n" for path, number in places))


if __name__ == "__main__":
    main(sys.argv[1:])
