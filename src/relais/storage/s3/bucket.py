"""One bucket of an object store, and what is asked of it. Knows keys and bytes, not who decides what goes there.

1. Whatever is sent carries its MD5, which the object store compares (Content-MD5); its answer names the MD5 of what it
   has, which is compared too wherever the answer can be understood.
2. The client repeats what may succeed when repeated, waiting longer and longer, by chance, within bounds. An answer
   that is broken off is asked for again.
3. Each process makes its own connections; threads share them.
"""

import base64
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from relais.errors import Internal, InvalidRequest, NodeError, NotFound, Unavailable
from relais.storage.layout import is_key
from relais.storage.s3.failures import CHANGING, CUT_SHORT, DAMAGED_ON_THE_WAY, asking, code_of
from relais.storage.settings import StorageSettings

CONNECT_TIMEOUT_S = 3.0  # whoever does not answer by then is away
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # before an answer that was broken off is asked for again
_UNCONDITIONAL = ("NotImplemented", "501")  # what stores say that do not know `If-None-Match`

_READABLE_SOON = ("RestoreAlreadyInProgress", "ObjectAlreadyInActiveTierError", "InvalidObjectState")


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing."""

    key: str
    storage_class: str
    size_bytes: int


class Bucket:
    """The bucket and prefix that *settings* name. Nothing is asked before the first request."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._name, self._prefix = settings.bucket
        self._making = threading.Lock()
        self._made: tuple[int, Any] = (0, None)  # the client, and the process whose it is
        self._knows_conditions = True

    def prepare(self) -> None:
        """Make the client, which takes a tenth of a second."""
        _ = self._client

    def close(self) -> None:
        """Let go of all connections."""
        with self._making:
            (process, client), self._made = self._made, (0, None)
        if client is not None and process == os.getpid():
            client.close()

    def put(self, key: str, data: bytes, *, is_new: bool) -> None:
        """Keep *data* under *key*; Internal if *is_new* and there is something, unless it is the same."""
        checksum = md5(data, usedforsecurity=False)
        asked = {**self._object(key), **self._class(), "Body": data, "ContentMD5": _encoded(checksum.digest())}
        if is_new and self._knows_conditions:
            try:
                answer = self._put_new(asked)
            except _Exists:
                answer = self._written_before(key, len(data), checksum.hexdigest())
            if answer is not None:
                _compare(answer, checksum.hexdigest())
                return
        if is_new:
            self.require_absent(key)
        with asking():
            answer = self._client.put_object(**asked)
        _compare(answer, checksum.hexdigest())

    def get(self, key: str, offset: int, length: int) -> tuple[bytes, int]:
        """Up to *length* bytes, at least one, at *offset*; and the size of the whole. InvalidRequest beyond its end."""
        asked = {**self._object(key), "Range": f"bytes={offset}-{offset + length - 1}"}
        for attempt in range(1, self._settings.attempts + 1):
            with asking():
                answer = self._client.get_object(**asked)
            try:
                with answer["Body"] as body:
                    data = body.read()
            except (BotoCoreError, HTTPError, OSError) as exc:
                if attempt == self._settings.attempts:
                    raise Unavailable(CUT_SHORT) from exc
                time.sleep(_pause(attempt))
            else:
                return data, _size(answer, len(data))
        raise AssertionError("there is at least one attempt")

    def size_bytes(self, key: str) -> int:
        """How many bytes the object has."""
        return int(self._head(key)["ContentLength"])

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        with asking():
            self._client.delete_object(**self._object(key))

    def restore(self, key: str, days: int, tier: str) -> None:
        """Ask for a copy of what lies in slow storage, to be read for *days*. No error if it need not be."""
        wanted = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        with asking():
            try:
                self._client.restore_object(**self._object(key), RestoreRequest=wanted)
            except ClientError as exc:
                if code_of(exc.response) not in _READABLE_SOON:
                    raise

    def listed(self, folder: str) -> Iterator[Listed]:
        """Every object below *folder*, "" for all, in the order of their keys."""
        asked = {"Bucket": self._name, "Prefix": f"{self._prefix}{folder}/" if folder else self._prefix}
        while True:
            with asking():
                answer = self._client.list_objects_v2(**asked)
            for one in answer.get("Contents", ()):
                key = one["Key"][len(self._prefix) :]
                if is_key(key):
                    yield Listed(key, one.get("StorageClass", ""), one["Size"])
            if not answer.get("IsTruncated"):
                return
            asked["ContinuationToken"] = answer["NextContinuationToken"]

    def answers(self) -> None:
        """Return if the bucket is there and may be used, else raise Unavailable."""
        try:
            with asking():
                self._client.head_bucket(Bucket=self._name)
        except NotFound:
            raise Unavailable("The bucket of the object store does not exist.") from None

    def require_absent(self, key: str) -> None:
        """Raise Internal if there is something under *key*. That there is no bucket is seen when it is written to."""
        with suppress(NotFound), asking():
            self._client.head_object(**self._object(key))
            raise Internal("This storage key is taken.")

    def begin_parts(self, key: str) -> str:
        """Begin an object that comes in parts, and give the name of this upload."""
        with asking():
            return str(self._client.create_multipart_upload(**self._object(key), **self._class())["UploadId"])

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Part *number*, counted from 1, at least 5 MiB unless it is the last; and the tag by which to name it."""
        checksum = md5(data, usedforsecurity=False)
        asked = {**self._object(key), "UploadId": upload, "PartNumber": number}
        with asking():
            answer = self._client.upload_part(**asked, Body=data, ContentMD5=_encoded(checksum.digest()))
        _compare(answer, checksum.hexdigest())
        return str(answer["ETag"])

    def complete(self, key: str, upload: str, tags: Sequence[str], size_bytes: int) -> None:
        """Make an object of the parts with those *tags*, and see that it has so many bytes."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        try:
            with asking():
                asked = {**self._object(key), "UploadId": upload}
                self._client.complete_multipart_upload(**asked, MultipartUpload={"Parts": parts})
        except NodeError:  # perhaps it was done, and only the answer was lost
            if not self._is_there(key, size_bytes):
                raise
            return
        if not self._is_there(key, size_bytes):
            raise Unavailable(DAMAGED_ON_THE_WAY)

    def abort(self, key: str, upload: str) -> None:
        """Forget the parts of an upload."""
        with asking():
            self._client.abort_multipart_upload(**self._object(key), UploadId=upload)

    def abort_stale(self, older_than_s: float) -> int:
        """Forget the parts of all uploads that nothing was added to for so long, and give their number."""
        limit, found = datetime.now(UTC) - timedelta(seconds=older_than_s), 0
        for key, upload in list(self._uploads(limit)):
            if self._last_part(key, upload, limit) <= limit:
                self.abort(key, upload)
                found += 1
        return found

    def _uploads(self, limit: datetime) -> Iterator[tuple[str, str]]:
        """Every unfinished upload that was begun before *limit*: its key and name."""
        asked = {"Bucket": self._name, "Prefix": self._prefix}
        while True:
            with asking():
                answer = self._client.list_multipart_uploads(**asked)
            for one in answer.get("Uploads", ()):
                if one["Initiated"] <= limit:
                    yield one["Key"][len(self._prefix) :], one["UploadId"]
            if not answer.get("IsTruncated"):
                return
            asked |= {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def _last_part(self, key: str, upload: str, limit: datetime) -> datetime:
        """When something was last added to an upload; *limit* if nothing was."""
        last: datetime = limit
        asked = {**self._object(key), "UploadId": upload}
        while True:
            with asking():
                answer = self._client.list_parts(**asked)
            last = max([last, *(part["LastModified"] for part in answer.get("Parts", ()))])
            if not answer.get("IsTruncated"):
                return last
            asked["PartNumberMarker"] = answer["NextPartNumberMarker"]

    def _put_new(self, asked: dict[str, Any]) -> Any:
        """The answer to a put that never replaces; None from a store that does not know what that is."""
        with asking():
            try:
                return self._client.put_object(**asked, IfNoneMatch="*")
            except ClientError as exc:
                code = code_of(exc.response)
                if code in _UNCONDITIONAL:
                    self._knows_conditions = False
                    return None
                if code in {"PreconditionFailed", "412"}:
                    raise _Exists from exc
                raise

    def _written_before(self, key: str, size_bytes: int, checksum: str) -> Any:
        """What is known of an object that is there, put by an attempt of ours perhaps; Internal if it is another."""
        try:
            answer = self._head(key)
        except NotFound:
            raise Unavailable(CHANGING) from None
        if answer["ContentLength"] != size_bytes or _is_another(answer, checksum):
            raise Internal("This storage key is taken.")
        return answer

    def _is_there(self, key: str, size_bytes: int) -> bool:
        try:
            return self.size_bytes(key) == size_bytes
        except NotFound:
            return False

    def _head(self, key: str) -> Any:
        """What is known of the object. Raises NotFound if it is not there, Unavailable if the bucket is not."""
        try:
            with asking():
                return self._client.head_object(**self._object(key))
        except NotFound:  # an answer to HEAD has no body to say what is missing
            with_body = {**self._object(key), "Range": "bytes=0-0"}
            with asking():
                answer = self._client.get_object(**with_body)
            answer["Body"].close()
            return {**answer, "ContentLength": _size(answer, 1)}

    def _object(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def _class(self) -> dict[str, Any]:
        return {"StorageClass": self._settings.storage_class} if self._settings.storage_class else {}

    @property
    def _client(self) -> Any:
        process, client = self._made
        if process == os.getpid() and client is not None:
            return client
        with self._making:
            if self._made[0] != os.getpid():
                self._made = (os.getpid(), _client(self._settings))
            return self._made[1]


class _Exists(Exception):
    """There is something under the key."""


def _client(settings: StorageSettings) -> Any:
    config = Config(
        connect_timeout=min(CONNECT_TIMEOUT_S, settings.timeout_s),
        read_timeout=settings.timeout_s,
        max_pool_connections=settings.connections,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        s3={"addressing_style": str(settings.addressing)},
        request_checksum_calculation="when_required",  # Content-MD5 is what every store understands
        response_checksum_validation="when_required",
        tcp_keepalive=True,
    )
    with asking():
        try:
            return botocore.session.Session().create_client(
                "s3",
                region_name=settings.region or None,
                endpoint_url=settings.endpoint_url or None,
                aws_access_key_id=settings.access_key_id or None,
                aws_secret_access_key=settings.secret_access_key or None,
                config=config,
            )
        except ValueError as exc:
            raise InvalidRequest("The settings of the object store cannot be used.") from exc


def _encoded(checksum: bytes) -> str:
    return base64.b64encode(checksum).decode("ascii")


def _tag(answer: Any) -> str:
    return str(answer.get("ETag", "")).strip('"').lower()


def _compare(answer: Any, checksum: str) -> None:
    """Raise Unavailable if the *answer* names another MD5."""
    if _is_another(answer, checksum):
        raise Unavailable(DAMAGED_ON_THE_WAY)


def _is_another(answer: Any, checksum: str) -> bool:
    """Whether the *answer* names another MD5. Stores that encrypt with keys of their own name none."""
    tag = _tag(answer)
    is_md5 = len(tag) == len(checksum) and "SSEKMSKeyId" not in answer and "SSECustomerAlgorithm" not in answer
    return is_md5 and tag != checksum


def _size(answer: Any, read: int) -> int:
    """How many bytes the whole object has."""
    whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return int(whole) if whole.isdigit() else int(answer.get("ContentLength", read))


def _pause(attempt: int) -> float:
    """Seconds to wait after that many attempts: longer and longer, by chance, so that many do not come back at once."""
    return random.uniform(0, min(FIRST_PAUSE_S * 2.0**attempt, LONGEST_PAUSE_S))  # noqa: S311 - no secret
