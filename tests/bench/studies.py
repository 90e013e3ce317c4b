"""What a peer holds, seen through its DICOMweb service, and the URLs of it. Knows PS3.18 paths, no one peer."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from bench.light_sender import send
from bench.peers import Peer
from bench.run import expect
from bench.template import Template

SOP_INSTANCE_UID = "00080018"


@dataclass(frozen=True)
class Series:
    """A series that *peer* holds."""

    peer: Peer
    url: str
    study_url: str
    instances: tuple[str, ...]  # their URLs


def sent_by_dimse(peer: Peer, template: Template, count: int, associations: int = 1) -> Series:
    """A new series of *count* instances, stored over DIMSE; its instances are those that the peer tells of."""
    new = template.of_new_study()
    sent = send(peer.dicom_port, [new] * associations, count, peer.ae_title)
    expect(sent.failures, 0, f"{peer.name}, responses other than Success")
    return series_of(peer, new, sent.count)


def series_of(peer: Peer, template: Template, count: int) -> Series:
    study_url = f"{peer.url}/studies/{template.study_instance_uid}"
    url = f"{study_url}/series/{template.series_instance_uid}"
    found = search(f"{url}/instances?limit={count + 1}")
    uids = tuple(str(instance[SOP_INSTANCE_UID]["Value"][0]) for instance in found)
    expect(len(set(uids)), count, f"{peer.name}, instances found")
    return Series(peer, url, study_url, tuple(f"{url}/instances/{uid}" for uid in uids))


def search(url: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, headers={"Accept": "application/dicom+json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        body = answer.read()
        return json.loads(body) if body else []
