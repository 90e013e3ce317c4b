"""A CT opened in OHIF, in Chromium: from the click in the viewer's list, beside Orthanc serving the same build."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import mean

from playwright.sync_api import Browser

from bench import data, peers
from bench.figures import Figure, Goal, Limit
from bench.opening import Opened, open_study
from bench.peers import Peer
from bench.run import Run, Size, expect
from bench.studies import sent_by_dimse
from fixtures.browser import chromium
from fixtures.ohif import a_page, configuration
from fixtures.orthanc import DICOMWEB_PLUGIN
from relais.ui import viewer

SENDERS = 4
WARM_UP = 4
WITHIN_MS = 1000.0
FOLDERS_PLUGIN = DICOMWEB_PLUGIN.with_name("libServeFolders.so")
STAYS_AT_HOME = 'history.replaceState(null, "", "/viewer/")'  # the plugin leads to index.html, which OHIF does not know


def run(run: Run) -> None:
    viewer.main([])
    expect(viewer.installed(viewer.default_folder()), True, "the OHIF viewer is installed")
    with run.workplace() as folder, ExitStack() as started:
        _write_site(folder / "site")
        plugins = [str(DICOMWEB_PLUGIN), str(FOLDERS_PLUGIN)]
        served = {"Plugins": plugins, "ServeFolders": {"/viewer": str(folder / "site")}}
        relais = started.enter_context(peers.relais(folder / "relais"))
        orthanc = started.enter_context(peers.orthanc(folder / "orthanc", **served))
        browser = started.enter_context(chromium())
        readers = [Reader(relais, viewer.HOME, browser), Reader(orthanc, f"{viewer.HOME}index.html", browser)]
        for reader in readers:
            reader.open(WARM_UP)
        for reader, seen in zip(readers, run.alternate(readers, lambda one: one.open(run.size.ct)), strict=True):
            _tell(run, reader.peer.name, seen)


def goals(size: Size) -> Iterator[Goal | Limit]:
    yield Limit("viewer", f"{size.ct} CT, first image", WITHIN_MS)
    yield Goal("viewer", "Orthanc", 1.0)


@dataclass
class Reader:
    """Somebody who opens a study of *peer* that nobody has opened before, from the list on a *page* of its."""

    peer: Peer
    page: str
    browser: Browser
    numbers: Iterator[int] = field(default_factory=count)

    def open(self, slices: int) -> Opened:
        patient = f"READ{next(self.numbers):02}"
        sent_by_dimse(self.peer, data.a_noisy_ct_slice(patient), slices, SENDERS)
        return open_study(self.browser, self.peer.url.replace("/dicom-web", self.page), patient, slices)


def _tell(run: Run, name: str, seen: list[Opened]) -> None:
    slices = f"{run.size.ct} CT"
    on_the_way: Mapping[str, float] = {
        "metadata asked": mean(one.metadata_asked for one in seen),
        "metadata took": mean(one.metadata_took for one in seen),
        "frame asked": mean(one.frame_asked for one in seen),
    }
    run.add(Figure("viewer", f"{slices}, first image", name, "ms", [one.first_image for one in seen], dict(on_the_way)))
    run.add(Figure("viewer", f"{slices}, all frames", name, "ms", [one.all_frames for one in seen]))


def _write_site(folder: Path) -> None:
    """The build for Orthanc: ours, with the thumbnails that OHIF's own configuration for Orthanc has."""
    shutil.copytree(viewer.default_folder(), folder)  # no links: a server in a root folder of its own sees no others
    (folder / "index.html").write_bytes(a_page(STAYS_AT_HOME))
    changed = {'thumbnailRendering: "thumbnail"': 'thumbnailRendering: "wadors"', "/static/relais.svg": "data:,"}
    (folder / "app-config.js").write_bytes(configuration(changed))
