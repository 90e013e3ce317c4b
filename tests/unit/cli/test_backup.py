"""`relais backup`, `relais restore` and `relais migrate`, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fixtures.builders import a_series, part10
from fixtures.forbidden import forbid
from relais.cli import program

FILES = 3


class Here:
    """A folder with files to import, and places for archives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "files").mkdir()
        for number, ds in enumerate(a_series(FILES)):
            (folder / "files" / f"{number}.dcm").write_bytes(part10(ds))
        self.relais("north", "import", str(folder / "files"))

    def config(self, name: str) -> Path:
        path = self.folder / f"{name}.toml"
        path.write_text(f'[node]\ndata_dir = "{self.folder / name}"\n')
        return path

    def relais(self, name: str, *words: str) -> Result:
        """Run a command with the configuration of the archive *name*."""
        return CliRunner().invoke(program, [*words, "--config", str(self.config(name))])

    def told(self, name: str, *words: str) -> Any:
        """What a command says in JSON, if it succeeds."""
        found = self.relais(name, *words, "--json")
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


def test_an_archive_is_backed_up_proven_and_restored(here: Here) -> None:
    disk = str(here.folder / "disk")
    assert f"{FILES} objects copied" in here.relais("north", "backup", disk).output
    assert here.told("north", "backup", disk, "--keep", "1")["copied"] == 0
    assert len(here.told("south", "restore", disk, "--list")) == 1
    assert "The backup is sound." in here.relais("south", "restore", disk, "--check").output
    assert f"{FILES} instances" in here.relais("south", "restore", disk).output
    assert here.told("south", "check") == {**here.told("north", "check"), "checked": FILES}
    again = here.relais("south", "restore", disk)
    assert again.exit_code == 1
    assert "empty place" in again.output


def test_after_a_restoration_the_next_backup_says_what_to_do(here: Here) -> None:
    disk = str(here.folder / "disk")
    here.told("north", "backup", disk)
    here.relais("south", "restore", disk)
    refused = here.relais("south", "backup", disk, "--keep", "1")
    assert refused.exit_code == 1
    assert "say so once with --take-over" in refused.output
    assert here.told("south", "backup", disk, "--keep", "1", "--take-over")["copied"] == 0
    assert here.told("south", "backup", disk, "--keep", "1")["copied"] == 0
    assert "The backup is sound." in here.relais("south", "restore", disk, "--check").output


def test_a_backup_is_not_put_into_the_archive_itself(here: Here) -> None:
    told = here.relais("north", "backup", str(here.folder / "north" / "disk"))
    assert told.exit_code == 1
    assert "is inside [node] data_dir" in told.output


@pytest.mark.parametrize("command", [("import", "files"), ("check",), ("find",), ("reindex",), ("serve",)])
def test_what_is_half_restored_is_taken_for_no_archive(here: Here, command: tuple[str, ...]) -> None:
    disk = str(here.folder / "disk")
    here.relais("north", "backup", disk)
    (here.folder / "south").mkdir()
    (name,) = here.told("north", "restore", disk, "--list")
    (here.folder / "south" / "restoring").write_text(f"{name} 0123456789abcdef")
    words = [str(here.folder / word) if word == "files" else word for word in command]
    told = here.relais("south", *words)
    assert told.exit_code == 1
    assert "the same `relais restore` goes on" in told.output
    assert not (here.folder / "south" / "index.sqlite").exists()
    here.relais("north", "backup", disk)
    gone_on = here.relais("south", "restore", disk)
    assert f"Going on with the backup {name}" in gone_on.output
    assert f"{FILES} instances of the backup {name}" in gone_on.output
    assert here.told("south", "check")["checked"] == FILES


def test_a_folder_without_backups_is_told(here: Here) -> None:
    told = here.relais("north", "restore", str(here.folder), "--list")
    assert told.exit_code == 1
    assert "There is no backup in" in told.output


