"""The one place that reads conf/relais.toml and the environment, once, into one frozen Config.

Each section's settings class stands beside the part that it configures; the parts never import this room.
Precedence: the environment (`RELAIS_<SECTION>__<KEY>`, or `..._FILE` naming a file that holds the value), then the
file, then the default. Whatever is unknown or out of range stops the start, with a sentence for each problem: where
it was written, its key, and what was expected.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from cattrs import ClassValidationError

from relais.access.policy import Mode
from relais.config import written as written_down
from relais.config.convert import converter, explained
from relais.config.masking import masked, shown, without_secrets
from relais.config.settings import AccessSettings, Config, LogLevel, NodeSettings, address, is_loopback
from relais.config.written import LISTS, Written
from relais.dimse.settings import DimseSettings
from relais.peers.settings import PeerSettings
from relais.peers.tls import ClientCertificate

__all__ = [
    "AccessSettings",
    "Config",
    "ConfigError",
    "Loaded",
    "LogLevel",
    "NodeSettings",
    "address",
    "described",
    "from_json",
    "load",
    "masked",
    "not_heeded",
    "to_json",
]

DEFAULT_FILE = Path("conf/relais.toml")
SECTIONS: dict[str, Any] = {f.name: f.type for f in fields(Config)}


class ConfigError(Exception):
    """The configuration cannot be used. *problems* holds one sentence each, the text all of them, one per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Loaded:
    """A Config and, for each section and key that was written down, where. *file* is None where none was read."""

    config: Config
    sources: Mapping[tuple[str, str], str]
    file: Path | None


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read *path* (default conf/relais.toml where it exists) and *environ*. Raises ConfigError with every problem."""
    written = Written(SECTIONS)
    file = path or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    if file is not None:
        written.read_file(file)
    written.read_environment(environ)
    config = _structured(written)
    return Loaded(config, written.sources, file)


def not_heeded(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A sentence for each variable of *environ* that is named like a setting and is none."""
    return written_down.not_heeded(environ, SECTIONS)


def to_json(config: Config) -> str:
    """*config*, secrets included, for a process that this one starts."""
    return json.dumps(converter.unstructure(config))


def from_json(text: str) -> Config:
    """What `to_json` was given."""
    return converter.structure(json.loads(text), Config)


def described(loaded: Loaded) -> Iterator[tuple[str, str, object, str]]:
    """Section, key, effective value with secrets masked, and where it was written, of every setting."""
    plain = converter.unstructure(loaded.config)
    for section, kind in SECTIONS.items():
        if section not in LISTS:
            for key, value in plain[section].items():
                yield section, key, shown(kind, key, value), loaded.sources.get((section, key), "default")
    for section in LISTS:
        for number, one in enumerate(plain[section], 1):
            is_told = (f"{section} {number}", "") in loaded.sources  # not of those that are written in one line
            for key, value in one.items():
                source = loaded.sources.get((f"{section} {number}", key), "default" if is_told else str(loaded.file))
                yield f"{section} {one['name']}", key, shown(_kind(section), key, value), source


def _structured(written: Written) -> Config:
    """The Config that *written* means. Raises ConfigError with every problem of *written* and with its own."""
    problems = written.problems
    parts: dict[str, Any] = {section: _list(written, section) for section in LISTS}
    parts["node"] = node = _section(written, "node", {}) or NodeSettings()
    data_dir = node.data_dir.expanduser().absolute()
    parts["node"] = replace(node, data_dir=data_dir)
    derived = {
        "index": {"url": f"sqlite:///{data_dir}/index.sqlite"},
        "storage": {"url": f"file://{quote(str(data_dir))}/objects", "spool_dir": f"{data_dir}/spool"},
        "archive": {"cache_dir": f"{data_dir}/cache", "deidentify_key_file": f"{data_dir}/deidentify.key"},
    }
    for section in SECTIONS:
        if section not in parts:
            parts[section] = _section(written, section, derived.get(section, {}))
    if not problems:
        parts["peers"] = tuple(_as_the_door(peer, parts["dimse"]) for peer in parts["peers"])
        config = Config(**parts)
        problems += _contradictions(config)
    if problems:
        raise ConfigError(problems)
    return config


