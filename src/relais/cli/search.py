"""`relais find`: search the own index, or a peer by C-FIND."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import click
from pydicom.datadict import keyword_for_tag

from relais.archive import search as archive_search
from relais.cli.common import config_of, config_option, json_option, print_json, print_table
from relais.cli.keys import parse, tag
from relais.cli.own import existing_archive, operator
from relais.cli.peers import peer_of
from relais.config import Config
from relais.dicom import json_model
from relais.dicom.attributes import Level, by_tag
from relais.dicom.json_model import JsonDataset
from relais.dicom.query import Query

LEVELS = {"patient": Level.PATIENT, "study": Level.STUDY, "series": Level.SERIES, "instance": Level.IMAGE}
NAMES = {level: name for name, level in LEVELS.items()}
COLUMNS = {
    Level.PATIENT: ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    Level.STUDY: (
        "StudyDate", "PatientID", "PatientName", "ModalitiesInStudy", "StudyDescription", "StudyInstanceUID",
    ),
    Level.SERIES: ("SeriesNumber", "Modality", "SeriesDescription", "SeriesInstanceUID"),
    Level.IMAGE: ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}  # fmt: skip


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--level", type=click.Choice(list(LEVELS)), default="study", show_default=True, help="What to look for.")
@click.option("--peer", help="Ask this peer instead of the own index: a name, or AE_TITLE@HOST:PORT.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="Most answers; 0 for all.")
@click.option("--fuzzy", is_flag=True, help="Match names without regard to accents and order (own index only).")
@config_option
@json_option
def find(  # noqa: PLR0913, PLR0917 - one parameter for each option
    keys: Sequence[str], level: str, peer: str | None, limit: int, fuzzy: bool, config_file: Path | None, as_json: bool
) -> None:
    """Find patients, studies, series or instances.

    KEY is a keyword or a tag: PatientName=DUPONT*, StudyDate=20240101-, 00080060=CT. A KEY without a value is returned,
    not matched. The answers are sorted newest first; --json prints them in the DICOM JSON model.
    """
    config = config_of(config_file)
    query, columns = _query(LEVELS[level], keys, limit, fuzzy)
    rows, more = _from_peer(config, peer, query) if peer else _from_index(config, query)
    if as_json:
        print_json(rows)
    else:
        print_table(columns, [[_cell(row, keyword) for keyword in columns] for row in rows])
        click.echo(f"{len(rows)} found{', and there are more (--limit 0 shows all)' if more else ''}.", err=True)


def _query(level: Level, keys: Sequence[str], limit: int, fuzzy: bool) -> tuple[Query, list[str]]:
    """The query, and the columns to show."""
    named, matches = parse(keys)
    tags = [tag(keyword) for keyword in COLUMNS[level]] + named
    tags = list(dict.fromkeys(tags))
    query = Query(level, matches, frozenset(tags), limit=limit or None, fuzzy=fuzzy)
    return query, [keyword_for_tag(found) or json_model.tag_key(found) for found in tags]


def _from_index(config: Config, query: Query) -> tuple[list[JsonDataset], bool]:
    with existing_archive(config) as archive:
        verb = archive_search.stream if query.limit is None else archive_search.search
        found = verb(archive, operator(), query)
        if found.unsupported:
            raise click.ClickException(_unsupported(found.unsupported))
        return list(found.rows), found.more


def _unsupported(keys: Sequence[int]) -> str:
    """What to say of keys that the index does not match, and where it does."""
    names = ", ".join(keyword_for_tag(key) or json_model.tag_key(key) for key in keys)
    known = [row for row in map(by_tag().get, keys) if row is not None and row.is_matched]
    elsewhere = [f"{row.keyword} with --level {NAMES[row.level]}" for row in known]
    return f"The index does not match {names} at this level{': ' if elsewhere else ''}{', '.join(elsewhere)}."


def _from_peer(config: Config, peer: str, query: Query) -> tuple[list[JsonDataset], bool]:
    answers: Iterable[JsonDataset] = peer_of(config, peer).search(
        Query(query.level, query.matches, query.return_keys, fuzzy=query.fuzzy)
    )
    if query.limit is None:
        return list(answers), False
    rows = list(islice(answers, query.limit + 1))
    return rows[: query.limit], len(rows) > query.limit


def _cell(row: JsonDataset, keyword: str) -> str:
    key = tag(keyword)
    vr = row.get(json_model.tag_key(key), {}).get("vr")
    if vr == "PN":
        return json_model.text(row, key) or ""
    return "\\".join(str(value) for value in json_model.values(row, key) if value is not None)
