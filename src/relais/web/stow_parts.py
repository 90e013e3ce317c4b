"""Instances as application/dicom parts, streamed into the archive as they come (PS3.18 10.5). Knows no answers.

Reading: a part without Content-Type has the type that the request's `type` announces (RFC 2387 3.1).
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from io import BytesIO
from typing import Self

from relais.archive import ingest
from relais.dicom import part10
from relais.dicom.origin import Channel
from relais.dicomweb import media_types
from relais.dicomweb.media_types import DICOM
from relais.dicomweb.multipart import Event, PartBegins, PartData, PartEnds
from relais.dicomweb.store_response import MISMATCHED, Result
from relais.errors import Internal, NodeError, UnsupportedMedia
from relais.telemetry import metrics
from relais.telemetry.line import fields
from relais.web.door import Door, origin

START_BYTES = 64 * 1024  # of a part, kept to tell which instance it was when it fails
FINISHERS = 8  # parts of all requests of a process that are made durable at the same time, but for each one's last
MAX_FINISHING = 4  # parts of one request that are made durable at the same time; the next one waits for the first
ENCODINGS = frozenset({"", "binary", "8bit", "7bit"})  # Content-Transfer-Encodings that change nothing

log = logging.getLogger(__name__)


def result_of_all(here: Door, chunks: Iterable[bytes], study: str | None) -> Iterator[Result]:
    """What became of the one instance that *chunks* are."""
    with _Incoming(here, {}, study) as incoming:
        for chunk in chunks:
            incoming.write(chunk)
        yield incoming.finish()


def results(here: Door, events: Iterable[Event], study: str | None) -> Iterator[Result]:
    """What became of each part, in their order. While one is made durable the next ones arrive.

    Raises what was wrong with the body behind the results of the parts that were complete before.
    """
    last: _Incoming | None = None  # the only one of most requests, which needs no other thread
    broken: Exception | None = None
    waiting: deque[Future[Result]] = deque()
    try:
        for incoming in _complete(here, events, study):
            if last:
                waiting.append(_finishers().submit(copy_context().run, last.finish))
            last = incoming
            if len(waiting) > MAX_FINISHING:
                yield waiting.popleft().result()
    except Exception as error:
        broken = error
    yield from (one.result() for one in waiting)
    if last:
        yield last.finish()
    if broken:
        raise broken


@cache
def _finishers() -> ThreadPoolExecutor:
    """The threads that make parts durable, of all requests of this process; started when they are first needed."""
    return ThreadPoolExecutor(FINISHERS, "store")


def _complete(here: Door, events: Iterable[Event], study: str | None) -> Iterator["_Incoming"]:
    """Each part, once all of it is here. What breaks off leaves no trace."""
    incoming: _Incoming | None = None
    try:
        for event in events:
            match event:
                case PartBegins(headers):
                    incoming = _Incoming(here, headers, study)
                case PartData(data) if incoming:
                    incoming.write(data)
                case PartEnds() if incoming:
                    complete, incoming = incoming, None
                    yield complete
    finally:
        if incoming:
            incoming.leave()


def refused(sop_class_uid: str, sop_instance_uid: str, failure: NodeError) -> Result:
    """The result of an instance that is not kept, told to the operator too.

    A failure holds on to all that was on the stack when it was raised, and a request may have thousands: that goes.
    """
    failure.__traceback__ = failure.__cause__ = failure.__context__ = None
    metrics.store(Channel.WEB, "refused")
    log.warning(fields(event="refused", sop_instance_uid=sop_instance_uid, error=failure.message))
    return Result(sop_class_uid, sop_instance_uid, failure=failure)


def failure_of(error: Exception) -> NodeError:
    """What to tell of *error*. One that nobody foresaw is logged, and costs no more than the instance it is about."""
    if isinstance(error, NodeError):
        return error
    log.error(fields(event="store failed", error=type(error).__name__), exc_info=error)
    return Internal()


def kept(here: Door, stored: ingest.Stored, reason: int | None = None) -> Result:
    """The result of an instance that is kept; *reason* is its Warning Reason, where that is not one of its own."""
    if stored.lacks_pixels:
        reason = MISMATCHED  # of several the one that the user agent should look at (PS3.18 table I.2-1)
    url = here.url(stored.ref)
    uid = stored.ref.sop_instance_uid
    return Result(stored.sop_class_uid, uid, url, warning_reason=reason, warnings=stored.warnings)


class _Incoming:
    """One part on its way into the archive. What goes wrong with it is its result and leaves the others alone."""

    def __init__(self, here: Door, headers: Mapping[str, str], study: str | None) -> None:
        self._here = here
        self._start = bytearray()
        self._failure: NodeError | None = None
        self._receiving: ingest.Part10Receiving | None = None
        try:
            check_part(headers, DICOM)
            self._receiving = ingest.receive_part10(here.archive, origin(), study)
        except NodeError as error:
            self._failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leave()

    def write(self, data: bytes | memoryview) -> None:
        """Take the next piece of the part, or let it pass if the part has failed."""
        if len(self._start) < START_BYTES:
            self._start += data[: START_BYTES - len(self._start)]
        if self._receiving and not self._failure:
            try:
                self._receiving.write(data)
            except NodeError as error:
                self._failure = error

    def finish(self) -> Result:
        """What became of the part, now that it is complete."""
        try:
            if self._receiving and not self._failure:
                return kept(self._here, self._receiving.finish())
        except Exception as error:
            self._failure = failure_of(error)
        finally:
            self.leave()
        assert self._failure
        return refused(*self._announced(), self._failure)

    def leave(self) -> None:
        """Leave no trace of a part that was not finished."""
        if self._receiving:
            self._receiving.__exit__(None, None, None)

    def _announced(self) -> tuple[str, str]:
        """SOP Class and Instance UID of the File Meta Information, "" where it cannot be read."""
        try:
            meta, _ = part10.read_head(BytesIO(self._start).read)
        except NodeError:
            return "", ""
        return meta.sop_class_uid, meta.sop_instance_uid


def check_part(headers: Mapping[str, str], *essences: str) -> None:
    """Raise UnsupportedMedia for a part that is compressed or encoded, or of a type other than *essences*."""
    essence = media_types.parse_media_type(headers.get("content-type", DICOM)).essence
    if essences and essence not in essences:
        raise UnsupportedMedia(f"A part of type {essence} is not taken; instances are {DICOM}.")
    encoding = headers.get("content-transfer-encoding", "").lower()
    if encoding not in ENCODINGS or headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("A part must not be encoded or compressed.")
