"""The files that an operator points at: single ones, folders, what a DICOMDIR names, members of zip and tar files.

Knows how DICOM lies on media (PS3.10, PS3.11), not what becomes of it.
"""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from io import BufferedReader
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from relais.cli.within import Within
from relais.dicom import uids

PREAMBLE = bytes(128) + b"DICM"
START_BYTES = 132
VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
MARK_BYTES = 12  # of a digest: two of a thousand million files that are the same by chance are one in 10**11
MAX_FIRST_LENGTH = 1024  # a longer first element is none of those that Data Sets begin with
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".dcm.gz", ".7z", ".rar")
STAYS_PACKED = "It may hold DICOM files and is not read as it is: unpack it, or make it a zip or a plain tar file."
PACKED_TWICE = "It may hold DICOM files and is packed inside another file: unpack that one."
NO_FILE = "It is neither a file nor a folder."


@dataclass(frozen=True, slots=True)
class Source:
    """One file, not opened yet. *path* is None for a member of a zip or tar file.

    *mark* is the same as long as the file is, as far as its name, size and time of change tell: of a member, also those
    of the file that it is in.
    """

    name: str
    open: Callable[[], IO[bytes]]
    path: Path | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file that was named and cannot be had, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is, by its first bytes. *prefix* is what it lacks at its start to be a Part 10 file.

    *transfer_syntax_uid* is that of a file that is a Data Set and nothing else.
    """

    prefix: bytes = b""
    transfer_syntax_uid: str | None = None


def walk(paths: Iterable[Path], keep: ExitStack) -> Iterator[Source | Unusable]:
    """Every file below *paths*, each folder in order of names. Links to folders are not followed.

    What may not be looked at is Unusable, be it a file or a whole folder, and so is what is packed inside a zip or tar
    file once more. A DICOMDIR that is named itself stands for the files that it names. A pipe or device is passed over
    in a folder; named itself, it is Unusable. Zip files stay open until *keep* is closed.
    """
    for path in paths:
        if _is(path.is_dir):
            yield from _folder(path, keep)
        elif path.name.upper() == "DICOMDIR":
            yield from _named_by(path)
        elif _is(path.exists) and not _is(path.is_file):
            yield Unusable(str(path), NO_FILE)
        else:
            yield from _file(path, keep)


def _folder(path: Path, keep: ExitStack) -> Iterator[Source | Unusable]:
    refused: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=refused.append):
        yield from _told(refused)
        folders.sort()
        yield from (item for name in sorted(names) for item in _file(Path(folder) / name, keep) if name != "DICOMDIR")
    yield from _told(refused)


def _told(refused: list[OSError]) -> Iterator[Unusable]:
    """The folders that could not be read since the last time."""
    yield from (Unusable(str(exc.filename), f"The folder cannot be read: {exc.strerror}.") for exc in refused)
    refused.clear()


def _is(asked: Callable[[], bool]) -> bool:
    """What a path answers to a question such as is_file: False where it may not be looked at."""
    try:
        return asked()
    except OSError:
        return False


def kind_of(stream: IO[bytes]) -> Kind | None:
    """What *stream* holds, judged by its first bytes; None if it is no DICOM. The stream is at its start afterwards.

    Seen: files of old systems and of archives without the preamble of PS3.10 7.1, or without File Meta Information.
    """
    start = stream.read(START_BYTES)
    stream.seek(0)
    if start[128:132] == b"DICM":
        return Kind()
    if start[:4] == b"\x02\x00\x00\x00" and start[4:6] in VRS:
        return Kind(prefix=PREAMBLE)
    transfer_syntax_uid = _guessed(start)
    return Kind(transfer_syntax_uid=transfer_syntax_uid) if transfer_syntax_uid else None


def _guessed(start: bytes) -> str | None:
    """The Transfer Syntax of a bare Data Set, which begins with an element of group 0008."""
    if len(start) < 8:
        return None
    if start[:2] == b"\x00\x08" and start[2] == 0 and start[4:6] in VRS:
        return uids.EXPLICIT_VR_BIG_ENDIAN
    if start[:2] != b"\x08\x00" or start[3] != 0:
        return None
    if start[4:6] in VRS:
        return uids.EXPLICIT_VR_LITTLE_ENDIAN
    return uids.IMPLICIT_VR_LITTLE_ENDIAN if int.from_bytes(start[4:8], "little") <= MAX_FIRST_LENGTH else None


def _file(path: Path, keep: ExitStack) -> Iterator[Source | Unusable]:
    try:
        is_there = path.exists()
    except OSError as exc:
        yield Unusable(str(path), f"The file cannot be read: {exc.strerror}.")
        return
    if not is_there:
        yield Unusable(str(path), "The file does not exist.")
    elif path.suffix.lower() == ".zip" and _is(path.is_file):
        yield from _members(path, keep)
    elif path.suffix.lower() == ".tar" and _is(path.is_file):
        yield from _members_of_tar(path)
    elif path.name.lower().endswith(PACKED):
        yield Unusable(str(path), STAYS_PACKED)
    elif _is(path.is_file):
        yield _on_disk(path)


def _on_disk(path: Path) -> Source:
    def open_() -> IO[bytes]:
        return path.open("rb")

    return Source(str(path), open_, path, _mark(path))


def _mark(path: Path, inside: str = "") -> str:
    """What a file is told by without being read; "" if nothing can be said of it."""
    try:
        found = path.stat()
    except OSError:
        return ""
    told = f"{path.absolute()}\0{found.st_size}\0{found.st_mtime_ns}\0{inside}"
    return blake2b(os.fsencode(told), digest_size=MARK_BYTES).hexdigest()


def _members(path: Path, keep: ExitStack) -> Iterator[Source | Unusable]:
    try:
        archive = keep.enter_context(ZipFile(path))
    except (BadZipFile, OSError) as exc:
        yield Unusable(str(path), f"The zip file cannot be read: {exc}.")
        return
    for member in archive.infolist():
        if member.is_dir() or Path(member.filename).name == "DICOMDIR":
            continue
        name, place = f"{path}!{member.filename}", f"{member.filename}\0{member.header_offset}"
        if _is_packed(member.filename):
            yield Unusable(name, PACKED_TWICE)
        else:
            yield Source(name, partial(archive.open, member), mark=_mark(path, place))


def _is_packed(member: str) -> bool:
    """Whether what lies under this name in a zip or tar file may hold files itself."""
    return member.lower().endswith((*PACKED, ".zip", ".tar"))


def _members_of_tar(path: Path) -> Iterator[Source | Unusable]:
    """Its files, where they lie in it: links are not followed, and no name leads anywhere."""
    try:
        with closing(tarfile.open(path, "r:")) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would remember each of a million
                yield from _member_of_tar(path, member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as exc:
        yield Unusable(str(path), f"The tar file cannot be read to its end: {exc}.")


def _member_of_tar(path: Path, member: tarfile.TarInfo) -> Iterator[Source | Unusable]:
    name, start, length = f"{path}!{member.name}", member.offset_data, member.size
    if not member.isreg() or Path(member.name).name == "DICOMDIR":
        return
    if _is_packed(member.name):
        yield Unusable(name, PACKED_TWICE)
        return
    if member.issparse():
        yield Unusable(name, "The file has holes in the tar file: unpack it.")
        return

    def open_() -> IO[bytes]:
        return BufferedReader(Within(path, start, length))

    yield Source(name, open_, mark=_mark(path, f"{member.name}\0{start}"))


def _named_by(path: Path) -> Iterator[Source | Unusable]:
    """The files that the directory records of a DICOMDIR name, none outside its own folder (PS3.3 F.3.2.2)."""
    try:
        ds = dcmread(path)
        records = list(ds.DirectoryRecordSequence)
    except (OSError, InvalidDicomError, AttributeError, ValueError, EOFError) as exc:
        yield Unusable(str(path), f"The DICOMDIR cannot be read: {exc}.")
        return
    root = path.parent.resolve()
    for record in records:
        parts = _file_id(record)
        if not parts:
            continue
        file = root.joinpath(*parts)
        if not _is(file.exists):  # Seen: media whose file names were made lower case when they were copied
            file = root.joinpath(*(part.lower() for part in parts))
        if not _is(file.is_file) or not file.resolve().is_relative_to(root):
            yield Unusable("/".join(parts), "The DICOMDIR names a file that is not there.")
        else:
            yield _on_disk(file)


def _file_id(record: Dataset) -> list[str]:
    value = record.get("ReferencedFileID")
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(part) for part in value]
