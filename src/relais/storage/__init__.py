"""Bytes under keys, kept safe. Knows nothing of DICOM but the key."""

from importlib.util import find_spec
from pathlib import Path

from relais.errors import Unavailable
from relais.storage.base import ObjectStore
from relais.storage.local import LocalStore
from relais.storage.settings import StorageSettings
from relais.storage.spooling import Register


def require_client(settings: StorageSettings) -> None:
    """Raise Unavailable if the store that *settings* name needs a client that is not installed. Loads nothing."""
    if settings.is_s3 and find_spec("botocore") is None:
        raise Unavailable("Objects in S3 need botocore: pip install 'relais[s3]'.")


def open_store(
    settings: StorageSettings, data_dir: Path = Path("data"), register: Register | None = None
) -> ObjectStore:
    """The store that *settings* name, made if it is not there yet. *register* is what its nodes share.

    Raises OutOfResources if it cannot be made, Unavailable if its client is not installed.
    """
    if settings.is_s3:
        require_client(settings)
        from relais.storage.s3.store import open_s3_store  # noqa: PLC0415 - an optional extra

        return open_s3_store(settings, data_dir, register)
    root, journal_bytes = settings.root(data_dir), settings.journal_mb * 1024 * 1024
    return LocalStore(root, journal_bytes=journal_bytes, direct_bytes=settings.direct_kb * 1024)
