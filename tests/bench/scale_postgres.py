"""The index of 980,000 studies on PostgreSQL beside SQLite: `make bench-scale-postgres`. Knows both engines.

The rows are those of `make bench-scale`, copied. PostgreSQL runs on the same machine, with a quarter of its memory as
shared buffers, 8 GB of log and everything else at its defaults: it syncs what it commits. Besides what that measures,
64 clients search at once.

Node, server and clients share the cores. So many users are served the faster the less processor time a search takes, in
the node and in PostgreSQL's own processes together: both are told. SQLite's searches are done in the node. Once more
the node and who asks have one core to themselves, and the server the rest: as where it has a machine of its own.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import psycopg

from bench import light_http, scale
from bench.light_http import get
from bench.scale_asking import MOST, cpu_s
from bench.scale_queries import OTHER, Archive, kinds
from fixtures.postgres import Databases, PostgresServer
from fixtures.served import Served
from relais.db.database import Database
from relais.db.settings import IndexSettings
from relais.index import portable

Report = scale.Report
USERS, REQUESTS = 64, 200
KEEPER = "RELAIS_BENCH_POSTGRES"  # the folder where a server of yours listens, which keeps the rows between runs
LEAST_BYTES = 2  # of an answer: []
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
SIZES = """
SELECT relname, pg_total_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


@contextmanager
def server() -> Iterator[Databases]:
    """A server that holds its promises: one of our own, or the one that listens in the folder that we were told of."""
    if KEEPER in os.environ:
        yield Databases(Path(os.environ[KEEPER]))
        return
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    found = PostgresServer("-c", f"shared_buffers={memory_mb // 4}MB", "-c", "max_wal_size=8GB", durable=True)
    try:
        yield found
    finally:
        found.remove()


def filled(server: Databases, count: int) -> str:
    """The URL of a new index with the rows of the one of *count* studies, which the server keeps."""
    kept = f"studies_{count}"
    if not _is_there(server, kept):
        _fill(server, kept, count)
    server.drop("run")
    return scale.migrated(server.create("run", template=kept))


def _is_there(server: Databases, name: str) -> bool:
    with psycopg.connect(server.url("postgres", "postgres")) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _fill(server: Databases, name: str, count: int) -> None:
    started = time.perf_counter()
    server.drop("filling")
    with (
        scale.copied(count) as folder,
        _opened(scale.url_of(folder)) as source,
        _opened(server.create("filling", template="template0")) as target,
        target.alone(),  # who has it alone may take longer than a search
    ):
        portable.copy_rows(source, target)
    server.tell("VACUUM ANALYZE", "filling")
    server.tell(f"ALTER DATABASE filling RENAME TO {name}")
    sys.stderr.write(f"copied {count:,} studies to PostgreSQL in {time.perf_counter() - started:.0f} s\n")


def _opened(url: str) -> "closing[Database]":
    return closing(Database(IndexSettings(url=url)))


def sizes(url: str, count: int) -> Report:
    """Bytes a study by table, with its indexes; instances and what belongs to them apart."""
    with psycopg.connect(url) as connection:
        found = dict(connection.execute(SIZES).fetchall())
    of_instances = found["instance"] + found["change"]
    return {
        "bytes_a_study": round((sum(found.values()) - of_instances) / count),
        "bytes_an_instance": round(of_instances / _rows(url, "instance")),
        "by_table": {name: round(used / count, 1) for name, used in sorted(found.items(), key=lambda one: -one[1])},
    }


@contextmanager
def apart(node: Served, url: str) -> Iterator[None]:
    """The node and we on one core, PostgreSQL's processes on all others."""
    cores = os.sched_getaffinity(0)
    _pin([os.getpid(), *node.pids()], {min(cores)})
    _pin(_family(url), cores - {min(cores)} or cores)
    try:
        yield
    finally:
        _pin([os.getpid(), *node.pids(), *_family(url)], cores)


def _pin(pids: list[int], cores: set[int]) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("[0-9]*"):
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def _family(url: str) -> list[int]:
    """PostgreSQL's processes, if the index at *url* is there: the first, and those that it has started."""
    found = _backends(url)
    if not found:
        return []
    first = _parent(found[0])
    return [first, *(int(one.name) for one in Path("/proc").glob("[0-9]*") if _parent(int(one.name)) == first)]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _backends(url: str) -> list[int]:
    """PostgreSQL's processes that serve the index at *url*; none for SQLite."""
    if not IndexSettings(url=url).is_postgresql:
        return []
    with psycopg.connect(url) as connection:
        return [pid for (pid,) in connection.execute(BACKENDS).fetchall()]


