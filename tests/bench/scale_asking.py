"""Searches through either door, one at a time, and what each costs. Knows doors and clocks, not what is searched.

CPU is what all processes of who answers used for a search: what its time would be with nothing else to do. A time ends
with the last byte of the answer: who asks reads it after the clock has stopped, and collects no garbage meanwhile.
"""

import gc
import http.client
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlencode, urlsplit

from pydicom import Dataset
from pynetdicom.dsutils import encode

from bench import light_scu
from bench.scale_queries import Archive, Kind

MOST = 100  # rows of an answer
Rows = Callable[[], int]  # how many rows an answer has that came
Search = Callable[[Kind, dict[str, str]], Rows]


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def summary(times: list[float]) -> dict[str, float]:
    """p50, p95 and worst of some seconds, in milliseconds."""
    found = {"p50": statistics.median(times), "p95": percentile(times, 0.95), "max": max(times)}
    return {name: round(value * 1000, 2) for name, value in found.items()}


class Web:
    """One connection to the web door."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def search(self, kind: Kind, params: dict[str, str]) -> Rows:
        """Every byte of the answer."""
        query = urlencode(params, safe="*^,")  # Orthanc takes these as they stand only
        self._connection.request("GET", f"/dicom-web{kind.path}?{query}", headers={"Accept": "application/dicom+json"})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 204):
            raise SystemExit(f"{kind.name} {params}: {answer.status} {body[:300]!r}")
        return lambda: len(json.loads(body)) if body else 0

    def close(self) -> None:
        self._connection.close()


class Dimse:
    """One association to the DIMSE door. Not pynetdicom's, which now and then loses an answer to its other thread."""

    def __init__(self, port: int) -> None:
        self._assoc = light_scu.finding(port, "RELAIS")

    def search(self, _: Kind, params: dict[str, str]) -> Rows:
        """Every response."""
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
            setattr(asked, keyword, "")
        for keyword, value in params.items():
            if keyword != "limit":
                setattr(asked, keyword, value)
        encoded = encode(asked, is_implicit_vr=False, is_little_endian=True)
        assert encoded is not None
        matches = light_scu.found(self._assoc, encoded)
        return lambda: matches

    def close(self) -> None:
        self._assoc.release()


def cpu_s(pids: list[int]) -> float:
    """The processor time that some processes have used, in steps of a hundredth of a second."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


@contextmanager
def uncollected() -> Iterator[None]:
    """Without our own garbage collector: it would stop us for 40 ms in the midst of one search in fifty."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def measure(
    search: Search, kind: Kind, archive: Archive, pids: list[int], rounds: int, most: int = MOST
) -> dict[str, float]:
    """The times of *rounds* searches of one kind, each for another study, after one to warm up.

    Each asks for *most* rows, or somewhat less where these are many: Orthanc might remember an answer.
    """
    rnd, times, rows, used = Random(kind.name), [], 0, 0.0
    with uncollected():
        for number in range(rounds + 1):
            params = kind.params(archive.study(rnd), rnd)
            used = cpu_s(pids) if number == 1 else used
            started = time.perf_counter()
            limit = most - number % (MOST // 2) if most == MOST else most
            answer = search(kind, {"limit": str(limit), **params})
            if number:
                times.append(time.perf_counter() - started)
            rows += answer()
    cpu_ms = (cpu_s(pids) - used) * 1000 / rounds
    return {**summary(times), "cpu_ms": round(cpu_ms, 2), "rows": round(rows / (rounds + 1), 1)}
