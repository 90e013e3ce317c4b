"""A whole node inside the current process, on free ports if asked: for tests, notebooks and other programs.

It does what `relais serve` does but for the background work, without processes, signals or logging.
"""

import threading
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType

from werkzeug.serving import make_server

from relais.config import Config
from relais.node import compose, listen

DRAIN_S = 2.0


class Node:
    """Both doors over one archive. A context manager; *config* holds the ports really taken, once it is made."""

    def __init__(self, config: Config) -> None:
        with ExitStack() as undo:  # what was taken is given back if the rest fails
            self._listener = undo.enter_context(listen.listener(config.dimse.host, config.dimse.port, "dimse"))
            self.config = replace(
                config,
                dimse=replace(config.dimse, port=self._listener.getsockname()[1]),
                web=replace(config.web, port=listen.free_port(config.web.host, config.web.port, "web")),
            )
            self.archive = undo.enter_context(compose.archive_of(self.config))
            self._dimse = compose.dimse_server(self.config, self.archive)
            application = compose.web_application(self.config, self.archive)
            web = self.config.web
            self._web = make_server(web.host, web.port, application, threaded=True, ssl_context=web.tls_context)
            self._thread = threading.Thread(target=self._web.serve_forever, name="web", daemon=True)
            self._taken = undo.pop_all()  # kept: a context that is forgotten closes what it holds

    @property
    def url(self) -> str:
        """The base of the node's URLs."""
        return self.config.public_url

    def start(self) -> None:
        """Open both doors."""
        self._dimse.start(self._listener)
        self._thread.start()

    def stop(self) -> None:
        """Close both doors and the archive."""
        self._dimse.stop(DRAIN_S)
        self._web.shutdown()
        self._thread.join()
        self._web.server_close()
        self._taken.close()

    def __enter__(self) -> "Node":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
