"""`relais send`: pass instances on to a peer by C-STORE."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from relais.archive import Archive, commitment_asked, retrieve
from relais.archive import search as archive_search
from relais.cli.common import config_of, config_option, json_option, print_json, print_list, print_table
from relais.cli.own import existing_archive, operator
from relais.cli.peers import peer_of
from relais.cli.progress import telling
from relais.cli.sources import Source, kind_of, walk
from relais.dicom import json_model, uids
from relais.dicom.attributes import Level
from relais.dicom.commitment import Reference
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import InstanceRef, Ref, SeriesRef, StudyRef
from relais.dimse.suboperations import outgoing
from relais.errors import InvalidDataSet, InvalidRequest, NodeError, NotFound
from relais.node.outgoing import of_file
from relais.peers.base import Outgoing, Peer, Sent, Verdict
from relais.peers.dimse import DimsePeer
from relais.pixels.workers import PixelWorkers

STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018

REFERENCES_AT_ONCE = 2000
PACKED = "It is in a zip or tar file: import that, then send by UID."


@dataclass(slots=True)
class Summary:
    """What the peer said, in numbers of instances; *reasons* by what was said of those that failed.

    *unreadable* says why, by their paths, of the files that failed before the peer was asked; *not_dicom* files were
    passed over. *not_committed* says why, by SOP Instance UID, where storage commitment was asked for.
    """

    sent: int = 0
    warnings: int = 0
    failed: int = 0
    not_dicom: int = 0
    committed: int = 0
    not_committed: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether something was sent, and nothing was not."""
        return bool(self.sent + self.warnings) and not self.failed and not self.not_committed

    def fail(self, name: str, reason: str) -> None:
        """Count the file *name*, of which nothing can be sent."""
        self.failed += 1
        self.unreadable[name] = reason

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
@click.option("--commit", "with_commit", is_flag=True, help="Then ask PEER to commit to their storage.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait for each answer to that.")
@config_option
@json_option
def send(
    peer: str, what: Sequence[str], with_commit: bool, wait_s: float, config_file: Path | None, as_json: bool
) -> None:
    """Send instances to PEER by C-STORE.

    They are studies, series or instances of the archive, named by UID, or files, folders and what a DICOMDIR names.
    PEER is a name from the configuration or AE_TITLE@HOST:PORT. Files that are not DICOM are passed over and counted.
    Exit code 1 if nothing was sent, or anything was not taken or could not be read, or with --commit not committed to.
    A PEER that answers over an association of its own reaches the node that runs, not this command,
    which reads the answer from there. Only files, without --commit, need no archive here.
    """
    config = config_of(config_file)
    summary, taken = Summary(), set[str]()
    with ExitStack() as keep:
        target = peer_of(config, peer)
        needs_archive = with_commit or any(map(_is_uid, what))
        archive = keep.enter_context(existing_archive(config)) if needs_archive else None
        pixels = archive.pixels if archive else keep.enter_context(closing(PixelWorkers(config.pixels)))
        instances = list(_instances(archive, pixels, what, summary))
        tell = keep.enter_context(telling(f"Sending to {peer}", as_json, len(instances)))
        for sent in target.store(instances):
            summary.add(sent)
            tell.more()
            if with_commit and sent.verdict is not Verdict.FAILED:
                taken.add(sent.sop_instance_uid)
        if archive and taken:
            _commit(archive, target, [one for one in instances if one.sop_instance_uid in taken], wait_s, summary)
    _show(peer, summary, with_commit, as_json)
    if not summary.is_whole:
        raise SystemExit(1)


def _show(peer: str, summary: Summary, with_commit: bool, as_json: bool) -> None:
    if as_json:
        print_json({"peer": peer, **asdict(summary)})
        return
    click.echo(
        f"{summary.sent} sent to {peer}, {summary.warnings} with a warning, {summary.failed} failed; "
        f"{summary.not_dicom} not DICOM."
    )
    if summary.reasons:
        print_table(["instances", "said"], [(str(count), reason) for reason, count in summary.reasons.items()])
    print_list("of the failed could not be read", [f"{name}: {why}" for name, why in summary.unreadable.items()])
    if with_commit:
        click.echo(f"{summary.committed} committed to, {len(summary.not_committed)} not.")
    if summary.not_committed:
        print_table(["instance", "why not"], list(summary.not_committed.items()))


