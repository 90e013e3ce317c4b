"""`relais bench`: how fast a node with these settings would be on this machine and this disk."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json, print_table
from relais.cli.progress import telling
from relais.config import Config
from relais.errors import Unavailable
from relais.node.measuring import Measurement, Measuring, limit
from relais.node.temporary import temporary


@click.command()
@click.option(
    "--instances",
    type=click.IntRange(20, 20_000),
    default=200,
    show_default=True,
    help="How many of each kind to store.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="On the disk to measure (default: that of data_dir).",
)
@config_option
@json_option
def bench(instances: int, folder: Path | None, config_file: Path | None, as_json: bool) -> None:
    """Measure a temporary node on this machine and its disk.

    A node with these settings, but an archive of its own (SQLite and files, whatever the settings say) in a new
    folder, is sent made-up CT and MR, and asked for them. Your archive is not touched, nor is a node that runs. Each
    store is durable when it is answered. The folder takes 1.2 MB for each of --instances and is removed afterwards;
    what else the machine does meanwhile is measured with it.
    """
    config = config_of(config_file)
    above = folder or _on_the_same_disk(config)
    found: list[Measurement] = []
    try:
        with _ended_in_order(), temporary(config, above) as node:
            steps = Measuring(node, instances).steps()
            with telling("Measuring", as_json, len(steps)) as tell:
                for measure in steps:
                    found.append(measure())
                    tell.more()
    except OSError as exc:
        raise Unavailable(f"{above} cannot be measured: {exc.strerror or exc}.") from exc
    _show(above, found, as_json)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends what is done meanwhile as Ctrl-C does, so that the folder goes, too."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _on_the_same_disk(config: Config) -> Path:
    """An existing folder on the disk of data_dir: beside the archive, where nobody looks for objects."""
    for path in (config.run_dir, *config.run_dir.parents):
        if path.is_dir():
            return path
    return Path.cwd()


def _show(folder: Path, found: list[Measurement], as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder), "measured": [_as_json(one) for one in found], "limit": limit(found)})
        return
    columns = ["what", "times", "per second", "p50 ms", "p95 ms", "node's CPU ms", "data per second"]
    print_table(columns, [_row(one) for one in found])
    click.echo(f"\nMeasured on the disk of {folder}. {limit(found)}")


def _row(one: Measurement) -> list[str]:
    return [
        one.what,
        str(one.count),
        f"{one.per_s:.1f}",
        f"{one.percentile_ms(50):.2f}",
        f"{one.percentile_ms(95):.2f}",
        "" if one.cpu_ms is None else f"{one.cpu_ms:.2f}",
        f"{human_bytes(one.size_bytes / one.seconds)}" if one.size_bytes else "",
    ]


def _as_json(one: Measurement) -> dict[str, object]:
    return {
        "what": one.what,
        "count": one.count,
        "per_s": round(one.per_s, 2),
        "p50_ms": round(one.percentile_ms(50), 3),
        "p95_ms": round(one.percentile_ms(95), 3),
        "cpu_ms": None if one.cpu_ms is None else round(one.cpu_ms, 3),
        "bytes_per_s": round(one.size_bytes / one.seconds),
    }
