"""Where an instance lies in the store: ref -> key. Knows no store and no files.

`ab/<Study Instance UID>/<Series Instance UID>/<SOP Instance UID>.<token>.dcm`: two hex digits of a hash spread the
studies over 256 folders, a person finds the rest by its UIDs, and a token that is new with every store keeps bytes from
ever being overwritten that a row may still name (docs/decisions/0002-storage-layout.md).
"""

import os
import re
from functools import lru_cache
from hashlib import sha256
from itertools import count
from random import Random

from relais.dicom import uids
from relais.dicom.refs import InstanceRef
from relais.errors import InvalidRequest

_UID = r"[0-9]+(?:\.[0-9]+)*"
_KEY = re.compile(rf"[0-9a-f]{{2}}/{_UID}/{_UID}/{_UID}\.[0-9a-f]{{8}}\.dcm")
_random = Random()  # noqa: S311 - names must be unlike, not secret; asking the system each time costs the interpreter's lock
_tokens: list["count[int]"] = []


def _begin() -> None:
    """Be unlike every other process."""
    _random.seed()
    _tokens[:] = [count(_random.getrandbits(32))]


_begin()
os.register_at_fork(after_in_child=_begin)
MAX_KEY_LENGTH = 2 + 1 + 64 + 1 + 64 + 1 + 64 + 13


def fresh_token() -> str:
    """Eight hex digits that make a key new although its instance is not: random for a process, then counted up.

    What is stored together has tokens that follow each other, which takes little room in the index.
    """
    return f"{next(_tokens[0]) % 2**32:08x}"


def random_hex(digits: int) -> str:
    """That many hexadecimal digits, unlike all others with the odds that their number gives."""
    return f"{_random.getrandbits(4 * digits):0{digits}x}"


def instance_key(ref: InstanceRef, token: str) -> str:
    """The key of one stored version of *ref*. Raises InvalidRequest if a UID of *ref* is not one (PS3.5 9.1)."""
    folder = _folder(ref.study_instance_uid, ref.series_instance_uid)
    instance = uids.require(ref.sop_instance_uid, "SOP Instance UID")
    return require_key(f"{folder}/{instance}.{token}.dcm")


@lru_cache(maxsize=256)  # the instances of a series come together
def _folder(study_instance_uid: str, series_instance_uid: str) -> str:
    study = uids.require(study_instance_uid, "Study Instance UID")
    series = uids.require(series_instance_uid, "Series Instance UID")
    return f"{sha256(study.encode('ascii')).hexdigest()[:2]}/{study}/{series}"


def study_folder(key: str) -> str:
    """The folder that holds the whole study of *key*: its first two segments."""
    return "/".join(key.split("/")[:2])


def series_folder(key: str) -> str:
    """The folder that holds the whole series of *key*."""
    return key.rpartition("/")[0]


@lru_cache(maxsize=4096)  # each is asked about twice on its way in, and for each frame on its way out
def is_key(text: str) -> bool:
    """Whether *text* looks like a key: nothing else is ever turned into a path."""
    return len(text) <= MAX_KEY_LENGTH and _KEY.fullmatch(text) is not None


def require_key(key: str) -> str:
    """*key* itself. Raises InvalidRequest if it is none."""
    if not is_key(key):
        raise InvalidRequest("This is not a storage key.")
    return key