def _commit(archive: Archive, target: Peer, sent: Sequence[Outgoing], wait_s: float, summary: Summary) -> None:
    """Ask for what was *sent*, in requests of a size that any peer reads."""
    if not isinstance(target, DimsePeer):
        raise InvalidRequest(f"{target.name} cannot be asked for storage commitment.")
    references = list(dict.fromkeys(Reference(one.sop_class_uid, one.sop_instance_uid) for one in sent))
    for start in range(0, len(references), REFERENCES_AT_ONCE):
        asked = references[start : start + REFERENCES_AT_ONCE]
        reasons = {one.sop_instance_uid: "no answer" for one in asked}
        try:
            report = commitment_asked.commit(archive, target, asked, wait_s)
        except NodeError as exc:
            report, reasons = None, dict.fromkeys(reasons, exc.message)
        if report is not None:
            reasons |= {one.reference.sop_instance_uid: f"reason {one.reason:04X}" for one in report.failed}
            for reference in report.committed:
                reasons.pop(reference.sop_instance_uid, None)
        summary.committed += len(asked) - len(reasons)
        summary.not_committed |= reasons


def _is_uid(name: str) -> bool:
    """Whether *name* is to be looked for in the archive: it is a UID, and no file is called so."""
    return uids.is_valid(name) and not Path(name).exists()


def _instances(
    archive: Archive | None, pixels: PixelWorkers, what: Sequence[str], summary: Summary
) -> Iterator[Outgoing]:
    """Everything that *what* names, in that order; of what cannot be sent *summary* is told.

    No *archive* is needed where no UIDs are named. Raises NotFound for a UID that the archive does not hold, and for a
    path that is named and not there.
    """
    for name in what:
        if archive and _is_uid(name):
            rows = retrieve.instances(archive, operator(), _ref(archive, name))
            yield from (outgoing(archive, row) for row in rows)
            continue
        with ExitStack() as keep:
            for source in walk([Path(name)], keep):
                if not isinstance(source, Source):
                    if Path(source.name) == Path(name):
                        raise NotFound(f"{source.name}: {source.reason}")
                    summary.fail(source.name, source.reason)
                elif source.path is not None:
                    yield from _of_file(source.path, pixels, summary)
                elif Path(name).is_dir():
                    summary.fail(source.name, PACKED)
                else:
                    raise InvalidRequest(f"{name} is a zip or tar file: import it, then send by UID.")


def _of_file(path: Path, pixels: PixelWorkers, summary: Summary) -> Iterator[Outgoing]:
    """The instance in *path*; none if it is not DICOM, or cannot be read, of which *summary* is told."""
    try:
        with path.open("rb") as stream:
            is_dicom = kind_of(stream) is not None
        if is_dicom:
            yield _checked(of_file(path, pixels))
        else:
            summary.not_dicom += 1
    except InvalidDataSet as exc:
        summary.fail(str(path), exc.message)
    except OSError as exc:
        summary.fail(str(path), f"The file cannot be read: {exc.strerror or exc}.")


def _checked(instance: Outgoing) -> Outgoing:
    """*instance*, if it can be proposed to a peer. Raises InvalidDataSet."""
    for what, uid in (("Transfer Syntax", instance.transfer_syntax_uid), ("SOP Class", instance.sop_class_uid)):
        if not uid:
            raise InvalidDataSet(f"The File Meta Information names no {what}.")
        if len(uid) > uids.MAX_LENGTH or not uid.isascii():
            raise InvalidDataSet(f"What it names as its {what} is not a UID.")
    return instance


def _ref(archive: Archive, uid: str) -> Ref:
    """What *uid* names: a study, a series or an instance."""
    for level, tag in ((Level.STUDY, STUDY), (Level.SERIES, SERIES), (Level.IMAGE, INSTANCE)):
        query = Query(level, (Match(tag, MatchKind.SINGLE_VALUE, (uid,)),), limit=1)
        for row in archive_search.search(archive, operator(), query).rows:
            study, series, instance = (str(json_model.text(row, tag)) for tag in (STUDY, SERIES, INSTANCE))
            if level is Level.STUDY:
                return StudyRef(study)
            return SeriesRef(study, series) if level is Level.SERIES else InstanceRef(study, series, instance)
    raise NotFound(f"The archive holds no study, series or instance {uid}.")
