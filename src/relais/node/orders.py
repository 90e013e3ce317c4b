"""What the supervisor tells each process that it starts, on standard input: secrets stay out of arguments and files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from relais.config import Config, from_json, to_json


@dataclass(frozen=True, slots=True)
class Orders:
    """What a child must know.

    *listener_fd* is the DIMSE door's socket, which outlives the processes behind it, *seats_fd* the table of who holds
    associations there, *worker* the number of this one of them, *web_fds* the web door's sockets. *samples* is a
    folder, or "".
    """

    config: Config
    listener_fd: int | None = None
    samples: str = ""
    seats_fd: int | None = None
    worker: int = 0
    web_fds: Sequence[int] = ()

    def to_json(self) -> str:
        """Text for `read_orders`."""
        others = self.listener_fd, self.samples, self.seats_fd, self.worker, self.web_fds
        return json.dumps([to_json(self.config), *others])


def read_orders(text: str) -> Orders:
    """What `Orders.to_json` gave."""
    config, *others = json.loads(text)
    return Orders(from_json(config), *others)
