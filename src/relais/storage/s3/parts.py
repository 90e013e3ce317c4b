"""A large object on its way into a bucket, in parts, while it is still coming in. Knows parts, not who sends them."""

import logging
from collections.abc import Callable
from concurrent.futures import Future

from relais.errors import NodeError, Unavailable
from relais.storage.s3.bucket import Bucket
from relais.storage.s3.threads import Threads

PART_BYTES = 8 * 1024 * 1024  # S3 wants at least 5 MiB of every part but the last
IN_FLIGHT = 2  # parts of one object that are in memory
MAX_PARTS = 10_000  # of S3; what is larger than 78 GiB fails

log = logging.getLogger(__name__)


def is_large(size_bytes: int) -> bool:
    """Whether an object of that size goes in parts."""
    return size_bytes > PART_BYTES


class Parts:
    """The parts of the object *key*, read by *read_range* and sent by *threads*.

    Ends with `complete`, `abort` or `abandon`.
    """

    def __init__(self, bucket: Bucket, key: str, read_range: Callable[[int, int], bytes], threads: Threads) -> None:
        self.key = key
        self._bucket, self._read_range, self._threads = bucket, read_range, threads
        self._upload = bucket.begin_parts(key)
        self._sent: list[Future[str]] = []

    def send(self, size_bytes: int) -> None:
        """Send what is whole of an object of which so much has come. Waits where that is faster than the store.

        Raises what a former part met.
        """
        while is_large(size_bytes - len(self._sent) * PART_BYTES):
            self._send(PART_BYTES)

    def complete(self, size_bytes: int, *, is_new: bool = True) -> None:
        """Send the rest and make the object of it; Internal if *is_new* and there is something under the key."""
        self.send(size_bytes)
        self._send(size_bytes - len(self._sent) * PART_BYTES)
        tags = [part.result() for part in self._sent]
        if is_new:
            self._bucket.require_absent(self.key)
        self._bucket.complete(self.key, self._upload, tags, size_bytes)

    def abandon(self) -> None:
        """Send no more. The sweep has the store forget what it was sent."""
        for part in self._sent:
            part.cancel()

    def abort(self) -> None:
        """Have the store forget what it was sent. What cannot be told to it now is swept later."""
        self.abandon()
        for part in self._sent:
            if not part.cancelled():
                part.exception()
        try:
            self._bucket.abort(self.key, self._upload)
        except NodeError as exc:
            log.info("left for the sweep: parts of key=%s: %s", self.key, exc.message)

    def _send(self, length: int) -> None:
        number = len(self._sent) + 1
        if number > MAX_PARTS:
            raise Unavailable("The object store does not take so large an object.")
        if number > IN_FLIGHT:
            self._sent[-IN_FLIGHT].result()
        data = self._read_range((number - 1) * PART_BYTES, length)
        self._sent.append(self._threads.submit(self._bucket.put_part, self.key, self._upload, number, data))
