"""What an operator may decide about the web door. Knows values, not where they were written down."""

import re
from dataclasses import dataclass

_ORIGIN = re.compile(r"https?://[^/?#\s]+")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """*workers* processes with at most *threads* threads each: a stalled client holds one thread. Uploads hold at most
    three quarters of them; one more is told to come again later.

    *cors_origins* are the web pages of other origins that may read from here, like "https://viewer.example.org";
    "*" means any, but never with credentials. *max_results* is the most that one search answers: a larger limit, or
    none, means this many, and the answer says that there are more. *max_body_bytes* bounds the body of one request;
    beyond it, 413. One that brings fewer than *min_upload_rate* bytes a second for some half a minute is cut off, 408.
    A client that takes nothing of its answer for *stall_timeout_s* is cut off too.
    Up to *drain_bytes* of a refused body are still read, so that its sender sees the answer.
    *kept_bytes* of ready metadata are kept in the memory of each worker; what was not asked for longest goes first.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    threads: int = 128
    cors_origins: tuple[str, ...] = ()
    max_results: int = 10_000
    max_body_bytes: int = 64 * 1024**3
    min_upload_rate: int = 8192
    stall_timeout_s: float = 60.0
    drain_bytes: int = 16 * 1024**2
    kept_bytes: int = 64 * 1024**2

    @property
    def uploads(self) -> int:
        """How many uploads one worker takes at a time."""
        return max(1, self.threads * 3 // 4)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535),
            ("workers", 1, 64),
            ("threads", 1, 1024),
            ("max_results", 1, 1_000_000),
            ("max_body_bytes", 1024, 2**53),
            ("min_upload_rate", 1, 2**40),
            ("stall_timeout_s", 1, 3600),
            ("drain_bytes", 0, 2**53),
            ("kept_bytes", 0, 2**40),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        for origin in self.cors_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f'cors_origins must be "*" or like "https://viewer.example.org", not "{origin}"')
