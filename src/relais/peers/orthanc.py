"""An Orthanc as the other archive, by its REST interface. Knows its resources and change log, not what we hold.

Needs the optional package orthanc-api-client. Orthanc calls its resources by identifiers of its own; what DICOM calls
them stands beside.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

import requests
from orthanc_api_client import OrthancApiClient
from orthanc_api_client.exceptions import HttpError, OrthancApiException, ResourceNotFound

from relais.dicom.refs import InstanceRef, SeriesRef
from relais.errors import NotFound, Unavailable
from relais.peers.settings import PeerSettings

PAGE = 1000  # of series or changes asked for at a time
CHUNK_BYTES = 256 * 1024
MARK_BYTES = 12  # of a digest
OWN_ATTACHMENTS = frozenset({"dicom", "dicom-as-json", "dicom-until-pixel-data"})
"""What Orthanc itself keeps of an instance: the file, and what it made of it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OrthancSeries:
    """A series. *id* and *parent*, its study, are Orthanc's own identifiers.

    *mark* is another one when other instances are in it, or one came since.
    """

    id: str
    parent: str
    series_instance_uid: str
    instances: int
    mark: str


@dataclass(frozen=True, slots=True)
class OrthancInstance:
    """An instance. *id* is Orthanc's own identifier, which is another one under another Patient ID.

    *file* is what Orthanc calls its file: another one when it was overwritten. "": it does not say.
    """

    id: str
    sop_instance_uid: str
    file: str


@dataclass(frozen=True, slots=True)
class Changes:
    """A part of the change log: the new *instances*, the number of the *last* change, and whether that was all."""

    instances: list[str]
    last: int
    is_done: bool


class OrthancPeer:
    """One Orthanc. Every method raises Unavailable if it does not answer as it should. Safe in many threads."""

    def __init__(self, settings: PeerSettings, parallel: int = 1) -> None:
        self.settings = settings
        self._client = OrthancApiClient(
            settings.url.rstrip("/") + "/", settings.user or None, settings.secret() or None, pool_maxsize=parallel + 1
        )

    @property
    def name(self) -> str:
        return self.settings.name

    def echo(self) -> None:
        """Return if it answers."""
        self._get("system")

    def identity(self) -> str:
        """What tells its database from that of any other Orthanc; "" where it does not say (before 1.11)."""
        return str(self._get("system").get("DatabaseServerIdentifier", ""))

    def count_series(self) -> int:
        """How many series it holds."""
        return int(self._get("statistics")["CountSeries"])

    def last_change(self) -> int:
        """The number of its newest change, 0 before the first."""
        return int(self._get("changes?last")["Last"])

    def changes(self, since: int) -> Changes:
        """The changes behind the one of that number, oldest first; those of what was deleted again are not told."""
        found = self._get(f"changes?since={since}&limit={PAGE}")
        new = [str(change["ID"]) for change in found["Changes"] if change["ChangeType"] == "NewInstance"]
        return Changes(new, int(found["Last"]), bool(found["Done"]))

    def all_series(self) -> Iterator[OrthancSeries]:
        """Every series. One that is deleted meanwhile may hide another one, which the change log does not tell."""
        since = 0
        while page := self._get(f"series?expand&since={since}&limit={PAGE}"):
            yield from map(_series, page)
            since += len(page)

    def series(self, series_id: str) -> OrthancSeries:
        """One series. Raises NotFound."""
        return _series(self._get(f"series/{series_id}"))

    def series_of(self, instance_ids: Sequence[str]) -> list[OrthancSeries]:
        """The series that those instances belong to, as far as they are still there."""
        wanted = {"Resources": list(instance_ids), "Level": "Series", "Metadata": False}
        return [
            _series(one)
            for one in self._ask(lambda: self._client.post("tools/bulk-content", json=wanted, **self._how).json())
        ]

    def study_instance_uid(self, study_id: str) -> str:
        """Raises NotFound."""
        return str(self._get(f"studies/{study_id}")["MainDicomTags"].get("StudyInstanceUID", ""))

    def instances(self, series_id: str) -> list[OrthancInstance]:
        """The instances of a series. Raises NotFound."""
        found = self._get(f"series/{series_id}/instances")
        return [
            OrthancInstance(
                str(one["ID"]), str(one["MainDicomTags"].get("SOPInstanceUID", "")), str(one.get("FileUuid", ""))
            )
            for one in found
        ]

    def called(self, ref: SeriesRef | InstanceRef) -> list[str]:
        """The identifiers of what has these UIDs: several, where that is of several patients."""
        query = {"StudyInstanceUID": ref.study_instance_uid, "SeriesInstanceUID": ref.series_instance_uid}
        level = "Series"
        if isinstance(ref, InstanceRef):
            level, query["SOPInstanceUID"] = "Instance", ref.sop_instance_uid
        wanted = {"Level": level, "Query": query}
        return [str(one) for one in self._ask(lambda: self._client.post("tools/find", json=wanted, **self._how).json())]

    def foreign_attachments(self, level: str, resource_id: str) -> list[str]:
        """The names of what people have attached to a resource. *level* is "instances", "series" or "studies"."""
        found = self._get(f"{level}/{resource_id}/attachments")
        return sorted(set(map(str, found)) - OWN_ATTACHMENTS)

    def retrieve(self, instance_id: str) -> Iterator[bytes]:
        """The Part 10 file of an instance, in pieces. Raises NotFound, before the first."""
        response = self._ask(lambda: self._client.get(f"instances/{instance_id}/file", stream=True, **self._how))
        with response:
            pieces = response.iter_content(CHUNK_BYTES)
            while piece := self._ask(lambda: next(pieces, b"")):
                yield piece

    def md5(self, instance_id: str) -> str:
        """The digest of that file when it was stored, in hexadecimal; "" if none was kept. Raises NotFound."""
        path = f"instances/{instance_id}/attachments/dicom/md5"
        return str(self._ask(lambda: self._client.get(path, **self._how).text)).strip()

    def _get(self, path: str) -> Any:
        return self._ask(lambda: self._client.get(path, **self._how).json())

    @property
    def _how(self) -> dict[str, Any]:
        return {"timeout": self.settings.timeout_s, "verify": self.settings.tls_ca or True}

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except ResourceNotFound as exc:
            raise NotFound(f"{self.name} no longer has it.") from exc
        except HttpError as exc:
            raise Unavailable(f"{self.name} answered with HTTP status {exc.http_status_code}.") from exc
        except (OrthancApiException, requests.RequestException) as exc:
            where = "" if self.name == self.settings.url else f" at {self.settings.url}"
            raise Unavailable(f"{self.name}{where} does not answer, or broke off.") from exc
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ) as exc:  # the client gives None for errors it does not know
            raise Unavailable(f"{self.name} does not answer as an Orthanc does.") from exc


def _series(found: Any) -> OrthancSeries:
    uid = str(found["MainDicomTags"].get("SeriesInstanceUID", ""))
    ids = sorted(map(str, found["Instances"]))
    mark = blake2b("\0".join([str(found.get("LastUpdate", "")), *ids]).encode(), digest_size=MARK_BYTES).hexdigest()
    return OrthancSeries(str(found["ID"]), str(found["ParentStudy"]), uid, len(ids), mark)
