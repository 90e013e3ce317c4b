"""What `relais serve` takes before it starts anything."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relais.config import Config, load
from relais.db.settings import IndexSettings
from relais.errors import Unavailable
from relais.node import serve
from relais.node.serve import counters_directory, data_directory
from relais.storage.settings import StorageSettings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(serve, "SHARED_MEMORY", str(tmp_path))
    (tmp_path / "empty.toml").touch()
    return load(tmp_path / "empty.toml", {"RELAIS_NODE__DATA_DIR": str(tmp_path / "data")}).config


def test_one_data_directory_is_served_once(config: Config) -> None:
    with data_directory(config), pytest.raises(Unavailable, match="Another node is serving"), data_directory(config):
        pass
    with data_directory(config):
        pass


def test_counters_lie_in_a_folder_of_ours_that_nobody_else_can_read(config: Config, tmp_path: Path) -> None:
    with counters_directory(config) as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "counter_1.db").touch()
    assert not folder.exists()


def test_a_folder_that_a_killed_node_left_is_used_again(config: Config) -> None:
    with counters_directory(config) as folder:
        pass
    folder.mkdir()
    with counters_directory(config) as again:
        assert again == folder


def test_counters_are_not_written_where_somebody_else_leads_us(config: Config, tmp_path: Path) -> None:
    with counters_directory(config) as folder:
        pass
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="belongs to somebody else"), counters_directory(config):
        pass


def test_without_shared_memory_the_folder_for_temporary_files_is_used(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "SHARED_MEMORY", "/nonexistent")
    with counters_directory(config) as folder:
        assert os.access(folder, os.W_OK)


@pytest.mark.parametrize(
    ("package", "extra", "sections"),
    [
        ("psycopg", "postgres", {"index": IndexSettings(url="postgresql://relais@db/relais")}),
        ("botocore", "s3", {"storage": StorageSettings(url="s3://images/archive")}),
    ],
)
def test_a_package_that_is_missing_is_told_before_anything_is_started(
    config: Config, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, sections: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unavailable, match=rf"pip install 'relais\[{extra}\]'"):
        serve.serve(replace(config, **sections), lambda config, about_samples: None)
    assert not config.node.data_dir.exists()
