"""`relais import`: take files from disk into the archive."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from relais.archive.ledger import Ledger
from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json
from relais.cli.intake import Intake, Summary
from relais.cli.own import login, taking_archive
from relais.cli.progress import telling
from relais.cli.shares import Share, Tell, side_by_side
from relais.cli.shown import shown
from relais.cli.sources import walk
from relais.dicom.origin import Channel, Origin
from relais.node import aftermath

SHOWN = 2  # files for each reason


@click.command("import", short_help="Take in DICOM files: folders, zip and tar files, a DICOMDIR.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True, help="Files taken in at a time.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes, each with so many.")
@click.option("--again", is_flag=True, help="Read also the files that an earlier import read.")
@config_option
@json_option
def import_(
    paths: Sequence[Path], threads: int, jobs: int, again: bool, config_file: Path | None, as_json: bool
) -> None:
    """Take DICOM files into the archive: files, folders, a DICOMDIR, zip files, tar files that are not compressed.

    The node may be running meanwhile. Files that are not DICOM are passed over and counted; a folder that cannot be
    read counts as refused; links to folders are not followed, unless they are named. The same command goes on
    where an earlier one ended, however it ended: a file of the same path, size and time that was read before is not
    read again, unless something of its study has been deleted here. Exit code 1 if any DICOM file was refused; the
    summary says how many, why, and names some.
    """
    work = partial(_take, config_file, paths, threads, again)
    with aftermath.swept(config_of(config_file)), telling("Importing", as_json) as tell:
        if not tell.is_quiet:
            tell.of(_count(paths))

        def tell_more(summary: Summary) -> None:
            tell(summary.done, summary.size_bytes)

        summary = work(Share(), tell_more) if jobs == 1 else side_by_side(jobs, work, tell_more)
    if as_json:
        print_json({**asdict(summary), "refused_count": summary.refused_count})
    else:
        _print(summary)
    if summary.refused_count:
        raise SystemExit(1)


def _take(
    config_file: Path | None, paths: Sequence[Path], threads: int, again: bool, share: Share, tell: Tell
) -> Summary:
    """Take in the files below *paths* that are in *share*."""
    config = config_of(config_file)
    origin = Origin(Channel.IMPORT, address=socket.gethostname(), user=login())
    with ExitStack() as keep:
        archive = keep.enter_context(taking_archive(config))
        ledger = None if again else Ledger(archive, config.node.data_dir / "imports", "files", alone=False)
        if ledger is not None:
            keep.enter_context(ledger)
        return Intake(archive, origin, ledger, tell).run(share.mine(walk(paths, keep)), threads)


def _count(paths: Sequence[Path]) -> int:
    """How many files there are, so that it can be told how long it will take."""
    with ExitStack() as keep:
        return sum(1 for _ in walk(paths, keep))


def _print(summary: Summary) -> None:
    speed = summary.size_bytes / summary.seconds if summary.seconds else 0
    click.echo(
        f"{summary.stored} stored, {summary.duplicates} already there, {summary.replaced} replaced, "
        f"{summary.refused_count} refused, {summary.not_dicom} not DICOM; "
        f"{human_bytes(summary.size_bytes)} in {summary.seconds:.1f} s ({human_bytes(speed)}/s)."
    )
    if summary.known:
        click.echo(f"{summary.known} of these files were known from an earlier import and not read again.")
    for reason, refused in sorted(summary.refused.items(), key=lambda item: -item[1].count):
        click.echo(f"{refused.count} refused: {shown(reason)}")
        for name in refused.examples[:SHOWN]:
            click.echo(f"    {shown(name)}")
        if refused.count > SHOWN:
            click.echo(f"    and {refused.count - SHOWN} more")
    if summary.full:
        click.echo("The storage is full: the rest was not tried.")
