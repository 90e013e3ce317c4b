"""A C-STORE sender that costs next to nothing: every byte is made before the clock starts. Knows no part of Relais.

    python tests/bench/light_sender.py PORT [--count 200] [--associations 8] [--kind ct]

Each association is a process with one socket. It sends one instance, waits for the response, sends the next (PS3.7
D.3.3.3: one operation at a time), and counts what was not Success. Instances differ in their UIDs only.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

from fixtures.builders import a_ct, dataset_bytes
from fixtures.upper_layer import (
    CT,
    EXPLICIT_VR_LITTLE_ENDIAN,
    MR,
    associate,
    associate_rq,
    fragments,
    fresh_uid,
    pdv,
    read_pdu,
    release,
    status_of,
    store_rq,
)

SIDES = {"ct": 512, "mr": 256}  # rows and columns: 0.5 MB and 0.13 MB


def instances(kind: str, count: int, max_pdu: int = 131072) -> list[bytes]:
    """*count* whole C-STORE messages of one new series."""
    old = fresh_uid()
    ds = a_ct(rows=SIDES[kind], columns=SIDES[kind], SOPInstanceUID=old, StudyInstanceUID=fresh_uid())
    ds.SOPClassUID = CT if kind == "ct" else MR
    template = dataset_bytes(ds)
    made = []
    for number in range(count):
        uid = fresh_uid()
        data = template.replace(old.encode(), uid.encode())
        request = store_rq(number % 65535 + 1, ds.SOPClassUID, uid)
        made.append(pdv(3, request) + b"".join(fragments(data, max_pdu)))
    return made


@dataclass
class Result:
    """What one run of senders saw."""

    count: int = 0
    failures: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Instances a second."""
        return self.count / self.seconds


def send(port: int, messages: Sequence[bytes], sop_class_uid: str, barrier: Barrier | None = None) -> Result:
    """Send *messages* over one association, timed from the moment when it is there."""
    connection = associate(port, associate_rq(((sop_class_uid, (EXPLICIT_VR_LITTLE_ENDIAN,)),)))
    if barrier is not None:
        barrier.wait(60)
    result = Result(len(messages))
    began_at = time.perf_counter()
    for message in messages:
        sent_at = time.perf_counter()
        connection.sendall(message)
        _, response = read_pdu(connection)
        result.failures += status_of(response) != 0
        result.latencies_ms.append((time.perf_counter() - sent_at) * 1000)
    result.seconds = time.perf_counter() - began_at
    release(connection)
    return result


def _sender(port: int, kind: str, count: int, barrier: Barrier, results: Any) -> None:
    results.put(send(port, instances(kind, count), CT if kind == "ct" else MR, barrier))


def run(port: int, kind: str = "ct", count: int = 200, associations: int = 1) -> Result:
    """*count* instances in all, over as many processes as *associations*, which begin together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(associations), context.Queue()
    work = (port, kind, count // associations, barrier, results)
    senders = [context.Process(target=_sender, args=work) for _ in range(associations)]
    for sender in senders:
        sender.start()
    found: list[Result] = [results.get(timeout=300) for _ in senders]
    for sender in senders:
        sender.join()
    latencies = sorted(ms for result in found for ms in result.latencies_ms)
    failures = sum(result.failures for result in found)
    return Result(sum(r.count for r in found), failures, max(r.seconds for r in found), latencies)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("port", type=int)
    options.add_argument("--kind", choices=SIDES, default="ct")
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--associations", type=int, default=1)
    chosen = options.parse_args()
    result = run(chosen.port, chosen.kind, chosen.count, chosen.associations)
    latencies = result.latencies_ms
    told = {
        "instances": result.count,
        "failures": result.failures,
        "instances_per_s": round(result.rate, 1),
        "p50_ms": round(latencies[len(latencies) // 2], 2),
        "p95_ms": round(latencies[int(len(latencies) * 0.95)], 2),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
