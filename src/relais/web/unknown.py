"""Query parameters that mean nothing to the resource they were sent to: ignored, and told (PS3.18 8.3).

Searches tell theirs themselves, with keys that cannot be matched; deletions and /wado have rules of their own.
"""

from collections.abc import Iterable
from functools import lru_cache

from flask import Response, request

from relais.web import capabilities, payload

EVERYWHERE = frozenset({"accept", "charset"})  # PS3.18 8.3.3
IGNORED = "The following parameters are not known here and were ignored: {}."


def warn(response: Response) -> Response:
    """Say in *response*, if something was retrieved or stored, which parameters of the request nobody looked at."""
    if not request.query_string or request.url_rule is None or not 200 <= response.status_code < 300:
        return response
    known = _known(request.url_rule.rule, request.method)
    return name(response, () if known is None else request.args.keys() - known)


def name(response: Response, unknown: Iterable[str]) -> Response:
    """Say in *response* that these parameters are *unknown*."""
    names = sorted(filter(None, unknown))
    return payload.add_warning(response, IGNORED.format(payload.listed(names))) if names else response


@lru_cache(maxsize=256)
def _known(rule: str, method: str) -> frozenset[str] | None:
    """What the resources of *rule* heed; None where that is not for this module to say."""
    kind = capabilities.kind_of(rule, method)
    if kind is None or kind in {"search", "delete"}:
        return None
    return EVERYWHERE.union(capabilities.kinds()[kind].parameters)
