"""`relais check` and `relais reindex`: files and index compared, or the index made anew from the files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from relais.archive import Archive, maintenance
from relais.cli.common import config_of, config_option, json_option, print_json, print_list
from relais.cli.own import existing_archive
from relais.cli.progress import telling
from relais.config import Config
from relais.index import statistics
from relais.node import compose
from relais.node.serve import data_directory

UNKNOWN = (
    "unknown to the index, as a node leaves them that is killed before it answers "
    "(a node takes them in when it starts, and every six hours)"
)


@click.command(short_help="Compare every stored object with digest and index.")
@config_option
@json_option
def check(config_file: Path | None, as_json: bool) -> None:
    """Read every stored object in full and compare it with its digest, and the index with the files.

    The node may be running meanwhile. Exit code 1 if anything is damaged, missing, unknown to the index, foreign or
    miscounted.
    """
    with existing_archive(config_of(config_file)) as archive, telling("Checking", as_json) as tell:
        tell.of(statistics.statistics(archive.db).instances)
        report = maintenance.check(archive, tell)
    if as_json:
        print_json({"sound": report.is_sound, **asdict(report)})
    else:
        click.echo(f"{report.checked} objects checked.")
        print_list("damaged: the bytes are not those that were stored", report.damaged)
        print_list("missing: the index names them, the storage has no such file", report.missing)
        print_list("could not be read now: the storage does not answer", report.unread)
        print_list("not read: they wait on another node, and are not lost", report.waiting)
        print_list("not read: they lie in slow storage", report.nearline)
        for sentence in report.spools:
            click.echo(sentence)
        print_list(UNKNOWN, report.orphans)
        print_list("foreign: files in the folder of the objects that are none", report.foreign)
        print_list("miscounted", report.miscounted)
        click.echo("Everything is sound." if report.is_sound else "Not everything is as it should be.")
    if not report.is_sound:
        raise SystemExit(1)


@click.command(short_help="Make the index anew from the stored files alone.")
@config_option
@json_option
def reindex(config_file: Path | None, as_json: bool) -> None:
    """Make the index anew from the stored files alone. No node of this archive may be running.

    An index file that cannot be opened is left alone: move it away first.
    """
    with _archive_to_ourselves(config_of(config_file)) as archive, telling("Indexing", as_json) as tell:
        rebuilt = maintenance.reindex(archive, tell)
    if as_json:
        print_json(asdict(rebuilt))
    else:
        click.echo(
            f"{rebuilt.indexed} instances indexed, {rebuilt.superseded} files hold former or duplicate contents."
        )
        print_list("unreadable: no DICOM instance could be found in them", rebuilt.unreadable)
    if rebuilt.unreadable:
        raise SystemExit(1)


@contextmanager
def _archive_to_ourselves(config: Config) -> Iterator[Archive]:
    with data_directory(config), compose.archive_of(config) as archive, archive.db.alone():
        yield archive
