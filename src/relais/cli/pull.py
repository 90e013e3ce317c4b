"""`relais pull`: have another archive's studies brought here, as many sittings as it takes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from relais.archive import Archive
from relais.archive.ledger import Ledger
from relais.archive.pace import Hours, Rate
from relais.archive.pull import Incomplete, Pull, Report
from relais.cli import keys
from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json
from relais.cli.own import login, taking_archive
from relais.cli.peers import check_url, dicomweb_of, orthanc_of, peer_of
from relais.cli.progress import Teller, telling
from relais.cli.shown import shown
from relais.config import Config
from relais.dicom.origin import Channel, Origin
from relais.dicom.query import Match
from relais.errors import InvalidRequest, Unavailable
from relais.node import aftermath, ready
from relais.node.pulling import By, DimsePull
from relais.node.pulling_dicomweb import DicomwebPull
from relais.peers.dimse import DimsePeer

PARALLEL_WEB = 4  # studies of a DICOMweb origin server
PARALLEL_SERIES = 4  # of an Orthanc, which answers each request by itself
SHOWN = 10  # units that are not complete, and missing instances of each; --json has more
Parsed = TypeVar("Parsed")


def _parsed(parse: Callable[[str], Parsed]) -> Callable[..., Parsed | None]:
    """A click callback that reads an option by *parse*, which raises ValueError."""

    def read(context: click.Context, parameter: click.Parameter, value: str | None) -> Parsed | None:
        try:
            return None if value is None else parse(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from exc

    return read


@click.command(short_help="Bring in the studies of another archive.")
@click.argument("peer")
@click.argument("wanted", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--by", type=click.Choice([by.value for by in By]), default="get", show_default=True, help="How to ask.")
@click.option(
    "--parallel", type=click.IntRange(1, 16), help="Studies at a time (1, by HTTP 4), or series of an Orthanc (4)."
)
@click.option("--rate", callback=_parsed(Rate.parse), help='Not faster: "20MB/s" or "600 studies/h".')
@click.option("--between", callback=_parsed(Hours.parse), help='Begin studies only then: "20:00-06:00".')
@click.option("--again", is_flag=True, help="Compare also what was complete before.")
@config_option
@json_option
def pull(peer: str, wanted: Sequence[str], config_file: Path | None, as_json: bool, **how: Any) -> None:
    """Bring the studies of PEER into the archive, those that KEY=VALUE select (as in "relais find") or all.

    PEER is a name from the configuration or AE_TITLE@HOST:PORT. It is asked what it has (C-FIND), what is missing here
    is fetched (C-GET, or C-MOVE to the node, which must be running and known to PEER), and then compared, instance by
    instance. The same command goes on where an earlier one ended, however it ended, and finds what is new.

    An Orthanc, named in the configuration or as http://HOST:PORT, is brought whole by its REST interface; later runs
    bring what its change log tells.

    Any other DICOMweb origin server, named in the configuration or with --by web as https://HOST/ROOT, is asked by
    QIDO-RS and WADO-RS as a DIMSE peer is by C-FIND and C-GET.

    Exit code 1 if anything is missing; it is listed.
    """
    config = config_of(config_file)
    check_url(peer)
    with aftermath.swept(config), ExitStack() as keep:
        archive = keep.enter_context(taking_archive(config))
        ledger = keep.enter_context(Ledger(archive, config.node.data_dir / "pulls", peer))
        tell = keep.enter_context(telling(f"Pulling from {peer}", as_json))
        run = Pull(ledger, partial(_tell, tell), how["rate"], how["between"], again=how["again"])
        report = _run(config, run, archive, peer, keys.parse(wanted)[1], how)
    if as_json:
        print_json({"peer": peer, "is_complete": report.is_complete, **asdict(report)})
    else:
        _print(report)
    if not report.is_complete:
        raise SystemExit(1)


def _tell(tell: Teller, report: Report) -> None:
    tell.of(report.total)
    tell(report.units, report.received_bytes)


def _run(
    config: Config, run: Pull, archive: Archive, name: str, matches: tuple[Match, ...], how: Mapping[str, Any]
) -> Report:
    by, title, user = By(how["by"]), config.dimse.ae_title, login()
    if (web := dicomweb_of(config, name, is_by_web=by is By.WEB)) is not None:
        origin = Origin(Channel.IMPORT, web.settings.url, user=user)
        return DicomwebPull(run, archive, web, origin).run(matches, how["parallel"] or PARALLEL_WEB)
    parallel = how["parallel"] or PARALLEL_SERIES
    if (orthanc := orthanc_of(config, name, parallel)) is not None:
        from relais.node.pulling_orthanc import OrthancPull  # noqa: PLC0415 - its library is optional

        if matches or by is not By.GET:
            raise InvalidRequest("An Orthanc is brought whole; its DIMSE door takes KEY=VALUE and --by.")
        return OrthancPull(run, archive, orthanc, Origin(Channel.IMPORT, orthanc.settings.url, user=user)).run(parallel)
    peer = peer_of(config, name)
    if not isinstance(peer, DimsePeer) or by is By.WEB:
        raise InvalidRequest(f"{name} cannot be pulled from.")
    if by is By.MOVE:
        _require_node(config)
    theirs = peer.settings
    origin = Origin(Channel.IMPORT, theirs.host, theirs.ae_title, title, user)
    source = DimsePull(run, archive, peer, origin, title if by is By.MOVE else "")
    return source.run(matches, how["parallel"] or 1)


def _require_node(config: Config) -> None:
    """Raise Unavailable unless our own DIMSE door is open, to which the peer is to send."""
    try:
        ready.dimse(config)()
    except Unavailable as exc:
        raise Unavailable("With --by move the node that is to receive must be running (relais serve).") from exc


def _print(report: Report) -> None:
    click.echo(f"{report.complete} of {report.units} complete ({report.known} were before).")
    if report.units > report.known or report.received:
        click.echo(
            f"Of the others {report.received} instances came now, {human_bytes(report.received_bytes)} in "
            f"{report.seconds:.0f} s; {report.here} were here already."
        )
    for key, notes in list(report.notes.items())[:SHOWN]:
        click.echo(shown(f"{key}: {' '.join(notes)}"))
    for key, left in list(report.incomplete.items())[:SHOWN]:
        click.echo(shown(f"Not complete: {key}: {_missing(left)}. {' '.join(left.notes)}"))
        for uid in left.examples[:SHOWN]:
            click.echo(f"    {shown(uid)}")
    if len(report.incomplete) > SHOWN:
        click.echo(f"and {len(report.incomplete) - SHOWN} more (--json lists all).")
    if report.stopped:
        click.echo(shown(f"Stopped before the end: {report.stopped} The same command goes on from here."))


def _missing(left: Incomplete) -> str:
    """How many instances are, of those that the peer counted."""
    if left.missing is None:
        return "nobody knows how many are missing"
    if left.instances is None or left.instances == 1:
        return f"{left.missing} missing"
    return f"{'all' if left.missing == left.instances else left.missing} of {left.instances} missing"
