"""Fills an empty archive with samples, the way a modality would: by C-STORE over a real association."""

from pathlib import Path

from relais.config import Config
from relais.errors import InvalidDataSet
from relais.index import statistics
from relais.node import compose
from relais.node.outgoing import of_file
from relais.peers.base import Outgoing, Verdict
from relais.peers.dimse import DimsePeer
from relais.peers.settings import PeerSettings
from relais.pixels.workers import PixelWorkers


def store_into_empty(config: Config, folder: Path) -> str:
    """Send every instance below *folder* to the node of *config* if it holds none, and say what happened."""
    with compose.archive_of(config) as archive:
        held = statistics.statistics(archive.db).instances
        if held:
            return f"The archive holds {held} instances already: no samples were stored."
        stored, refused = _send(config, folder, archive.pixels)
    sentence = f"Stored {stored} sample instances from {folder} by C-STORE"
    return sentence + (f"; {refused} were refused." if refused else ".")


def _send(config: Config, folder: Path, pixels: PixelWorkers) -> tuple[int, int]:
    title, host, port = config.dimse.ae_title, config.dimse.host, config.dimse.port
    own = DimsePeer(PeerSettings(name="own", ae_title=title, host=host, port=port), "SAMPLES")
    verdicts = [sent.verdict for sent in own.store(_instances(folder, pixels))]
    refused = verdicts.count(Verdict.FAILED)
    return len(verdicts) - refused, refused


def _instances(folder: Path, pixels: PixelWorkers) -> list[Outgoing]:
    found = []
    for path in sorted(folder.rglob("*.dcm")):
        try:
            found.append(of_file(path, pixels))
        except InvalidDataSet:  # some samples are there to be refused
            continue
    return found