def _section(written: Written, section: str, derived: Mapping[str, str]) -> Any:
    """The settings of *section*; None, and its problems noted, where they cannot be used."""
    kind, raw = SECTIONS[section], written.values.get(section, {})
    try:
        return converter.structure({**derived, **raw}, kind)
    except ClassValidationError as exc:
        for key, explanation in explained(exc, kind):
            what = without_secrets(explanation.removeprefix(f"[{section}] "), kind, raw)
            named = key or what.split(" ", 1)[0]  # most sentences of settings classes begin with the key
            source = written.sources.get((section, named)) or written.sources.get((section, ""))
            place = f"{source}: [{section}]" if source else f"[{section}]"
            written.problems.append(f"{place} {key}: {what}" if key else f"{place} {what}")
        return None


def _list(written: Written, section: str) -> tuple[Any, ...]:
    """What stands in the sections of that name; the problems of those that cannot be used are noted."""
    kind, found = _kind(section), []
    for number, raw in enumerate(written.values.get(section, []), 1):
        try:
            found.append(converter.structure(raw, kind))
        except ClassValidationError as exc:
            for key, explanation in explained(exc, kind):
                what = without_secrets(explanation, kind, raw)
                place = f"{_place(written, section, number, key)}: [[{section}]] {raw.get('name', f'number {number}')}"
                written.problems.append(f"{place}: {key}: {what}" if key else f"{place}: {what}")
    return tuple(found)


def _place(written: Written, section: str, number: int, key: str) -> str:
    """Where *key* of the section *number* of that name was written, or else that section, or else the first."""
    places = ((f"{section} {number}", key), (f"{section} {number}", ""), (section, ""))
    return next(written.sources[place] for place in places if place in written.sources)


def _kind(section: str) -> Any:
    """The settings class of each of a list."""
    return get_args(SECTIONS[section])[0]


def _as_the_door(peer: PeerSettings, dimse: DimseSettings) -> PeerSettings:
    """*peer*, called over TLS with what the DIMSE door has, where its own is not given."""
    if not peer.tls:
        return peer
    own = (peer.tls_certificate, peer.tls_key) if peer.tls_certificate else (dimse.tls_certificate, dimse.tls_key)
    return replace(peer, tls_certificate=own[0], tls_key=own[1], tls_ca=peer.tls_ca or dimse.tls_ca)


def _contradictions(config: Config) -> Iterator[str]:
    """What is wrong between sections that are right in themselves."""
    for section, host in (("dimse", config.dimse.host), ("web", config.web.host)):
        if config.access.mode is Mode.OPEN_LOOPBACK and not is_loopback(host):
            yield (
                f'[{section}] host "{host}" can be reached from other machines, and [access] mode "open-loopback" lets '
                f'everybody in: set [access] mode = "enforced", or [{section}] host = "127.0.0.1"'
            )
    if config.dimse.port == config.web.port != 0:
        yield f"[dimse] port and [web] port are both {config.web.port}: two doors need two ports"
    yield from _contradictions_of_peers(config)


def _contradictions_of_peers(config: Config) -> Iterator[str]:
    names = [peer.name for peer in config.peers]
    called = [peer.name for peer in config.peers if peer.is_dimse]
    for peer in config.peers:
        if unknown := [name for name in peer.move_to if name not in called]:
            yield f"[[peers]] {peer.name}: move_to names {', '.join(unknown)}, but there is no such peer"
        if peer.certificates and config.dimse.tls_client is ClientCertificate.NONE:
            yield (
                f"[[peers]] {peer.name}: certificates are given, but callers show none: "
                'set [dimse] tls_client = "optional" or "required"'
            )
    for token in config.tokens:
        if token.certificates and not config.web.certificate_field:
            yield (
                f"[[tokens]] {token.name}: certificates are given, but nobody tells of them: "
                "set [web] proxies and certificate_field"
            )
    titles = [peer.ae_title for peer in config.peers if peer.is_dimse]
    yield from _given_twice("peers", names)
    yield from _given_twice("peers", titles, "AE title, by which they are told apart,")
    yield from _given_twice("tokens", [token.name for token in config.tokens])


def _given_twice(section: str, names: Sequence[str], what: str = "name") -> Iterator[str]:
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f"[[{section}]] {name}: this {what} is given to {names.count(name)} {section}"
