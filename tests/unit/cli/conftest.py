"""Commands run as an operator types them, against an archive of their own."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fixtures.engines import index_url
from relais.cli import program

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Commands configure logging; other tests must not notice."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "relais.toml"
    path.write_text(
        f'[node]\ndata_dir = "{tmp_path / "data"}"\n[dimse]\nport = 0\n[web]\nport = 0\n'
        f'[storage]\njournal_mb = 0\n[index]\nlog_mb = 0\nurl = "{index_url(tmp_path / "data")}"\n'
    )
    return path


@pytest.fixture
def relais(config_file: Path) -> Command:
    """Runs `relais ARGUMENTS` with the configuration of this test; *code* is the exit code expected, None any."""

    def run(*arguments: object, code: int | None = 0) -> Result:
        words = [str(argument) for argument in arguments]
        result = CliRunner(env={"RELAIS_CONFIG": str(config_file)}).invoke(program, words)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code in {None, result.exit_code}, result.output
        return result

    return run


@pytest.fixture
def relais_json(relais: Command) -> Callable[..., Any]:
    """The same with --json, parsed."""

    def run(*arguments: object, code: int | None = 0) -> Any:
        return json.loads(relais(*arguments, "--json", code=code).stdout)

    return run
