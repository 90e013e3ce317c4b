"""Studies as files in a folder, for another archive. Knows files, not arguments; export_media makes discs.

1. Files hold what is stored, byte for byte. An instance that is there already in its full size, with the head that it
   was stored with, is left as it is, whatever its file is called, so that an export that was interrupted goes on where
   it was. (A head says when its instance was received: it is another one after a replacement.) No file takes the place
   of another instance: after an export every instance is there once, whatever came since the one before.
2. Folders are for people: what makes a study's folder unlike all others comes from its UID, and by that it is found
   and named anew when its patient is called otherwise.
3. What the archive itself has damaged or lost is told, and all else is written.
"""

import os
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from relais.access.principals import Principal
from relais.archive import Archive, ahead, retrieve, zipped
from relais.archive.integrity import WHOLE_BYTES, Lacking, verified_chunks
from relais.dicom.part10 import read_head
from relais.dicom.refs import SeriesRef, StudyRef
from relais.errors import InvalidDataSet, NodeError, NotFound, Unavailable, writing
from relais.index.rows import InstanceRow, kept_of
from relais.storage.digest import digest_of

Progress = Callable[[int], None]
"""Told the size of each file that is in its place."""

MARK = 8  # hexadecimal digits of the digest of a UID
SUFFIX = ".dcm"


@dataclass(slots=True)
class Exported(Lacking):
    """What an export wrote, in numbers of files; *present* were there already."""

    written: int = 0
    present: int = 0
    size_bytes: int = 0

    def add(self, more: "Exported") -> None:
        """Count what was written besides."""
        self.written += more.written
        self.present += more.present
        self.size_bytes += more.size_bytes
        self.missing += more.missing
        self.damaged += more.damaged
        self.unread += more.unread


class _There(NamedTuple):
    """What a file that is there says it is."""

    uid: str
    head_digest: bytes


