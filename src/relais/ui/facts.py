"""What the pages tell people about the node they are on. Knows values only; node fills them in."""

from dataclasses import dataclass, field
from pathlib import Path

from relais import __version__
from relais.ui.viewer import default_folder


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """*public_url* is the base of every URL, without a slash at its end; *viewer_dir* may hold the OHIF viewer."""

    name: str
    ae_title: str
    dimse_host: str
    dimse_port: int
    public_url: str
    version: str = __version__
    viewer_dir: Path = field(default_factory=default_folder)
