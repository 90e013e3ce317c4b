"""A Flask view with bytes at hand, behind the server of the web door: `python -m bench.empty_view PORT`, until ended.

Nothing is decided, looked up, read, written down or counted, so it tells how much of a figure is Relais' own, and what
no door that is made with Flask can do better.
"""

import sys
from functools import cache

from flask import Flask, Response

from relais.node.http_server import Application, serve
from relais.node.listen import listeners
from relais.web.settings import WebSettings


def application() -> Application:
    """`/COUNT` is so many bytes."""
    app = Flask("empty", static_folder=None)

    @app.get("/<int:count>")
    def view(count: int) -> Response:
        return Response(_bytes(count), content_type="application/octet-stream")

    return app


@cache
def _bytes(count: int) -> bytes:
    return bytes(count)


if __name__ == "__main__":
    settings = WebSettings(port=int(sys.argv[1]))
    with listeners(settings.host, settings.port, "web", settings.workers) as taken:
        serve(settings, application, taken)
