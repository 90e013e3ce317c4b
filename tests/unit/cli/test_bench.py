"""`relais bench`: a temporary node is measured, and the archive that there is stays as it is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.builders import a_series, part10
from relais.node.measuring import Measurement, limit
from relais.node.temporary import PREFIX

Run = Callable[..., Any]
WHAT = [
    *("sync of the disk", "C-ECHO with its association"),
    *("C-STORE, CT, 1 association", "C-STORE, MR, 1 association", "C-STORE, CT, 4 associations"),
    *("C-FIND of one patient", "C-GET of 20 CT", "QIDO-RS of one patient", "WADO-RS of 20 CT"),
]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_measured_and_the_archive_is_not_touched(tmp_path: Path, relais: Run, relais_json: Run) -> None:
    for number, ds in enumerate(a_series(2)):
        (tmp_path / f"{number}.dcm").write_bytes(part10(ds))
    relais("import", *(tmp_path / f"{number}.dcm" for number in range(2)))
    before = files(tmp_path / "data")
    told = relais_json("bench", "--instances", "20")
    assert [one["what"] for one in told["measured"]] == WHAT
    assert all(0 < one["p50_ms"] <= one["p95_ms"] and one["per_s"] > 0 for one in told["measured"])
    assert [one["count"] for one in told["measured"]][2:5] == [20, 20, 80]
    assert told["limit"].startswith("One CT takes ")
    assert files(tmp_path / "data") == before
    assert not list(tmp_path.rglob(f"{PREFIX}*"))


def test_a_folder_on_another_disk_may_be_named_and_a_person_sees_a_table(tmp_path: Path, relais: Run) -> None:
    (tmp_path / "elsewhere").mkdir()
    told = relais("bench", "--instances", "20", "--folder", tmp_path / "elsewhere").stdout
    assert all(what in told for what in WHAT)
    assert f"Measured on the disk of {tmp_path / 'elsewhere'}." in told
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_by_a_signal_it_leaves_nothing(tmp_path: Path, config_file: Path, number: signal.Signals) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    command = ["env", "--default-signal=INT", sys.executable, "-m", "relais", "bench", "--folder", str(folder)]
    process = subprocess.Popen(command, env=os.environ | {"RELAIS_CONFIG": str(config_file)}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 180
    while not list(folder.glob(f"{PREFIX}*/data")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, relais: Run) -> None:
    assert "does not exist" in relais("bench", "--folder", tmp_path / "gone", code=2).stderr


def a_measurement(what: str, ms: float, cpu_ms: float | None = None) -> Measurement:
    return Measurement(what, [ms / 1000] * 10, ms / 100, None if cpu_ms is None else cpu_ms / 100)


def told_limit(sync_ms: float, store_ms: float, cpu_ms: float | None) -> str:
    return limit([a_measurement(WHAT[0], sync_ms), a_measurement(WHAT[2], store_ms, cpu_ms)])


def test_what_limits_is_named() -> None:
    assert "The disk is what limits" in told_limit(3, 10, 2)
    assert "The processor is what limits" in told_limit(1, 10, 6)
    assert "Neither limits alone" in told_limit(1, 10, 2)
    assert "the node works" not in told_limit(1, 10, None)


def test_percentiles_are_of_what_was_seen() -> None:
    seen = Measurement("", [number / 1000 for number in range(100, 0, -1)], 1.0, 0.5)
    assert (seen.percentile_ms(50), seen.percentile_ms(95), seen.per_s, seen.cpu_ms) == (51.0, 96.0, 100.0, 5.0)
    assert Measurement("", [0.001], 1.0).percentile_ms(95) == 1.0