@pytest.mark.parametrize(("call", "at"), [("listdir", ""), ("stat", "manifest.json")])
def test_backups_that_may_not_be_looked_at_are_told(
    here: Here, monkeypatch: pytest.MonkeyPatch, call: str, at: str
) -> None:
    """It was said that there are none."""
    disk = here.folder / "disk"
    here.relais("north", "backup", str(disk))
    [snapshot] = (disk / "snapshots").iterdir()
    place = snapshot / at if call == "stat" else disk / "snapshots"
    forbid(monkeypatch, call, place)
    for what in ("--list", "--check"):
        told = here.relais("south", "restore", str(disk), what)
        assert told.exit_code == 1
        assert f"Error: {place} cannot be read: Permission denied." in told.output


def test_a_new_place_that_may_not_be_looked_at_is_told(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    place = here.folder / "south" / "index.sqlite"
    forbid(monkeypatch, "stat", place)
    here.relais("north", "backup", str(here.folder / "disk"))
    for name, words in (
        ("north", ("migrate", "--to", str(here.config("south")))),
        ("south", ("restore", str(here.folder / "disk"))),
    ):
        told = here.relais(name, *words)
        assert told.exit_code == 1
        assert f"Error: {place} cannot be read: Permission denied." in told.output


def test_where_only_the_index_moves_there_is_nothing_to_copy_before(here: Here) -> None:
    south = here.config("south")
    south.write_text(f'{south.read_text()}[storage]\nurl = "file://{here.folder}/north/objects"\n')
    north = here.config("north")
    north.write_text(f'{north.read_text()}[storage]\nurl = "file://{here.folder}/north/objects"\n')
    move = ["migrate", "--to", str(south), "--config", str(north)]
    assert "nothing is to be copied" in CliRunner().invoke(program, move).output
    finished = CliRunner().invoke(program, [*move, "--finish"]).output
    assert "objects copied" not in finished
    assert "The index: 1 studies" in finished


def test_a_damaged_backup_ends_with_one(here: Here) -> None:
    disk = here.folder / "disk"
    here.relais("north", "backup", str(disk))
    path = next((disk / "objects").rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:-1])
    found = here.relais("south", "restore", str(disk), "--check")
    assert found.exit_code == 1
    assert path.name in found.output
    path.unlink()
    found = here.relais("south", "restore", str(disk))
    assert found.exit_code == 1
    assert "1 missing" in found.output


def test_damage_in_the_archive_is_told_by_its_backup(here: Here) -> None:
    next((here.folder / "north" / "objects").rglob("*.dcm")).unlink()
    found = here.relais("north", "backup", str(here.folder / "disk"))
    assert found.exit_code == 1
    assert "1 missing" in found.output
    assert f"{FILES - 1} objects copied" in found.output
    listed = here.relais("north", "restore", str(here.folder / "disk"), "--list")
    assert "1 objects lacking" in listed.output


def test_an_archive_moves_in_two_steps(here: Here) -> None:
    south = str(here.config("south"))
    first = here.relais("north", "migrate", "--to", south)
    assert f"{FILES} objects copied" in first.output
    assert "--finish" in first.output
    last = here.told("north", "migrate", "--to", south, "--finish")
    assert (last["copied"], last["present"], last["rows"]["change"]) == (0, FILES, FILES)
    assert here.told("south", "check")["checked"] == FILES
    taken = here.relais("north", "migrate", "--to", south)
    assert taken.exit_code == 1
    assert "already" in taken.output


def test_an_archive_that_lacks_an_object_moves_only_if_told_so(here: Here) -> None:
    next((here.folder / "north" / "objects").rglob("*.dcm")).unlink()
    move = ("migrate", "--to", str(here.config("south")), "--finish")
    refused = here.relais("north", *move)
    assert refused.exit_code == 1
    assert "--despite-damage" in refused.output
    assert not (here.folder / "south" / "index.sqlite").exists()
    assert "Start the node" in here.relais("north", *move, "--despite-damage").output
    assert here.relais("south", "check").exit_code == 1


def test_nothing_moves_to_where_it_is(here: Here) -> None:
    found = here.relais("north", "migrate", "--to", str(here.config("north")))
    assert found.exit_code == 1
    assert "nothing to move" in found.output
