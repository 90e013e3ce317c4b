"""`relais export`: copies of studies out of the archive, as files that any DICOM tool reads."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from relais.archive import Archive, export, export_media, retrieve, zipped
from relais.archive import search as archive_search
from relais.cli.backup import tell_lacking
from relais.cli.common import config_of, config_option, human_bytes, json_option, print_json
from relais.cli.own import existing_archive, operator
from relais.cli.progress import telling
from relais.dicom import json_model
from relais.dicom.attributes import Level
from relais.dicom.query import Match, MatchKind, Query
from relais.dicom.refs import StudyRef
from relais.errors import InvalidRequest, NotFound, writing

STUDY_INSTANCE_UID, PATIENT_ID = 0x0020000D, 0x00100020


@click.command("export", short_help="Write studies into a folder or a zip file.")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--study", "studies", multiple=True, metavar="UID", help="This study; may be given several times.")
@click.option("--patient", "patients", multiple=True, metavar="ID", help="All studies of this Patient ID.")
@click.option("--all", "is_all", is_flag=True, help="Every study.")
@click.option("--dicomdir", "is_media", is_flag=True, help="As a file-set with a DICOMDIR, for a disc.")
@config_option
@json_option
def export_(destination: Path, is_media: bool, config_file: Path | None, as_json: bool, **chosen: Any) -> None:
    """Write studies to DESTINATION: a folder, or one zip file if its name ends with .zip.

    The node may be running meanwhile. Files are those that were stored, byte for byte, in folders named for patient,
    study and series. Into a folder an export that was interrupted goes on where it was. Exit code 1 if the archive
    itself holds objects that are damaged or missing: all others are written.
    """
    if not any(chosen.values()):
        raise click.UsageError("Say which: --study, --patient or --all.")
    is_zip = destination.suffix.lower() == ".zip"
    if is_zip and is_media:
        raise click.UsageError("--dicomdir wants a folder.")
    with existing_archive(config_of(config_file)) as archive, telling("Exporting", as_json) as tell:
        refs, told = _refs(archive, **chosen), partial(tell.more, 1)
        if is_media:
            done = export_media.to_media(archive, operator(), list(refs), destination, told)
        elif is_zip:
            done = _to_zip(archive, refs, destination, told)
        else:
            done, folder = export.Exported(), export.Folder(destination)
            for ref in refs:
                done.add(export.to_folder(archive, operator(), ref, folder, told))
    if as_json:
        print_json(asdict(done))
    else:
        click.echo(f"{done.written} files written, {human_bytes(done.size_bytes)}; {done.present} were there already.")
        tell_lacking(done)
    if not done.is_whole:
        raise SystemExit(1)


def _refs(archive: Archive, studies: Sequence[str], patients: Sequence[str], is_all: bool) -> Iterator[StudyRef]:
    """What was asked for, each study once. Raises NotFound for a study that is not here and a patient without any."""
    seen: set[str] = set()
    for uid in studies:
        if not _found(archive, (Match(STUDY_INSTANCE_UID, MatchKind.SINGLE_VALUE, (uid,)),)):
            raise NotFound(f"The archive holds no study {uid}.")
        if uid not in seen:
            seen.add(uid)
            yield StudyRef(uid)
    for patient in patients:
        found = _found(archive, (Match(PATIENT_ID, MatchKind.SINGLE_VALUE, (patient,)),))
        if not found:
            raise NotFound(f"The archive holds no study of Patient ID {patient}.")
        yield from _unseen(archive, found, seen)
    if is_all:
        yield from _unseen(archive, _found(archive, ()), seen)


def _unseen(archive: Archive, uids: list[str], seen: set[str]) -> Iterator[StudyRef]:
    """Those of the studies *uids* that are not in *seen*, and have not been deleted since they were found."""
    for uid in uids:
        if uid not in seen and _is_held(archive, StudyRef(uid)):
            seen.add(uid)
            yield StudyRef(uid)


def _is_held(archive: Archive, ref: StudyRef) -> bool:
    try:
        return bool(retrieve.revision(archive, operator(), ref))
    except NotFound:
        return False


def _found(archive: Archive, matches: tuple[Match, ...]) -> list[str]:
    """The studies of *matches*, all asked for before any is written: an export takes hours, and much comes and goes."""
    rows = archive_search.stream(archive, operator(), Query(Level.STUDY, matches)).rows
    return [str(json_model.text(row, STUDY_INSTANCE_UID)) for row in rows]


def _to_zip(archive: Archive, refs: Iterator[StudyRef], path: Path, tell: export.Progress) -> export.Exported:
    with writing(path):
        if path.exists():
            raise InvalidRequest(f"{path} is there already.")
    done = export.Exported()

    def files() -> Iterator[zipped.File]:
        for ref in refs:
            named = list(export.study_files(archive, operator(), ref))
            for name, row, chunks in export.readable(archive, named, done):
                body = retrieve.Body(row.size_bytes, chunks, row.transfer_syntax_uid)
                yield zipped.File(str(name), row.stored_at, body)
                done.written += 1
                done.size_bytes += row.size_bytes
                tell(row.size_bytes)

    part = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            with part.open("wb") as out:
                for chunk in zipped.chunks(files()):
                    out.write(chunk)
            part.rename(path)
    finally:
        with suppress(OSError):  # it is not there, or cannot be
            part.unlink()
    return done
