"""`relais backup` and `relais restore`: the whole archive on another disk, and back."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from relais.archive import apart, backup, restoring
from relais.archive.export import Exported
from relais.archive.transfer import Copied
from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json, print_list
from relais.cli.own import existing_archive
from relais.cli.progress import telling
from relais.errors import InvalidRequest
from relais.index import statistics
from relais.node.serve import data_directory
from relais.storage import open_store
from relais.storage.base import ObjectStore
from relais.storage.settings import SpoolUse, StorageSettings

INSIDE = "{} is inside [node] data_dir {}: what is lost with the archive is no backup of it."


@click.command("backup", short_help="Back up the archive into a folder on another disk.")
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N backups, remove older ones.")
@click.option(
    "--take-over", "takes_over", is_flag=True, help="Once after a restoration or a new index: go on with its backups."
)
@config_option
@json_option
def backup_(target: Path, keep: int | None, takes_over: bool, config_file: Path | None, as_json: bool) -> None:
    """Back up the archive into the folder TARGET, which may be on any disk but that of the archive.

    The node may be running meanwhile. Only what is new is copied, and compared with its digests on the way. A backup
    counts when it is complete; one that was interrupted goes on where it was. Exit code 1 if the archive itself holds
    objects that are damaged or missing: all others are backed up. Configuration and keys are not part of it.
    """
    config = config_of(config_file)
    if apart.is_within(target, config.node.data_dir):
        raise InvalidRequest(INSIDE.format(target, config.node.data_dir))
    with existing_archive(config) as archive, telling("Backing up", as_json) as tell:
        tell.of(2 * statistics.statistics(archive.db).instances)
        made = backup.make(archive, target, keep=keep, takes_over=takes_over, progress=tell.more)
    if as_json:
        print_json(asdict(made))
    else:
        said = made.manifest
        click.echo(f"Backup {made.name}: {said.instances} instances, {human_bytes(said.size_bytes)}.")
        click.echo(f"{made.copied} objects copied, {human_bytes(made.copied_bytes)}.")
        tell_lacking(said)
    if not made.manifest.is_whole:
        raise SystemExit(1)


@click.command(short_help="Restore a backup into an empty archive, or prove it.")
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", metavar="NAME", help="This backup instead of the newest; --list shows them.")
@click.option("--list", "is_list", is_flag=True, help="Show the backups in SOURCE, and do nothing.")
@click.option("--check", "is_check", is_flag=True, help="Read the backup in full and prove it, and do nothing.")
@config_option
@json_option
def restore(source: Path, name: str | None, config_file: Path | None, as_json: bool, **instead: Any) -> None:
    """Restore the newest backup in the folder SOURCE into the configured archive, which must be empty.

    The node must not be running. Every object is compared with its digests. Interrupted, the same command goes on where
    it was. The change feed gets a new name: whoever follows it begins again, and the next backup into the folder SOURCE
    wants --take-over.
    """
    if instead["is_list"]:
        _list(source, as_json)
    elif instead["is_check"]:
        _check(source, name, as_json)
    else:
        _restore(source, name, config_file, as_json)


def _list(source: Path, as_json: bool) -> None:
    folder = backup.BackupFolder(source)
    folder.chosen(None)  # there must be one
    manifests = {name: folder.manifest(name) for name in folder.names()}
    if as_json:
        print_json({name: asdict(manifest) for name, manifest in manifests.items()})
        return
    for name, said in manifests.items():
        note = "" if said.is_whole else f", {len(said.lacking)} objects lacking"
        click.echo(f"{name}  {said.instances} instances, {human_bytes(said.size_bytes)}{note}")


def _check(source: Path, name: str | None, as_json: bool) -> None:
    with telling("Reading", as_json) as tell:
        found = backup.check(source, name, tell.more)
    if as_json:
        print_json({"sound": found.is_whole, **asdict(found)})
    else:
        click.echo(f"{found.present} objects read, {human_bytes(found.size_bytes)}.")
        tell_lacking(found)
        click.echo("The backup is sound." if found.is_whole else "The backup is damaged.")
    if not found.is_whole:
        raise SystemExit(1)


def _restore(source: Path, name: str | None, config_file: Path | None, as_json: bool) -> None:
    config = config_of(config_file)
    with data_directory(config), telling("Restoring", as_json) as tell:
        if name is None and (name := restoring.begun(source, config.node.data_dir)):
            click.echo(f"Going on with the backup {name}, whose restoration was interrupted here.", err=True)
        store = open_target(config.storage)
        try:
            done = restoring.restore(source, store, config.index, config.node.data_dir, name=name, progress=tell.more)
        finally:
            store.close()
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(f"{done.manifest.instances} instances of the backup {done.manifest.made_at} are here again.")
        tell_lacking(done.manifest)
        tell_lacking(done.copied)
    if not (done.copied.is_whole and done.manifest.is_whole):
        raise SystemExit(1)


def open_target(settings: StorageSettings) -> ObjectStore:
    """A store to be filled: an object store itself, not the spool before it."""
    return open_store(replace(settings, spool_mb=0, spool=SpoolUse.WHEN_AWAY))


def tell_lacking(found: Copied | backup.Manifest | Exported) -> None:
    """Name what could not be copied."""
    for title, keys in (
        ("missing", found.missing),
        ("damaged: the bytes are not those that were stored", found.damaged),
        ("in slow storage, or waiting in the spool of another node", found.unread),
    ):
        print_list(title, keys)
