"""What every page needs: the archive, the facts, who asks, what time it is. Knows Flask, no page."""

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app, request

from relais.access.principals import Principal, of_environment
from relais.archive import Archive
from relais.ui.facts import NodeFacts

_EXTENSION = "relais.ui"


@dataclass(frozen=True, slots=True)
class Pages:
    """What install() was given."""

    archive: Archive
    facts: NodeFacts


def put(pages: Pages) -> dict[str, Pages]:
    """What belongs into Flask's extensions."""
    return {_EXTENSION: pages}


def archive() -> Archive:
    """The archive that the pages show."""
    return _pages().archive


def facts() -> NodeFacts:
    """The node that the pages are on."""
    return _pages().facts


def _pages() -> Pages:
    found: Pages = current_app.extensions[_EXTENSION]
    return found


def principal() -> Principal:
    """Who asks."""
    return of_environment(request.environ)


def now() -> datetime:
    """Now, in the time zone of the node: people think in the time of their hospital."""
    return datetime.now(UTC).astimezone()
