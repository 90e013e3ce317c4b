"""Orthanc beside the index, at a size that it is filled to in some minutes. Knows its REST API and DICOMweb, no clocks.

It gets the studies of the smaller index, to the last attribute, one instance without pixels a series, and answers the
searches that it has in common with Relais. It runs at its own defaults but for two of its DICOMweb plugin: no cache of
metadata, which no search reads and which it would go on making meanwhile, and names in any case, as Relais finds them.
Filling it takes long: it is kept between runs, and searched after a start of its own, when all that it does by itself
after storing is done.
"""

import http.client
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset

from bench import peers, scale_data, scale_fill
from bench.scale_asking import Web, measure
from bench.scale_queries import Archive, kinds
from relais.dicom.json_model import JsonDataset

Report = dict[str, Any]
SENDERS = 4
NAMES = (  # of kinds; letters that are escaped in a URL Orthanc does not find
    "StudyInstanceUID",
    "PatientID",
    "AccessionNumber",
    "one day",
    "modality, one day",
    "name SURNAME*",
    "name *SURNAME*",
    "name *MARTIN*",
    "no key",
)
SETTINGS = {"DicomWeb": {"Enable": True, "EnableMetadataCache": False, "QidoCaseSensitive": False}}


def measured(cache: Path, count: int, rounds: int) -> Report | None:
    """What it takes Orthanc to be filled with *count* studies and to search them; None where there is no Orthanc.

    What was filled once is kept in *cache*.
    """
    if shutil.which(peers.ORTHANC) is None:
        return None
    version = peers.versions()["Orthanc"].rpartition("/")[2]
    folder = cache / f"{version.replace(' ', '-')}-{count}-{scale_fill.FORM}"
    filled = _filled(folder, count)
    with peers.orthanc(folder, **SETTINGS) as peer:
        web, archive = Web(peer.url), Archive(count)
        wanted = [kind for kind in kinds() if kind.name in NAMES]
        found = {kind.name: measure(web.search, kind, archive, [peer.pid], rounds) for kind in wanted}
        web.close()
    return {"version": version, **filled, "http": found}


def _filled(folder: Path, count: int) -> Report:
    """What it took to fill the Orthanc in *folder*: now, if that was never done to its end."""
    told = folder / "filled.json"
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        with peers.orthanc(folder, **SETTINGS) as peer:
            started = time.perf_counter()
            instances = _fill(peer.url, count)
            seconds = time.perf_counter() - started
        filled = {"studies": count, "instances": instances, "seconds": round(seconds)}
        filled |= {"per_s": round(instances / seconds), "load": round(os.getloadavg()[0], 1)}
        told.write_text(json.dumps(filled))
    found: Report = json.loads(told.read_text())
    return found


def _fill(url: str, count: int) -> int:
    """Send it the studies of an index of *count*; how many instances they have."""
    numbers = [number * (scale_data.STUDIES // count) for number in range(count)]
    with ThreadPoolExecutor(SENDERS) as senders:
        return sum(senders.map(_send, [url] * SENDERS, [numbers[first::SENDERS] for first in range(SENDERS)]))


def _send(url: str, numbers: list[int]) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    sent = 0
    for number in numbers:
        for facts in scale_data.facts_of(number):
            status, said = _posted(connection, _part10(facts.attributes))
            if status != http.client.OK:
                raise SystemExit(f"Orthanc does not take study {number}: {status} {said[:300]!r}")
            sent += 1
    connection.close()
    return sent


def _posted(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
    """What Orthanc says to an instance. It hangs up on who is silent for a second, as on a busy machine we may be."""
    try:
        connection.request("POST", "/instances", body)
        answer = connection.getresponse()
    except ConnectionError:
        connection.close()
        connection.request("POST", "/instances", body)
        answer = connection.getresponse()
    return answer.status, answer.read()


def _part10(attributes: JsonDataset) -> bytes:
    kept = {tag: element for tag, element in attributes.items() if element["vr"] != "AS"}  # some are invented below 0
    ds = Dataset.from_json({"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}, **kept})
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    written = BytesIO()
    ds.save_as(written, enforce_file_format=True)
    return written.getvalue()
