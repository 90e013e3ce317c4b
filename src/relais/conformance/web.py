"""The chapter of web services: resources, media types, parameters and statuses. Knows what the web door describes."""

from collections.abc import Iterator

from relais.config import Config
from relais.conformance.document import Section, Table
from relais.dicomweb import params
from relais.web import errors
from relais.web.app import routed
from relais.web.capabilities import OURS, Transaction, kinds, transactions
from relais.web.door import ROOT


def overview() -> Iterator[tuple[str, str, str]]:
    """Services, and whether we are user agent or origin server of them."""
    clauses = {kinds()[one.kind].clause for one in transactions(routed())}
    names = {"10.4": "Retrieve", "10.5": "Store", "10.6": "Search"}
    for clause in sorted(clauses - {OURS}):
        yield f"Studies Service, {names[clause]} (PS3.18 {clause})", "no", "yes"
    yield "Deletion by DELETE, where `[access] delete` is on (an extension)", "no", "yes"
    yield "Retrieve Capabilities (PS3.18 8.9)", "no", "yes"
    yield "WADO-URI (PS3.18 9)", "no", "yes"
    yield "Worklist Service (PS3.18 11)", "no", "no"


def sections(config: Config) -> tuple[Section, ...]:
    """What a user agent may ask for."""
    return (_resources(config), _parameters(config), _statuses())


def _resources(config: Config) -> Section:
    rows = tuple(_row(one) for one in transactions(routed()))
    return Section(
        "Resources",
        (
            f"Below `{config.public_url}{ROOT}`; an OPTIONS request there describes them in WADL or JSON. HEAD is "
            "answered wherever GET is. `/patients` is an extension. WADO-URI is at `/wado`.",
            Table(("Method", "Resource", "PS3.18", "Takes", "Makes", "Statuses"), rows),
        ),
    )


def _row(one: Transaction) -> tuple[str, ...]:
    method = one.method
    statuses = ", ".join(map(str, (*method.statuses, *method.failures)))
    clause = kinds()[one.kind].clause
    return method.name, f"/{one.template}", clause, "; ".join(method.takes), "; ".join(method.makes), statuses


def _parameters(config: Config) -> Section:
    return Section(
        "Parameters of the Search transaction",
        (
            "Every attribute of the table of attributes is a matching key where it is matched there; any other "
            "attribute, and what is none, is told in a Warning and narrows nothing. Keys are keywords, "
            "tags, or paths of them into sequences. The answer is an empty list where nothing matches.",
            Table(
                ("Parameter", "Meaning here"),
                (
                    ("limit", f"at most {config.web.max_results}, which is the default; a Warning tells of more"),
                    ("offset", f"at most {params.MAX_OFFSET}"),
                    (
                        "includefield",
                        "keywords or tags, repeated or listed, or `all`: what the table of attributes has at the level "
                        "and above; of instances anything in their metadata but Specific Character Set, up to 1000 of "
                        "them, for who may retrieve them, which is recorded. Nothing of a lower level is returned; a "
                        "Warning names what else is not",
                    ),
                    ("fuzzymatching", "supported: words of names by their beginnings, in any order; not by sound"),
                    ("emptyvaluematching", "supported"),
                    ("multiplevaluematching", "supported; without it any of several values may match"),
                    ("accept", "as the Accept header field, which it overrides"),
                ),
            ),
        ),
    )


def _statuses() -> Section:
    rows = tuple((str(code), kind, sentence) for code, kind, sentence in errors.table())
    return Section("Statuses of failures", (Table(("Status", "Kind", "Said by default"), rows),))
