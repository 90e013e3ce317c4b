"""What can go wrong, in the node's own words. Knows no status code: dimse.status and web.errors choose those.

    NodeError
    +-- InvalidRequest        the caller asked for something that makes no sense
    |   +-- InvalidDataSet    the bytes are not a Data Set that can be kept
    |   +-- Mismatch          the Data Set contradicts the command set, File Meta or URL it came with
    |   +-- TooSlow           it did not come in the time that was given for it
    |   +-- UnknownLength     it could break off, and nobody would see that something is missing
    +-- NotFound              nothing there (or nothing that you may see)
    |   +-- Gone              it was there and has been deleted
    +-- Forbidden             the policy says no
    +-- Conflict              another instance holds this UID
    |   +-- Unwanted          it was rejected for good and comes again
    +-- NotAcceptable         no representation fits what was asked
    +-- UnsupportedMedia      a body or Data Set of a kind that is not taken
    |   +-- UnsupportedSOPClass
    |   +-- UnsupportedTransferSyntax
    +-- TooLarge              beyond a named limit
    |   +-- TooBroad          a search that would look at too much
    +-- Unavailable           cannot be done now
    |   +-- OutOfResources    no room to make it durable
    |   +-- Nearline          its bytes lie where they cannot be read at once
    |   +-- Elsewhere         its bytes wait on another node
    +-- Internal              our fault; the text never leaves the process

The docstring of a kind is its default message.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class NodeError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None, *, tag: int | None = None) -> None:
        """*tag* is the Data Element of the request that is to blame, if one is."""
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.tag = tag

    @property
    def message(self) -> str:
        """One sentence for a person."""
        return str(self.args[0])


class InvalidRequest(NodeError):
    """The request cannot be understood."""


class InvalidDataSet(InvalidRequest):
    """The Data Set cannot be read."""


class Mismatch(InvalidRequest):
    """The Data Set does not match what was announced with it."""


class TooSlow(InvalidRequest):
    """The request did not arrive in time."""


class UnknownLength(InvalidRequest):
    """The request must say how long its body is."""


class NotFound(NodeError):
    """There is no such resource."""


class Gone(NotFound):
    """The resource has been deleted."""


class Missing(NotFound):
    """The storage does not have this now, which the archive keeps."""


class Forbidden(NodeError):
    """This is not allowed."""


class Conflict(NodeError):
    """Another instance with this SOP Instance UID is already kept."""


class Unwanted(Conflict):
    """This instance was rejected before, and is not taken again."""


class NotAcceptable(NodeError):
    """None of the acceptable representations can be made."""


class UnsupportedMedia(NodeError):
    """This kind of content is not taken."""


class UnsupportedSOPClass(UnsupportedMedia):
    """This SOP Class is not taken."""


class UnsupportedTransferSyntax(UnsupportedMedia):
    """This Transfer Syntax is not taken."""


class TooLarge(NodeError):
    """The request is larger than the limit."""


class TooBroad(TooLarge):
    """The search takes too long; ask for something narrower: a study, a patient, an accession number or a date."""


class Unavailable(NodeError):
    """This cannot be done now; try again later."""


class OutOfResources(Unavailable):
    """The instance cannot be made durable: the storage is full or refuses to write."""

    @property
    def message(self) -> str:
        """With the system's own word on it, where it was the system that refused."""
        said, why = super().message, getattr(self.__cause__, "strerror", None)
        return f"{said.removesuffix('.')} ({why})." if why and why not in said else said


@contextmanager
def out_of_resources(message: str | None = None) -> Iterator[None]:
    """Whatever the file system refuses while something is written is an OutOfResources, with *message*."""
    try:
        yield
    except OSError as exc:
        raise OutOfResources(message) from exc


@contextmanager
def writing(path: object) -> Iterator[None]:
    """The same while the file or folder *path* is written, with a sentence that names it."""
    try:
        yield
    except OSError as exc:
        raise OutOfResources(f"{path} cannot be written: {exc.strerror}.") from exc


class Nearline(Unavailable):
    """The instance lies in slow storage and has to be fetched from there before it can be read."""


class Elsewhere(Unavailable):
    """The instance waits on another node, until the object store takes it."""


class Internal(NodeError):
    """Something went wrong inside the node."""
