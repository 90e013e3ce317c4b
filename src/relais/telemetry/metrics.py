"""Counters of what the node does, for Prometheus. Knows names and labels, not who scrapes them.

Outside `relais serve` they count in this process only. Under it, PROMETHEUS_MULTIPROC_DIR names a directory in which
every process of the node keeps its own counts; `exposition` adds them up. Labels never hold what a stranger chose:
routes are templates, services and outcomes come from fixed lists.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_registry = CollectorRegistry()
_stores = Counter(
    "relais_stores", "Instances offered, by channel and outcome", ["channel", "outcome"], registry=_registry
)
_stored_bytes = Counter("relais_stored_bytes", "Bytes of instances kept", ["channel"], registry=_registry)
_store_seconds = Histogram(
    "relais_store_seconds", "From the first byte to durable", ["channel"], buckets=SECONDS, registry=_registry
)
_associations = Counter("relais_associations", "Associations, by outcome", ["outcome"], registry=_registry)
_open_associations = Gauge(
    "relais_open_associations", "Associations open now", multiprocess_mode="livesum", registry=_registry
)
_dimse = Counter("relais_dimse_requests", "DIMSE requests", ["service", "status"], registry=_registry)
_dimse_seconds = Histogram(
    "relais_dimse_request_seconds", "Time to the final response", ["service"], buckets=SECONDS, registry=_registry
)
_http = Counter("relais_http_requests", "HTTP requests", ["method", "route", "status"], registry=_registry)
_http_seconds = Histogram(
    "relais_http_request_seconds", "Time to the first byte", ["route"], buckets=SECONDS, registry=_registry
)
_spool_objects = Gauge(
    "relais_spool_objects", "Objects that wait for the object store", multiprocess_mode="livemax", registry=_registry
)
_spool_bytes = Gauge("relais_spool_bytes", "And their bytes", multiprocess_mode="livemax", registry=_registry)
_spool_moved = Counter("relais_spool_moved", "Objects moved from the spool to the object store", registry=_registry)


@lru_cache(maxsize=4096)
def _labelled(metric: Any, *labels: str) -> Any:
    """The child of *metric* with these *labels*, which finding costs more than counting."""
    return metric.labels(*labels)


def store(channel: str, outcome: str, size_bytes: int = 0, seconds: float | None = None) -> None:
    """One instance was offered through *channel* (as dicom.origin); *outcome* as index.rows, or "refused"."""
    _labelled(_stores, channel, outcome).inc()
    if size_bytes:
        _labelled(_stored_bytes, channel).inc(size_bytes)
    if seconds is not None:
        _labelled(_store_seconds, channel).observe(seconds)


def association_opened() -> None:
    """An association was accepted."""
    _labelled(_associations, "accepted").inc()
    _open_associations.inc()


def association_closed(outcome: str) -> None:
    """An accepted association ended; *outcome* is "released" or "aborted"."""
    _labelled(_associations, outcome).inc()
    _open_associations.dec()


def association_rejected() -> None:
    """An association was rejected before it was open."""
    _labelled(_associations, "rejected").inc()


def dimse_request(service: str, status: int, seconds: float) -> None:
    """One DIMSE request (*service* "C-STORE", "C-FIND", ...) got its final *status*."""
    _labelled(_dimse, service, f"{status:04X}").inc()
    _labelled(_dimse_seconds, service).observe(seconds)


def http_request(method: str, route: str, status: int, seconds: float) -> None:
    """One HTTP request was answered; *route* is the rule that matched ("/dicom-web/studies/<uid>"), never the path."""
    _labelled(_http, method, route, str(status)).inc()
    _labelled(_http_seconds, route).observe(seconds)


def spool(objects: int, size_bytes: int) -> None:
    """So much waits in the spool now."""
    _spool_objects.set(objects)
    _spool_bytes.set(size_bytes)


def moved(objects: int) -> None:
    """So many objects left the spool for the object store."""
    _spool_moved.inc(objects)


def exposition() -> tuple[bytes, str]:
    """Everything counted so far by all processes of this node, and its media type."""
    if DIRECTORY_VARIABLE not in os.environ:
        return generate_latest(_registry), CONTENT_TYPE_LATEST
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together), CONTENT_TYPE_LATEST


def prepare(directory: Path) -> dict[str, str]:
    """Empty *directory* for a new run of the node and return the environment its processes need.

    The processes must see that environment before they import this module: the way of counting is chosen then.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob("*.db"):
        leftover.unlink(missing_ok=True)
    return {DIRECTORY_VARIABLE: str(directory)}


def forget_process(directory: Path, pid: int) -> None:
    """Process *pid* is dead: its gauges no longer count; its counters still do."""
    for gauge in directory.glob(f"gauge_live*_{pid}.db"):
        gauge.unlink(missing_ok=True)
