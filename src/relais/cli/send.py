"""`relais send`: pass instances on to a peer by C-STORE."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.progress import Progress

from relais.access.principals import OPERATOR
from relais.archive import Archive, retrieve
from relais.archive import search as archive_search
from relais.cli.common import config_of, config_option, json_option, print_json, print_table, progress_bar
from relais.cli.peers import peer_of
from relais.cli.sources import Source, walk
from relais.dicom import json_model, uids
from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.errors import InvalidDataSet, InvalidRequest, NotFound
from relais.node import compose
from relais.node.outgoing import of_file, of_row
from relais.peers.base import Outgoing, Sent, Verdict

STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018


@dataclass(slots=True)
class Summary:
    """What the peer said, in numbers of instances; *reasons* by what was said of those that failed."""

    sent: int = 0
    warnings: int = 0
    failed: int = 0
    not_dicom: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, sent: Sent) -> None:
        """Count one answer."""
        if sent.verdict is Verdict.FAILED:
            self.failed += 1
        elif sent.verdict is Verdict.WARNING:
            self.warnings += 1
        else:
            self.sent += 1
        if sent.verdict is not Verdict.COMPLETED:
            status = "not sent" if sent.status is None else f"status {sent.status:04X}"
            reason = f"{status}: {sent.comment}" if sent.comment else status
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


@click.command()
@click.argument("peer")
@click.argument("what", nargs=-1, required=True, metavar="UID|PATH...")
@config_option
@json_option
def send(peer: str, what: Sequence[str], config_file: Path | None, as_json: bool) -> None:
    """Send instances to PEER by C-STORE.

    They are studies, series or instances of the archive, named by UID, or files, folders and what a DICOMDIR names.
    PEER is a name from the configuration or AE_TITLE@HOST:PORT. Exit code 1 if anything was not taken.
    """
    config = config_of(config_file)
    summary = Summary()
    with ExitStack() as keep:
        target = peer_of(config, peer)
        archive = keep.enter_context(compose.archive_of(config))
        instances = list(_instances(archive, what, summary))
        bar = keep.enter_context(progress_bar(as_json))
        tell = _progress(bar, len(instances))
        for sent in target.store(instances):
            summary.add(sent)
            tell()
    if as_json:
        print_json({"peer": peer, **asdict(summary)})
    else:
        click.echo(f"{summary.sent} sent to {peer}, {summary.warnings} with a warning, {summary.failed} failed.")
        if summary.reasons:
            print_table(["instances", "said"], [(str(count), reason) for reason, count in summary.reasons.items()])
    if summary.failed:
        raise SystemExit(1)


def _instances(archive: Archive, what: Sequence[str], summary: Summary) -> Iterator[Outgoing]:
    """Everything that *what* names, in that order. Raises NotFound for a UID that the archive does not hold."""
    for name in what:
        if uids.is_valid(name) and not Path(name).exists():
            rows = retrieve.instances(archive, OPERATOR, _ref(archive, name))
            yield from (of_row(archive, row) for row in rows)
            continue
        with ExitStack() as keep:
            for source in walk([Path(name)], keep):
                if not isinstance(source, Source):
                    raise NotFound(f"{source.name}: {source.reason}")
                if source.path is None:
                    raise InvalidRequest(f"{name} is a zip file: import it, then send by UID.")
                try:
                    yield of_file(source.path, archive.pixels)
                except (InvalidDataSet, OSError):
                    summary.not_dicom += 1


def _ref(archive: Archive, uid: str) -> Ref:
    """What *uid* names: a study, a series or an instance."""
    for level, tag in ((Level.STUDY, STUDY), (Level.SERIES, SERIES), (Level.IMAGE, INSTANCE)):
        query = Query(level, (Match(tag, MatchKind.SINGLE_VALUE, (uid,)),), limit=1)
        for row in archive_search.search(archive, OPERATOR, query).rows:
            study, series, instance = (str(json_model.text(row, tag)) for tag in (STUDY, SERIES, INSTANCE))
            if level is Level.STUDY:
                return StudyRef(study)
            return SeriesRef(study, series) if level is Level.SERIES else InstanceRef(study, series, instance)
    raise NotFound(f"The archive holds no study, series or instance {uid}.")


def _progress(bar: Progress, total: int) -> Callable[[], None]:
    task = bar.add_task("Sending", total=total, rate="")

    def tell() -> None:
        speed = bar.tasks[task].speed
        bar.update(task, advance=1, rate=f"{speed:.0f}/s" if speed else "")

    return tell
