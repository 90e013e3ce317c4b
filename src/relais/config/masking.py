"""What of a setting may be shown to whoever looks on. Knows how secrets are written into URLs, rightly and wrongly.

A URL that is wrong is what an operator shows to others to learn why: where it is not certain what of it is the
password, all that may be is masked.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

MASK = "********"
_NAME = r"[\w.%-]*(?:pass(?!file)|pwd|secret|token|signature|api_?key|scram_)[\w.%-]*"
_SECRET_PARAMETER = re.compile(rf"([?&]{_NAME}=)(?!&).*?(?=&[a-z_]{{4,}}=|$)", re.IGNORECASE | re.DOTALL)
_HOSTS = re.compile(r"(?:\[[^]]*\]|[^:,]*)(?::[\d*]*)?(?:,(?:\[[^]]*\]|[^:,]*)(?::[\d*]*)?)*")  # and their ports
_FILES = ("sqlite", "file")  # schemes of a path, in which nobody has a password


def shown(kind: Any, key: str, value: Any) -> Any:
    """*value* of *key* in a section whose settings class is *kind*: masked if it is secret, of URLs what is secret."""
    if value and is_secret(kind, key):
        return MASK
    if isinstance(value, list | tuple):
        return [shown(kind, key, one) for one in value]
    return masked(value) if isinstance(value, str) else value


def is_secret(kind: Any, key: str) -> bool:
    """Whether all of *key* is a secret."""
    return any(f.name == key and f.metadata.get("secret") for f in fields(kind))


def without_secrets(sentence: str, kind: Any, raw: Mapping[str, Any]) -> str:
    """*sentence* about a section of that *kind* in which *raw* was written down, as it may be shown."""
    for key, value in raw.items():
        if value and is_secret(kind, key):
            sentence = sentence.replace(f"not {value!r}", f"not {MASK}")
        elif isinstance(value, str) and masked(value) != value:
            sentence = sentence.replace(repr(value), repr(masked(value))).replace(value, masked(value))
    return sentence


def masked(text: str) -> str:
    """*text*; if it is a URL, without passwords: before its host, and in its query as libpq and others take them."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    rest = _SECRET_PARAMETER.sub(rf"\1{MASK}", rest)
    if scheme.lower() not in _FILES:
        rest = _without_password(rest)
    return f"{scheme}{separator}{rest}"


def _without_password(rest: str) -> str:
    """What comes behind `://`, its password masked: it may hold every character, and then ends at the last @."""
    before, at, behind = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    if at:
        return f"{user}:{MASK}@{behind}" if colon else rest
    if not _HOSTS.fullmatch(re.split("[/?#]", rest.lstrip("/"), maxsplit=1)[0]):  # as where the host was forgotten
        return f"{rest.partition(':')[0]}:{MASK}"
    return rest
