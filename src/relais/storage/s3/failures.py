"""What an object store answers besides success, in the node's own words. Knows S3's error codes."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from relais.errors import InvalidRequest, Missing, Nearline, NodeError, NotFound, OutOfResources, Unavailable

FAILED = "The object store has failed."
KEYS_REFUSED = "The object store refuses our keys."
TOO_MANY = "The object store asks for fewer requests."
DAMAGED_ON_THE_WAY = "What was sent to the object store arrived damaged."
CUT_SHORT = "The object store broke off its answer."
CHANGING = "The object store is still at work on an object of that key."

_OF_CODE: Mapping[str, tuple[type[NodeError], str | None]] = {
    "NoSuchKey": (Missing, None),
    "404": (Missing, None),
    "InvalidRange": (InvalidRequest, "There are not so many bytes."),
    "416": (InvalidRequest, "There are not so many bytes."),
    "InvalidObjectState": (Nearline, None),
    "NoSuchBucket": (Unavailable, "The bucket of the object store does not exist."),
    "NoSuchUpload": (Unavailable, "The object store has forgotten the upload."),
    "AccessDenied": (Unavailable, KEYS_REFUSED),
    "InvalidAccessKeyId": (Unavailable, KEYS_REFUSED),
    "SignatureDoesNotMatch": (Unavailable, KEYS_REFUSED),
    "ExpiredToken": (Unavailable, KEYS_REFUSED),
    "403": (Unavailable, KEYS_REFUSED),
    "RequestTimeTooSkewed": (Unavailable, "The clock of this machine is not that of the object store."),
    "InvalidStorageClass": (Unavailable, "The object store does not know the storage class."),
    "BadDigest": (Unavailable, DAMAGED_ON_THE_WAY),
    "InvalidDigest": (Unavailable, DAMAGED_ON_THE_WAY),
    "IncompleteBody": (Unavailable, DAMAGED_ON_THE_WAY),
    "XAmzContentSHA256Mismatch": (Unavailable, DAMAGED_ON_THE_WAY),
    "ConditionalRequestConflict": (Unavailable, CHANGING),
    "SlowDown": (Unavailable, TOO_MANY),
    "RequestLimitExceeded": (Unavailable, TOO_MANY),
    "TooManyRequests": (Unavailable, TOO_MANY),
    "429": (Unavailable, TOO_MANY),
    "QuotaExceeded": (OutOfResources, "The object store is full."),
    "InsufficientStorage": (OutOfResources, "The object store is full."),
    "507": (OutOfResources, "The object store is full."),
    "EntityTooLarge": (OutOfResources, "The object store does not take so large an object."),
}

log = logging.getLogger(__name__)


class NoAnswer(Unavailable):
    """The object store does not answer."""


@contextmanager
def asking() -> Iterator[None]:
    """Whatever the client raises while the object store is asked, as a NodeError with a sentence."""
    try:
        yield
    except ClientError as exc:
        raise of_answer(exc.response) from exc
    except (NoCredentialsError, PartialCredentialsError) as exc:
        raise Unavailable("There are no keys for the object store.") from exc
    except (BotoCoreError, ResponseParserError, HTTPError, OSError) as exc:
        log.warning("no answer of the object store: %s", exc)
        raise NoAnswer from exc


def of_answer(answer: Mapping[str, Any]) -> NodeError:
    """The error that an *answer* of the object store means."""
    code = code_of(answer)
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind, sentence = _OF_CODE.get(code) or _OF_CODE.get(str(status)) or (Unavailable, _unknown(code, status))
    if not issubclass(kind, NotFound | InvalidRequest):
        log.warning("the object store answers %s %s", status, code)
    return kind(sentence)


def code_of(answer: Mapping[str, Any]) -> str:
    """S3's word for what went wrong."""
    return str(answer.get("Error", {}).get("Code", ""))


def _unknown(code: str, status: int) -> str:
    return FAILED if status >= 500 or not code else f"The object store refuses: {code}."
