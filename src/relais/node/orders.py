"""What the supervisor tells each process that it starts, on standard input: secrets stay out of arguments and files."""

import json
from dataclasses import dataclass

from relais.config import Config, from_json, to_json


@dataclass(frozen=True, slots=True)
class Orders:
    """What a child must know.

    *listener_fd* is the DIMSE door's socket, which outlives the processes behind it, *seats_fd* the table of who holds
    associations there, *worker* the number of this one of them. *samples* is a folder, or "".
    """

    config: Config
    listener_fd: int | None = None
    samples: str = ""
    seats_fd: int | None = None
    worker: int = 0

    def to_json(self) -> str:
        """Text for `read_orders`."""
        return json.dumps([to_json(self.config), self.listener_fd, self.samples, self.seats_fd, self.worker])


def read_orders(text: str) -> Orders:
    """What `Orders.to_json` gave."""
    config, *others = json.loads(text)
    return Orders(from_json(config), *others)
