"""Counters, alone and added up over processes."""

import os
import subprocess
import sys
from pathlib import Path

from relais.telemetry import metrics

COUNT = """
import sys
from relais.telemetry import metrics
metrics.store("dimse", "stored", 100, 0.01)
metrics.association_opened()
metrics.dimse_request("C-ECHO", 0, 0.001)
metrics.http_request("GET", "/", 200, 0.001)
if len(sys.argv) > 1:
    sys.stdout.write(metrics.exposition()[0].decode())
"""


def counted_in_new_process(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, metrics.DIRECTORY_VARIABLE: str(directory)}
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_counts_of_this_process_are_exposed_without_a_directory() -> None:
    metrics.store("web", "refused")
    metrics.association_rejected()
    text, media_type = metrics.exposition()
    assert b'relais_stores_total{channel="web",outcome="refused"}' in text
    assert media_type.startswith("text/plain")


def test_counts_of_several_processes_are_added_up(tmp_path: Path) -> None:
    with counted_in_new_process(tmp_path) as first:
        first.wait(120)
    with counted_in_new_process(tmp_path, "print") as second:
        text = second.communicate(timeout=120)[0]
    assert 'relais_stores_total{channel="dimse",outcome="stored"} 2.0' in text
    assert "relais_open_associations 2.0" in text
    metrics.forget_process(tmp_path, first.pid)
    with counted_in_new_process(tmp_path, "print") as third:
        text = third.communicate(timeout=120)[0]
    assert 'relais_stores_total{channel="dimse",outcome="stored"} 3.0' in text
    assert "relais_open_associations 2.0" in text


def test_a_new_run_starts_from_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(b"old")
    environment = metrics.prepare(tmp_path)
    assert environment == {metrics.DIRECTORY_VARIABLE: str(tmp_path)}
    assert list(tmp_path.iterdir()) == []


def test_closing_an_association_lowers_the_gauge() -> None:
    before = _open_associations()
    metrics.association_opened()
    assert _open_associations() == before + 1
    metrics.association_closed("released")
    assert _open_associations() == before


def _open_associations() -> float:
    (line,) = [line for line in metrics.exposition()[0].splitlines() if line.startswith(b"relais_open_associations ")]
    return float(line.split()[1])
