"""Which route a path takes: found by Werkzeug once for each shape of a path, remembered from then on. Knows no routes.

Werkzeug goes through a path part by part, which takes a fifth of all that Flask does for a request. Paths of DICOMweb
differ in their UIDs and frame numbers only, each a part of its own.
"""

import re
from typing import Any

from flask import Request
from werkzeug.routing import Map, MapAdapter, Rule

_NUMBERS = re.compile(r"/([0-9][0-9.,]*)(?=/|\Z)")  # a part that is a UID, a number, or several: what a rule names

Shape = tuple[str, ...]
Known = dict[Shape, tuple[Rule, tuple[str, ...]]]
"""By method and what stands between the numbers: the rule, and the names that it gives to the numbers."""


class Adapter(MapAdapter):
    """Looks one request up in *routes*, by its path alone: no route depends on the host, and none is redirected.

    *known* is what was found before. Only a path that is its rule, but for numbers, is remembered: there are no more of
    these than rules and methods, whatever is asked for.
    """

    def __init__(self, routes: Map, request: Request, known: Known) -> None:
        super().__init__(routes, "", request.root_path, "", request.scheme, request.path, request.method)
        self._known = known

    def match(self, *args: Any, **how: Any) -> Any:
        """As Werkzeug's: the rule of the path, with the values of its names. Raises what Werkzeug raises."""
        if args or how != {"return_rule": True}:
            return super().match(*args, **how)
        pieces = _NUMBERS.split(self.path_info)
        shape, numbers = (self.default_method, *pieces[::2]), pieces[1::2]
        if found := self._known.get(shape):
            rule, names = found
            return rule, dict(zip(names, numbers, strict=True))
        rule, values = super().match(return_rule=True)
        if list(values.values()) == numbers:
            self._known[shape] = rule, tuple(values)
        return rule, values