class Folder:
    """A folder of exports, and where in it the folder of each study is, whatever it was called before."""

    def __init__(self, root: Path) -> None:
        """Raises Unavailable if what is there cannot be read."""
        self.root = root
        self._marked: dict[str, list[Path]] = {}
        with _reading(root):
            patients = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
        for patient in sorted(patients):
            with suppress(OSError):  # it is not ours
                for path in sorted(patient.iterdir()):
                    self._marked.setdefault(_mark_in(path), []).append(path)

    def study(self, name: Path, uids: Set[str]) -> Path:
        """The folder *name* of a study of the instances *uids*; if it was under another name, it is not any more."""
        path = self.root / name
        with _reading(path):
            if path.exists():
                return path
        for former in self._marked.get(_mark_in(path), []):
            if any(there.uid in uids for there in _instances_in(former).values()):
                with writing(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    former.rename(path)
                with suppress(OSError):  # other studies are in it
                    former.parent.rmdir()
                break
        return path


def to_folder(archive: Archive, principal: Principal, ref: StudyRef, folder: Folder, progress: Progress) -> Exported:
    """Write the study into *folder*/patient/study/series/NNNNN.dcm.

    Raises NotFound, Gone, Unavailable if a file that is there cannot be read, OutOfResources if one cannot be written.
    """
    done = Exported()
    for path, row, is_there in _placed(folder, list(study_files(archive, principal, ref))):
        if is_there:
            done.present += 1
        else:
            write(archive, row, path, done)
        progress(row.size_bytes)
    return done


def readable(
    archive: Archive, named: Sequence[tuple[Path, InstanceRow]], done: Exported
) -> Iterator[tuple[Path, InstanceRow, Iterator[bytes]]]:
    """Those of *named* that can be had, and their bytes; *done* counts the others.

    Large ones are read twice: who writes them one behind the other cannot take back what was begun.
    """
    for (name, row), found in ahead.each(archive, lambda one: (one, _begun(archive, one[1])), named, _size_bytes):
        if isinstance(found, NodeError):
            done.lacks(row.key, found)
        else:
            yield name, row, found


def _size_bytes(named: tuple[Path, InstanceRow]) -> int:
    return min(named[1].size_bytes, WHOLE_BYTES)


def _begun(archive: Archive, row: InstanceRow) -> Iterator[bytes] | NodeError:
    """The bytes of *row*, which have been compared with its digests, or why it cannot be had."""
    try:
        if row.size_bytes > WHOLE_BYTES:
            for _ in verified_chunks(archive, row, 0, always=True):
                pass
        chunks = verified_chunks(archive, row, 0, always=True)
        return chain((next(chunks),), chunks)
    except NodeError as error:
        return error


def study_files(archive: Archive, principal: Principal, ref: StudyRef) -> Iterator[tuple[Path, InstanceRow]]:
    """The files of a study and their names. One decision and one audit record for all. Raises NotFound, Gone."""
    rows = retrieve.instances(archive, principal, ref)
    mark = _digest(ref.study_instance_uid)[:MARK]
    for name, row in zip(zipped.names(archive, principal, rows), rows, strict=True):
        patient, study, series, file = name.split("/")
        yield Path(patient) / f"{study} [{mark}]" / series / file, row


def _placed(folder: Folder, named: Sequence[tuple[Path, InstanceRow]]) -> Iterator[tuple[Path, InstanceRow, bool]]:
    """Where each instance of a study is, or is to go, in *folder*, and whether it is there as it is stored now.

    Names say the place in the series, and what came since the last export has moved others: these stay where they are.
    """
    there = _instances_in(folder.study(named[0][0].parent.parent, {row.ref.sop_instance_uid for _, row in named}))
    found = {said.uid: path for path, said in reversed(there.items())}
    series: dict[SeriesRef, Path] = {}
    for _, row in named:
        if row.ref.sop_instance_uid in found:
            series.setdefault(row.ref.series, found[row.ref.sop_instance_uid].parent)
    taken, folders = set(there), {path.parent.name for path in there}
    for name, row in named:
        uid = row.ref.sop_instance_uid
        if uid in found:
            yield found[uid], row, _is_stored(found[uid], there[found[uid]], row)
            continue
        if row.ref.series not in series:
            series[row.ref.series] = folder.root / name.parent.with_name(zipped.unlike(folders, name.parent.name))
            folders.add(series[row.ref.series].name)
        path = _free(series[row.ref.series] / name.name, uid, taken)
        taken.add(path)
        yield path, row, False


def _instances_in(study: Path) -> dict[Path, _There]:
    """What every file of a study's folder is, if it can be told, in order of names."""
    with _reading(study):
        series = [folder for folder in study.iterdir() if folder.is_dir()] if study.is_dir() else []
        files = [path for folder in series for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file()]
    found = {path: _instance_in(path) for path in sorted(files)}
    return {path: said for path, said in found.items() if said}


def _instance_in(path: Path) -> _There | None:
    with _reading(path), path.open("rb") as file, suppress(InvalidDataSet):
        meta, head = read_head(file.read)
        return _There(meta.sop_instance_uid, kept_of(digest_of(head)))
    return None


def _is_stored(path: Path, said: _There, row: InstanceRow) -> bool:
    """Whether the file is what *row* is now."""
    with _reading(path):
        return said.head_digest == row.head_digest and path.stat().st_size == row.size_bytes


def _mark_in(study: Path) -> str:
    return study.name[-MARK - 2 :]


def _free(path: Path, uid: str, taken: Set[Path]) -> Path:
    """*path*, or where another instance has it, the same with a digest of *uid* in its name."""
    marked = path.with_stem(f"{path.stem} [{_digest(uid)[:MARK]}]")
    return next((one for one in (path, marked) if one not in taken), path.with_stem(f"{path.stem} [{_digest(uid)}]"))


def _digest(uid: str) -> str:
    return sha256(uid.encode()).hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable(f"{path} cannot be read: {exc.strerror}.") from exc


def write(archive: Archive, row: InstanceRow, path: Path, done: Exported) -> bool:
    """Write the file of one instance, whole or not at all; whether it could be had. *done* counts it.

    Raises OutOfResources, Unavailable.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                for chunk in verified_chunks(archive, row, 0, always=True):
                    file.write(chunk)
            os.replace(part, path)  # noqa: PTH105 - also over a file of another size
    except (NotFound, Unavailable) as error:
        done.lacks(row.key, error)
        return False
    finally:
        with suppress(OSError):  # it is not there, or cannot be
            part.unlink()
    done.written += 1
    done.size_bytes += row.size_bytes
    return True
