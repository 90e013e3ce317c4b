"""What the operator may set about pixels: how many workers, and what is too much. Knows no configuration file."""

from dataclasses import dataclass

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PixelSettings:
    """Limits of decoding, each with what happens beyond it."""

    # Processes at most, per serving process. Requests beyond wait for a free one.
    workers: int = 2
    # Address space of one worker. A frame that needs more is refused.
    memory_mb: int = 2048
    # For one frame; in a whole file, between one frame and the next. A slower one is refused and its worker ended.
    timeout_s: float = 30.0
    # For a whole file.
    file_timeout_s: float = 600.0
    # Waiting for a free worker; then the caller is told to come again.
    queue_timeout_s: float = 30.0
    # A worker without work for this long is ended.
    idle_s: float = 60.0
    # Rows x Columns of one frame; a larger one is refused before it is decoded.
    max_frame_pixels: int = 64 * MEGABYTE
    # One frame, as stored and as decoded; a larger one is refused before it is decoded.
    max_frame_mb: int = 512
    # The Data Set before Pixel Data; a larger one is not rendered or transcoded.
    max_header_mb: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 256:
            raise ValueError(f"workers must be between 1 and 256, not {self.workers}")
        if self.memory_mb < 512:
            raise ValueError(f"memory_mb must be at least 512, a decoder needs that much, not {self.memory_mb}")
        for name in ("timeout_s", "file_timeout_s", "queue_timeout_s", "idle_s"):
            if not 0 < getattr(self, name) <= 86400:
                raise ValueError(f"{name} must be more than 0 and at most 86400 seconds, not {getattr(self, name)}")
        for name in ("max_frame_pixels", "max_frame_mb", "max_header_mb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def max_frame_bytes(self) -> int:
        return self.max_frame_mb * MEGABYTE

    @property
    def max_header_bytes(self) -> int:
        return self.max_header_mb * MEGABYTE
