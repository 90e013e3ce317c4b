"""Studies of a DICOMweb origin server brought into the archive by QIDO-RS and WADO-RS: the Work of a pull.

Knows peers and the archive, not when and how often: see archive.pull.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from relais.archive import Archive, ingest
from relais.archive.ingest import Part10Receiving
from relais.archive.pull import Pull
from relais.dicom.origin import Origin
from relais.dicom.refs import SeriesRef, StudyRef
from relais.dicomweb.multipart import PartBegins, PartData
from relais.errors import NodeError, NotFound, Unavailable
from relais.node.pulling import StudyPull, Taken, in_words
from relais.peers.base import Buffer, Refused
from relais.peers.dicomweb import DicomwebPeer


class DicomwebPull(StudyPull):
    """Instances come as the origin server has them, and once more as it likes to give them if something is missing."""

    passes = (False, True)

    def __init__(self, pull: Pull, archive: Archive, peer: DicomwebPeer, origin: Origin) -> None:
        super().__init__(pull, archive, peer, origin)
        self._web = peer

    def transfer(self, ref: StudyRef | SeriesRef, sop_classes: list[str], taken: Taken, *, uncompressed: bool) -> str:
        try:
            with ExitStack() as keep:
                self._take(ref, taken, keep, as_stored=not uncompressed)
        except (NotFound, Refused) as exc:
            return f"Of {in_words(ref)}: {exc.message}"
        return ""

    def _take(self, ref: StudyRef | SeriesRef, taken: Taken, keep: ExitStack, *, as_stored: bool) -> None:
        part: _Part | None = None
        number = 0
        for event in self._web.retrieve(ref, as_stored=as_stored):
            if not self.goes_on():
                raise Unavailable("It was stopped.")
            if isinstance(event, PartBegins):
                number += 1
                part = keep.enter_context(_Part(self._archive, self._origin, taken, (ref, number)))
            elif isinstance(event, PartData):
                assert part is not None
                taken.pull.received(len(event.data))
                part.write(event.data)
            else:
                assert part is not None
                part.finish()
                keep.close()


class _Part:
    """One file on its way in, which is *place* in what was asked for. What is wrong with it is noted, and the others go
    on. Raises Unavailable.
    """

    def __init__(self, archive: Archive, origin: Origin, taken: Taken, place: tuple[StudyRef | SeriesRef, int]) -> None:
        self._taken, self._place = taken, place
        self._receiving: Part10Receiving | None = ingest.receive_part10(archive, origin)

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._receiving is not None:
            self._receiving.__exit__()

    def write(self, chunk: Buffer) -> None:
        if self._receiving is not None:
            self._try(partial(self._receiving.write, chunk))

    def finish(self) -> None:
        receiving = self._receiving
        if receiving is not None:
            self._try(lambda: self._taken.stored(receiving.finish()))

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Unavailable:
            raise
        except NodeError as exc:
            self._taken.refused(self._place, f"refused here: {exc.message}")
            self.__exit__()
            self._receiving = None
