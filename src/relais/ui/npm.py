"""One version of one npm package, fetched and compared with its digest. Knows npm, not what is in the package."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

FETCH_TIMEOUT_S = 300


class FetchFailed(Exception):
    """The package could not be fetched."""


def bring(package: str, version: str, integrity: str, work: Path) -> Path:
    """The package as npm packs it, in the empty folder *work*, and nothing but the very one of this *integrity*.

    Raises FetchFailed.
    """
    found = _pack(f"{package}@{version}", work)
    digest = base64.b64encode(hashlib.sha512(found.read_bytes()).digest()).decode("ascii")
    if f"sha512-{digest}" != integrity:
        raise FetchFailed(f"the package is not the {package} {version} that is expected")
    return found


def _pack(wanted: str, work: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed("npm is not installed")
    command = [npm, "pack", wanted, "--silent", "--fetch-retries=1", "--pack-destination", str(work)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as exc:
        raise FetchFailed(f"npm took longer than {FETCH_TIMEOUT_S} s") from exc
    found = list(work.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        lines = done.stderr.strip().splitlines()
        raise FetchFailed(f"npm says: {lines[-1] if lines else 'nothing'}")
    return found[0]
