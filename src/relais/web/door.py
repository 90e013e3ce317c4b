"""What every view of this door needs: archive, caller, absolute URLs, negotiation. Knows Flask, no transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Semaphore

from flask import Flask, current_app, request

from relais.access.principals import Principal, of_environment
from relais.archive import Archive
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import Ref
from relais.dicomweb import media_types, params, paths
from relais.dicomweb.media_types import MediaRange
from relais.web.kept import Kept
from relais.web.settings import WebSettings
from relais.web.validators import Validators

ROOT = "/dicom-web"
API = "/api"

Checks = Mapping[str, Callable[[], str | None]]
"""By the name of a part: returns if it does its work, with a sentence if not all is as it should be, else raises."""

_EXTENSION = "relais.web"


@dataclass(frozen=True, slots=True)
class Door:
    """*public_url* is the base of every absolute URL, without a slash at its end. *checks* say whether we are ready.

    *kept* holds ready metadata, *uploads* is held by each upload while it lasts, *waiters* by each request that
    waits for something to happen. *validators* makes those of what is answered out of the index.
    """

    archive: Archive
    settings: WebSettings
    public_url: str
    checks: Checks
    kept: Kept
    uploads: Semaphore
    waiters: Semaphore
    validators: Validators

    @property
    def service(self) -> str:
        """The base URL of DICOMweb."""
        return self.public_url + ROOT

    def url(self, ref: Ref) -> str:
        """Where *ref* is retrieved."""
        return f"{self.service}/{paths.format_ref(ref)}"


def install(app: Flask, door: Door) -> None:
    """Make *door* the one that the views of *app* use."""
    app.extensions[_EXTENSION] = door


def door() -> Door:
    """The door that the current request came through."""
    found: Door = current_app.extensions[_EXTENSION]
    return found


def principal() -> Principal:
    """Who asks."""
    return of_environment(request.environ)


def origin() -> Origin:
    """Who brings."""
    who = principal()
    return Origin(Channel.WEB, address=who.address, user=who.name, proofs=who.proofs)


def query_string() -> str:
    """The query string as it came, percent-encoded."""
    return request.query_string.decode("latin-1")


def query_parameters() -> dict[str, str]:
    """The query parameters of a resource where none may be repeated. InvalidRequest if one is."""
    return params.one_of_each(query_string())


def acceptable() -> tuple[MediaRange, ...]:
    """What the user agent accepts, by query parameter or header field. InvalidRequest if that cannot be parsed."""
    asked = "accept=" in query_string()
    values = [value for name, value in params.parameters(query_string()) if name == "accept"] if asked else []
    return media_types.acceptable(request.headers.get("Accept", ""), ",".join(values))
