"""`relais check`, `reindex` and `check-config`, and what all commands have in common."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures import certificates
from fixtures.builders import a_ct, part10
from fixtures.engines import POSTGRESQL, index_settings, index_url, only_sqlite
from fixtures.forbidden import forbid
from fixtures.indexed import a_dataset, an_index, facts
from relais.archive import maintenance
from relais.cli import COMMANDS
from relais.config import load
from relais.db import migrate
from relais.db.database import Database
from relais.index import composite, statistics
from relais.node import compose
from relais.node.serve import data_directory

Run = Callable[..., Any]


@pytest.fixture
def stored(tmp_path: Path, relais: Run) -> Path:
    """The one stored file of the archive."""
    (tmp_path / "1.dcm").write_bytes(part10(a_ct()))
    relais("import", tmp_path / "1.dcm")
    (path,) = (tmp_path / "data" / "objects").rglob("*.dcm")
    return path


def renamed(path: Path) -> Path:
    """Another name that the store could have given."""
    return path.with_name(path.name[: -len("01234567.dcm")] + "01234567.dcm")


def test_check_finds_nothing_where_all_is_well(relais: Run, stored: Path) -> None:
    assert relais("check").stdout == "1 objects checked.\nEverything is sound.\n"


@only_sqlite("see tests/unit/db/postgres/test_migrate.py")
def test_a_command_tells_that_it_migrates_the_index(
    tmp_path: Path, relais: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of the version before may be running on it."""
    (tmp_path / "data").mkdir()
    with monkeypatch.context() as older:
        *_, last = texts = migrate.scripts()
        older.setattr(migrate, "scripts", lambda: {name: texts[name] for name in texts if name != last})
        Database(index_settings(tmp_path / "data")).close()
    assert f'event="migrating the index" before={int(last[:4]) - 1:04} after={last[:4]}' in relais("check").stderr
    assert relais("check").stderr == ""


@only_sqlite("it is a file")
@pytest.mark.parametrize("command", [["check"], ["find"], ["export", "out", "--all"], ["backup", "out"]])
def test_an_archive_that_does_not_exist_is_neither_sound_nor_made(
    tmp_path: Path, relais: Run, command: list[str]
) -> None:
    words = [str(tmp_path / "out") if word == "out" else word for word in command]
    assert f"There is no archive here: the index {tmp_path}/data/index.sqlite" in relais(*words, code=1).stderr
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "out").exists()


@only_sqlite("it is a file")
def test_an_archive_that_may_not_be_looked_at_is_told(
    tmp_path: Path, relais: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "stat", tmp_path / "data" / "index.sqlite")
    told = relais("check", code=1).stderr
    assert told == f"Error: The index {tmp_path}/data/index.sqlite cannot be read: Permission denied.\n"


def test_nothing_is_taken_in_nor_an_index_emptied_where_the_storage_is_not_mounted(relais: Run, stored: Path) -> None:
    objects = stored.parents[3]
    objects.rename(objects.with_name("away"))
    objects.mkdir()
    assert "it names 1 instances, and the storage holds none" in relais("reindex", code=1).stderr
    assert "MOREL" in relais("find").stdout
    for command in (["import", objects.with_name("away")], ["pull", "OLD@127.0.0.1:1"]):
        assert (
            "names 1 instances, and the folder of the objects holds none: is it mounted"
            in relais(*command, code=1).stderr
        )
    assert not any(path.is_file() for path in objects.rglob("*"))
    objects.rename(objects.with_name("empty"))
    objects.with_name("away").rename(objects)
    assert "1 instances indexed" in relais("reindex").stdout


