"""Keys that the site declared, and packed series, in a node as it runs (PS3.18 10.6, PS3.4 C.4.1)."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fixtures.engines import index_settings
from fixtures.served import Served, put_away
from fixtures.waiting import eventually
from relais.db.database import Database

SAMPLES = Path(__file__).parents[2] / "sample_dicom"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = '["ProtocolName", "PatientAge"]'
    node = Served(tmp_path_factory.mktemp("node"), RELAIS_INDEX__SEARCH_KEYS=keys, RELAIS_INDEX__QUIET_S="0.1")
    try:
        node.wait_until_ready()
        done = _relais(node, "import", str(SAMPLES))
        assert done.returncode in (0, 1), done.stderr  # not everything there is DICOM
        yield node
    finally:
        put_away(node)


def _relais(node: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relais", *arguments]
    return subprocess.run(command, env=node.environ, cwd=node.folder, capture_output=True, text=True, check=False)


def _asked(node: Served, path: str) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of an answer, and its Warning."""
    request = urllib.request.Request(f"{node.url}/dicom-web{path}", headers={"Accept": "application/dicom+json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.loads(response.read() or b"[]"), response.headers["Warning"]


def _said(row: dict[str, Any], tag: str) -> object:
    return row.get(tag, {}).get("Value", [None])[0]


def _is_packed(node: Served) -> bool:
    """Whether no instance has a row of its own any more."""
    with closing(Database(index_settings(node.folder / "data"))) as db, db.read() as connection:
        return bool(connection.execute("SELECT count(*) FROM instance").fetchone()[0] == 0)


def test_a_declared_key_narrows_and_an_undeclared_one_is_told_not_to(node: Served) -> None:
    everything, _ = _asked(node, "/series?includefield=ProtocolName")
    names = [_said(row, "00181030") for row in everything]
    wanted = next(name for name in names if name)
    assert eventually(lambda: _asked(node, "/series?ProtocolName=nobody")[0] == [], 120)
    found, warning = _asked(node, f"/series?ProtocolName={quote(str(wanted))}")
    assert len(found) == names.count(wanted) < len(everything)
    assert warning is None
    found, warning = _asked(node, "/series?PatientPosition=nobody")
    assert len(found) == len(everything)
    assert "PatientPosition" in (warning or "")


def test_answers_stay_the_same_when_all_is_packed_and_all_is_sound(node: Served) -> None:
    before, _ = _asked(node, "/instances")
    assert eventually(lambda: _is_packed(node), 120)
    assert _asked(node, "/instances")[0] == before
    checked = _relais(node, "check", "--json")
    assert json.loads(checked.stdout)["sound"], checked.stdout
