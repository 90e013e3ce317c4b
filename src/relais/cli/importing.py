"""`relais import`: take files from disk into the archive."""

import getpass
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click
from rich.progress import Progress

from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json, progress_bar
from relais.cli.intake import Intake, Summary
from relais.cli.sources import walk
from relais.dicom.origin import Channel, Origin
from relais.node import compose

SHOWN = 2  # files for each reason


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True, help="Files taken in at a time.")
@config_option
@json_option
def import_(paths: Sequence[Path], threads: int, config_file: Path | None, as_json: bool) -> None:
    """Take DICOM files into the archive: files, folders, a DICOMDIR, zip files.

    The node may be running meanwhile. Files that are not DICOM are passed over and counted. Exit code 1 if any DICOM
    file was refused; the summary says how many, why, and names some.
    """
    origin = Origin(Channel.IMPORT, address=socket.gethostname(), user=getpass.getuser())
    with ExitStack() as keep:
        archive = keep.enter_context(compose.archive_of(config_of(config_file)))
        bar = keep.enter_context(progress_bar(as_json))
        total = None if bar.disable else _count(paths)
        summary = Intake(archive, origin, _progress(bar, total)).run(walk(paths, keep), threads)
    if as_json:
        print_json({**asdict(summary), "refused_count": summary.refused_count})
    else:
        _print(summary)
    if summary.refused_count:
        raise SystemExit(1)


def _count(paths: Sequence[Path]) -> int:
    """How many files there are, so that the bar can tell how long it will take."""
    with ExitStack() as keep:
        return sum(1 for _ in walk(paths, keep))


def _progress(bar: Progress, total: int | None) -> Callable[[Summary], None]:
    task = bar.add_task("Importing", total=total, rate="")

    def tell(summary: Summary) -> None:
        taken = summary.stored + summary.replaced + summary.duplicates
        done = taken + summary.refused_count + summary.not_dicom
        speed = bar.tasks[task].speed
        rate = f"{speed:.0f}/s, {human_bytes(summary.size_bytes)}" if speed else ""
        bar.update(task, completed=done, rate=rate)

    return tell


def _print(summary: Summary) -> None:
    speed = summary.size_bytes / summary.seconds if summary.seconds else 0
    click.echo(
        f"{summary.stored} stored, {summary.duplicates} already there, {summary.replaced} replaced, "
        f"{summary.refused_count} refused, {summary.not_dicom} not DICOM; "
        f"{human_bytes(summary.size_bytes)} in {summary.seconds:.1f} s ({human_bytes(speed)}/s)."
    )
    for reason, refused in sorted(summary.refused.items(), key=lambda item: -item[1].count):
        click.echo(f"{refused.count} refused: {reason}")
        for name in refused.examples[:SHOWN]:
            click.echo(f"    {name}")
        if refused.count > SHOWN:
            click.echo(f"    and {refused.count - SHOWN} more")
    if summary.full:
        click.echo("The storage is full: the rest was not tried.")
