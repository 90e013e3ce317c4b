"""The built OHIF viewer: fetched from npm once, made to live under /viewer/. Knows files, not requests: see ui.ohif.

`python -m relais.ui.viewer [FOLDER]` fetches it, unless this very version is there already. The node works without it.

What is left out of the package: source maps, the service worker (it would load code from elsewhere) and the runtime of
the tools that draw with a neural network, whose models would come from the internet.
"""

import gzip
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from relais.ui import npm

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="

HOME = "/viewer/"
SQUEEZED = frozenset({".js", ".css", ".wasm", ".svg", ".json"})
LEFT_OUT = re.compile(
    r"ort/|customizations/|_headers$|_redirects$|.*\.html$|.*\.map$|(sw|init-service-worker|app-config|google)\.js$"
)
# Where the build believes to live at the root of its host, and what follows.
ROOTS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (".js", re.compile(r'(__webpack_require__\.p = )"/"'), rf'\1"{HOME}"'),
    (".css", re.compile(r"url\(/(?!/)"), f"url({HOME}"),
    (".json", re.compile(r'("(?:src|start_url|scope)":\s*")\.?/(?!/)'), rf"\1{HOME}"),
)


def default_folder() -> Path:
    """Where the viewer is looked for: beside the installed package, so that it outlives the data folder."""
    return Path(sys.prefix, "share", "ohif")


def installed(folder: Path) -> bool:
    """Whether *folder* holds a complete viewer of this version."""
    return (folder / "VERSION").is_file() and (folder / "VERSION").read_text(encoding="ascii").strip() == VERSION


def fetch(folder: Path) -> None:
    """Put the viewer into *folder*, which is replaced as a whole. Raises npm.FetchFailed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".ohif-", dir=folder.parent) as name:
        work = Path(name)
        _unpack(npm.bring(PACKAGE, VERSION, INTEGRITY, work), work / "new")
        (work / "new" / "VERSION").write_text(f"{VERSION}\n", encoding="ascii")
        if folder.exists():
            folder.rename(work / "old")
        (work / "new").rename(folder)


def _unpack(package: Path, target: Path) -> None:
    with tarfile.open(package) as archive:
        for member, path in _wanted(archive):
            stream = archive.extractfile(member)
            assert stream is not None
            data = _moved(path.suffix, stream.read())
            out = target / path
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(data)
            if path.suffix in SQUEEZED and len(data) > 1024:
                out.with_name(f"{out.name}.gz").write_bytes(gzip.compress(data, 6, mtime=0))


def _wanted(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath]]:
    """The files of the build, with their path in it; nothing that points out of it."""
    for member in archive:
        path = PurePosixPath(member.name)
        if member.isfile() and path.parts[:2] == ("package", "dist") and ".." not in path.parts:
            inner = PurePosixPath(*path.parts[2:])
            if not LEFT_OUT.match(str(inner)):
                yield member, inner


def _moved(suffix: str, data: bytes) -> bytes:
    """*data* with paths that begin at the root made to begin at HOME."""
    for kind, pattern, replacement in ROOTS:
        if kind == suffix:
            data = pattern.sub(replacement, data.decode("utf-8")).encode("utf-8")
    return data


def main(arguments: list[str]) -> int:
    """The command. Success even if there is no viewer afterwards: the node does without."""
    folder = Path(arguments[0]) if arguments else default_folder()
    if installed(folder):
        return 0
    sys.stderr.write(f"Fetching the OHIF viewer {VERSION} (50 MB, once) ...\n")
    try:
        fetch(folder)
    except (npm.FetchFailed, OSError) as exc:
        sys.stderr.write(f"No viewer at {HOME}: {exc}. Everything else works; try again with the same command.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
