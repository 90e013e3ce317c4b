"""What several commands share: the configuration they run with, tables and JSON. Knows no command."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from relais.cli.shown import UNSEEN, shown
from relais.config import Config, load

SHOWN = 20  # names in a list; --json shows all


Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """Adds --config, as the parameter *config_file*."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="RELAIS_CONFIG",
        help="The configuration file (default: conf/relais.toml where it exists).",
    )(command)


def json_option(command: Command) -> Command:
    """Adds --json, as the parameter *as_json*."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people.")(
        command
    )


def config_of(config_file: Path | None) -> Config:
    """The configuration of a command. Raises ConfigError."""
    return load(config_file).config


def print_json(value: object) -> None:
    """*value* on stdout, one document."""
    said = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], said))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout. Nothing in it is taken for markup, whoever wrote it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    # A pipe gets whole lines: programs read it, and no window is too narrow.
    Console(width=None if sys.stdout.isatty() else 400, markup=False, highlight=False, emoji=False).print(table)


def print_list(title: str, names: Sequence[str]) -> None:
    """How many *names* there are, and the first of them, below each other; nothing where there are none."""
    if names:
        click.echo(f"{len(names)} {title}:")
        for name in names[:SHOWN]:
            click.echo(f"  {shown(name)}")
        if len(names) > SHOWN:
            click.echo(f"  and {len(names) - SHOWN} more (--json lists all)")


def human_bytes(size: float) -> str:
    """*size* bytes as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _plain(cell: str) -> str:
    return "".join(c if c.isprintable() else " " for c in cell)