@pytest.mark.parametrize(("call", "parent"), [("listdir", 1), ("open", None)])
def test_an_index_is_not_emptied_where_the_storage_cannot_be_read(
    relais: Run, stored: Path, call: str, parent: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a study, or a file, of another owner."""
    with monkeypatch.context() as theirs:
        forbid(theirs, call, stored if parent is None else stored.parents[parent])
        told = relais("reindex", code=1).stderr
    assert "The index is left as it is" in told
    assert (stored.name if parent is None else str(stored.parents[parent])) in told
    assert "MOREL" in relais("find").stdout


@only_sqlite("it is a file")
def test_what_cannot_be_read_keeps_nothing_else_out_of_a_new_index(
    tmp_path: Path, relais: Run, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "2.dcm").write_bytes(part10(a_ct()))
    relais("import", tmp_path / "2.dcm")
    for path in stored.parents[4].glob("index.sqlite*"):
        path.unlink()
    with monkeypatch.context() as theirs:
        forbid(theirs, "open", stored)
        told = relais("reindex", code=1).stdout
    assert "1 instances indexed" in told
    assert stored.name in told


def test_check_finds_a_flipped_byte(relais: Run, relais_json: Run, stored: Path) -> None:
    content = bytearray(stored.read_bytes())
    content[-7] ^= 1
    stored.write_bytes(content)
    assert "Not everything is as it should be." in relais("check", code=1).stdout
    told = relais_json("check", code=1)
    assert (told["sound"], len(told["damaged"])) == (False, 1)
    assert stored.as_posix().endswith(told["damaged"][0])


def test_check_finds_a_file_that_is_gone_and_one_too_many(relais_json: Run, stored: Path) -> None:
    stored.rename(renamed(stored))
    told = relais_json("check", code=1)
    assert (len(told["missing"]), len(told["orphans"])) == (1, 1)


@only_sqlite("it is a file")
def test_what_has_no_row_is_told_and_taken_in(tmp_path: Path, relais: Run, stored: Path, config_file: Path) -> None:
    """As if the node had been killed between the bytes and the row of its first instance."""
    for path in (tmp_path / "data").glob("index.sqlite*"):
        path.unlink()
    compose.close(compose.open_archive(load(config_file, {}).config))
    said = relais("check", code=1).stdout
    assert (
        "1 unknown to the index, as a node leaves them that is killed before it answers (a node takes them in" in said
    )
    with compose.archive_of(load(config_file, {}).config) as archive:
        assert maintenance.sweep(archive).indexed == 1
    assert "Everything is sound." in relais("check").stdout


@pytest.mark.parametrize("name", ["foreign.dcm", "aa/1.2/foreign.dcm", "notes/read me.txt"])
def test_check_finds_files_that_are_no_objects(
    tmp_path: Path, relais: Run, relais_json: Run, stored: Path, name: str
) -> None:
    path = tmp_path / "data" / "objects" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored.read_bytes())
    told = relais_json("check", code=1)
    assert (told["sound"], told["foreign"], told["orphans"]) == (False, [name], [])
    assert "1 foreign: " in relais("check", code=1).stdout
    path.unlink()
    relais("check")


def test_reindex_refuses_while_a_node_elsewhere_has_the_index_open(
    tmp_path: Path, relais: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAIS_INDEX__URL", index_url(tmp_path, POSTGRESQL))
    with an_index(tmp_path, POSTGRESQL) as node:
        node.write(lambda tx: composite.register(tx, facts(a_dataset())))
        assert "open elsewhere" in relais("reindex", code=1).output
        assert statistics.statistics(node).instances == 1
    assert "the storage holds none" in relais("reindex", code=1).output  # it is alone now: its turn to look


@only_sqlite("it is a file")
def test_reindex_after_deleting_the_index_gives_the_same_answers(
    tmp_path: Path, relais: Run, relais_json: Run, stored: Path
) -> None:
    before = relais_json("find", "--level", "instance")
    for path in (tmp_path / "data").glob("index.sqlite*"):
        path.unlink()
    assert "`relais reindex`" in relais("find", code=1).stderr
    assert relais_json("reindex")["indexed"] == 1
    assert relais_json("find", "--level", "instance") == before
    assert "Everything is sound." in relais("check").stdout


def test_reindex_tells_what_it_could_not_read(relais: Run, stored: Path) -> None:
    renamed(stored).write_bytes(b"no DICOM at all")
    told = relais("reindex", code=1).stdout
    assert "1 instances indexed" in told
    assert renamed(stored).name in told


@only_sqlite("it is a file")
def test_an_index_that_cannot_be_opened_has_to_be_moved_away_first(tmp_path: Path, relais: Run, stored: Path) -> None:
    index = tmp_path / "data" / "index.sqlite"
    for path in (tmp_path / "data").glob("index.sqlite*"):
        path.unlink()
    index.write_bytes(b"this is no database" * 1000)
    assert "move it away" in relais("reindex", code=1).stderr
    index.rename(tmp_path / "damaged")
    assert "1 instances indexed" in relais("reindex").stdout
    assert "1 found." in relais("find").stderr


def test_reindex_refuses_while_the_node_runs(relais: Run, config_file: Path) -> None:
    with data_directory(load(config_file).config):
        assert "Another node is serving" in relais("reindex", code=1).stderr


def test_check_config_shows_every_setting_and_where_it_was_written(
    relais: Run, relais_json: Run, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAIS_DIMSE__MAX_PDU", "65536")
    settings = {(one["section"], one["key"]): one for one in relais_json("check-config")}
    assert settings["dimse", "max_pdu"]["value"] == 65536
    assert settings["dimse", "max_pdu"]["source"] == "RELAIS_DIMSE__MAX_PDU"
    assert settings["dimse", "port"]["source"] == f"{config_file}, line 4"
    assert settings["access", "mode"]["value"] == "open-loopback"
    assert "The configuration is good." in relais("check-config").stdout


@pytest.mark.parametrize(("days", "told"), [(-1, "expired on"), (20, "expires on"), (400, ""), (12000, "")])
def test_check_config_tells_of_certificates_that_expire(
    relais: Run, config_file: Path, tmp_path: Path, days: int, told: str
) -> None:
    authority = certificates.authority(tmp_path)
    node = certificates.identity(tmp_path, "node", authority, days)
    tls = f'tls_certificate = "{node.certificate}"\ntls_key = "{node.key}"\n'
    config_file.write_text(config_file.read_text().replace("[web]\n", f"[web]\n{tls}"))
    result = relais("check-config")
    assert "The configuration is good." in result.stdout
    assert result.stderr.startswith(f"Warning: [web] tls_certificate {node.certificate} {told} 20") == bool(told)
    assert bool(result.stderr) == bool(told)


def test_check_config_tells_of_a_variable_that_is_no_setting(relais: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAIS_DIMSE_PORT", "1")
    told = relais("check-config")
    assert "did you mean RELAIS_DIMSE__PORT?" in told.stderr
    assert "The configuration is good." in told.stdout


def test_check_config_tells_every_problem(relais: Run, config_file: Path) -> None:
    config_file.write_text('[dimse]\nport = "x"\n[nod]\n')
    told = relais("check-config", code=1).stderr
    assert "line 2: [dimse] port: expected a whole number, not 'x'" in told
    assert "there is no section [nod]; did you mean node?" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_in_sentences(relais: Run, command: str) -> None:
    told = relais(command, "--help").stdout
    assert told.startswith(f"Usage: program {command} ")
    assert ("--config" in told) == (command != "tokens")  # which reads and changes nothing
    assert "." in told


def test_help_lists_every_command(relais: Run) -> None:
    told = relais("--help").stdout
    assert all(f"\n  {command} " in told for command in COMMANDS)
    assert "relais 0." in json.dumps(relais("--version").stdout).replace("program", "relais")


def test_a_command_that_does_not_exist_is_refused(relais: Run) -> None:
    assert "No such command" in relais("fly", code=2).stderr
