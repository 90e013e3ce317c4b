"""Bytes under keys, kept safe. Knows nothing of DICOM but the key."""

from pathlib import Path

from relais.storage.base import ObjectStore
from relais.storage.local import LocalStore
from relais.storage.settings import StorageSettings


def open_store(settings: StorageSettings, data_dir: Path = Path("data")) -> ObjectStore:
    """The store that *settings* name, made if it is not there yet. Raises OutOfResources if that fails."""
    if settings.is_s3:
        from relais.storage.s3.store import open_s3_store  # noqa: PLC0415 - an optional extra

        return open_s3_store(settings, data_dir)
    return LocalStore(settings.root(data_dir), journal_bytes=settings.journal_mb * 1024 * 1024)
