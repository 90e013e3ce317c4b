"""`relais migrate`: the archive moves to another index, another store, or both."""

from dataclasses import asdict
from pathlib import Path

import click

from relais.archive import Archive, restoring
from relais.archive.transfer import Copied
from relais.cli.backup import open_target, tell_lacking
from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json
from relais.cli.own import existing_archive
from relais.cli.progress import telling
from relais.config import Config, load
from relais.errors import InvalidRequest
from relais.index import statistics
from relais.node.serve import data_directory

SAME = "Both configurations name the same index and the same storage: there is nothing to move."
NOT_WHOLE = "Not everything could be copied. With --despite-damage --finish goes on without it."
GO_ON = "The node may go on. When it can be stopped for a while, stop it and run the same command with --finish."
IN_PLACE = "The objects stay where they are: nothing is to be copied before --finish."
DONE = "Everything is there. Start the node with {0}; `relais check --config {0}` reads it all once more."


@click.command(short_help="Move the archive to another index or storage.")
@click.option(
    "--to",
    "to_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.toml",
    help="A configuration file as the node shall use it from then on.",
)
@click.option("--finish", is_flag=True, help="The node is stopped: copy what is left, then the index, and compare.")
@click.option(
    "--despite-damage", is_flag=True, help="Finish also if objects are damaged or missing in the old archive."
)
@config_option
@json_option
def migrate(to_file: Path, finish: bool, despite_damage: bool, config_file: Path | None, as_json: bool) -> None:
    """Move the archive to the index and the storage that FILE.toml names.

    First without --finish, while the node works: objects are copied, and compared with their digests. Again as often
    as you like: each time only what is new. Then stop the node and run it with --finish: what is left and the index
    follow, with all that it knows (audit, change feed, rejections), and are compared. The old archive stays as it is.

    FILE.toml counts alone: RELAIS_... variables in the environment belong to the old archive.
    """
    config, wanted = config_of(config_file), load(to_file, {}).config
    moves_store = wanted.storage.url != config.storage.url or wanted.storage.endpoint_url != config.storage.endpoint_url
    moves_index = wanted.index.url != config.index.url
    if not (moves_store or moves_index):
        raise InvalidRequest(SAME)
    if moves_index and not finish and restoring.is_taken(wanted.index):
        raise InvalidRequest(restoring.TAKEN)
    if finish:
        with data_directory(config), existing_archive(config) as archive:
            copied = _objects(archive, wanted, as_json) if moves_store else Copied()
            is_ready = copied.is_whole or despite_damage
            rows = restoring.move_index(archive, wanted.index, config.node.data_dir) if moves_index and is_ready else {}
        next_step = DONE.format(to_file)
    else:
        with existing_archive(config) as archive:
            copied, rows = _objects(archive, wanted, as_json) if moves_store else Copied(), {}
        next_step = GO_ON if moves_store else IN_PLACE
    _tell(copied, rows, next_step, as_json)


def _objects(archive: Archive, wanted: Config, as_json: bool) -> Copied:
    store = open_target(wanted.storage)
    try:
        with telling("Copying", as_json, statistics.statistics(archive.db).instances) as tell:
            return restoring.copy_objects(archive, store, tell.more)
    finally:
        store.close()


def _tell(copied: Copied, rows: dict[str, int], next_step: str, as_json: bool) -> None:
    if as_json:
        print_json({"whole": copied.is_whole, **asdict(copied), "rows": rows})
    else:
        if copied != Copied():
            click.echo(
                f"{copied.copied} objects copied, {human_bytes(copied.size_bytes)}; {copied.present} were there."
            )
        if rows:
            click.echo(f"The index: {rows['study']} studies, {rows['change']} changes, {rows['audit']} audit records.")
        tell_lacking(copied)
        click.echo(next_step if copied.is_whole or rows else NOT_WHOLE)
    if not copied.is_whole:
        raise SystemExit(1)