def users(node: Served, url: str, count: int, seconds: float) -> Report:
    """Searches a second of USERS clients, keyed and by wild cards, each for other studies."""
    asked = [kind for kind in kinds() if kind.limit_ms < OTHER and kind.path == "/studies"]
    archive, shares = Archive(count), []
    for user in range(USERS):
        rnd, share = Random(user), []
        for _ in range(REQUESTS):
            kind = rnd.choice(asked)
            query = urlencode({"limit": str(rnd.randint(50, MOST)), **kind.params(archive.study(rnd), rnd)})
            share.append(get(f"{node.url}/dicom-web{kind.path}?{query}", "application/dicom+json"))
        shares.append(share)
    node_s, server_s = cpu_s(node.pids()), cpu_s(_backends(url))
    found = light_http.ask(node.url, shares, LEAST_BYTES, seconds)
    node_ms = (cpu_s(node.pids()) - node_s) * 1000 / found.count
    server_ms = (cpu_s(_backends(url)) - server_s) * 1000 / found.count
    cpu_ms = {"node_cpu_ms": round(node_ms, 2), "server_cpu_ms": round(server_ms, 2)}
    return {"users": USERS, "per_s": round(found.rate, 1), **cpu_ms}


def measured(folder: Path, url: str, count: int, options: argparse.Namespace) -> Report:
    """What bench.scale measures, and many users."""
    with scale.served(folder, url) as node:
        many = users(node, url, count, options.seconds)
        with apart(node, url):
            alone = users(node, url, count, options.seconds)
    return {**scale.measured(folder, url, count, options), "many": many, "apart": alone}


def _rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert found
    return int(found[0])


def table(sqlite: Report, postgres: Report) -> Iterator[str]:
    """Both engines as Markdown."""
    yield f"# The index at {sqlite['studies']:,} studies on PostgreSQL, beside SQLite"
    yield ""
    yield from (__doc__ or "").splitlines()[2:]
    yield "One user may wait three times as long as with SQLite, and 64 should be served faster."
    yield ""
    yield "| search | SQLite: p50 / p95 (ms) | PostgreSQL: p50 / p95 (ms) | p50, times SQLite's |"
    yield "|---|---|---|---|"
    for kind in kinds():
        a, b = sqlite["http"][kind.name], postgres["http"][kind.name]
        times = b["p50"] / a["p50"]
        mark = "" if times <= 3 else " **missed**"
        yield f"| {kind.name} | {a['p50']:.1f} / {a['p95']:.1f} | {b['p50']:.1f} / {b['p95']:.1f} | {times:.1f}{mark} |"
    yield ""
    yield "| | SQLite | PostgreSQL |"
    yield "|---|---|---|"
    for what, found in _rest(sqlite, postgres):
        yield f"| {what} | {' | '.join(found)} |"
    yield ""
    yield from _verdict(sqlite, postgres)


def _verdict(sqlite: Report, postgres: Report) -> Iterator[str]:
    """What of the many users is for want of cores, and what is not."""
    a, b = sqlite["many"], postgres["many"]
    times = postgres["apart"]["per_s"] / sqlite["apart"]["per_s"]
    yield f"A search of the {USERS} takes {a['node_cpu_ms']} ms of a processor with SQLite, and with PostgreSQL"
    yield f"{b['node_cpu_ms']} ms in the node and {b['server_cpu_ms']} ms in the server: on the same cores, what takes"
    yield "less in all serves more. With one core for node and clients and the rest for the server, PostgreSQL serves"
    yield f"{times:.2f} times as many as SQLite."


def _rest(*both: Report) -> Iterator[tuple[str, list[str]]]:
    yield f"searches a second of {USERS} users", [str(one["many"]["per_s"]) for one in both]
    cpu_ms = [f"{one['many']['node_cpu_ms']} + {one['many']['server_cpu_ms']}" for one in both]
    yield "processor time of one of them, ms: node + server", cpu_ms
    yield "searches a second, node and clients on one core", [str(one["apart"]["per_s"]) for one in both]
    cpu_ms = [f"{one['apart']['node_cpu_ms']} + {one['apart']['server_cpu_ms']}" for one in both]
    yield "processor time of one of them, ms: node + server", cpu_ms
    yield "bytes a study without its instances", [str(one["size"]["bytes_a_study"]) for one in both]
    yield "ready after, s", [str(one["start_s"]) for one in both]
    yield "instances/s registered while eight readers search", [str(one["ingest"]["instances_per_s"]) for one in both]
    for name in ("acknowledged", "readers"):
        texts = [" / ".join(str(one["ingest"][name][key]) for key in ("p50", "p95", "max")) for one in both]
        yield f"{name}, p50 / p95 / worst ms", texts
    yield "all counters proven in, s", [str(one["recount"]["s"]) for one in both]
    yield "load before, after", [f"{one['load_before']:.1f}, {one['load_after']:.1f}" for one in both]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="searches of each kind")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to ingest, and 64 users search")
    parser.add_argument("--studies", type=int, default=scale.LARGE)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"), help="where the report goes")
    options = parser.parse_args()
    count = options.studies
    with scale.copied(count) as folder:
        sqlite: Report = {"size": scale.sizes(folder / "index.sqlite", count)}
        sqlite |= measured(folder, scale.url_of(folder), count, options)
    with server() as running, scale.copied(scale.SMALL) as folder:
        url = filled(running, count)
        postgres = {"size": sizes(url, count), **measured(folder, url, count, options)}
    options.output.mkdir(parents=True, exist_ok=True)
    found = {"sqlite": sqlite, "postgresql": postgres}
    (options.output / "scale-postgresql.json").write_text(json.dumps(found, indent=1) + "\n")
    text = "\n".join(table(sqlite, postgres)) + "\n"
    (options.output / "scale-postgresql.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
