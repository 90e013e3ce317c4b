from pathlib import Path

import pytest

from relais.storage import system
from relais.storage.system import FileSystem


def test_a_file_system_that_does_not_flush_is_not_relied_on() -> None:
    whole = FileSystem(Path("/proc"))
    assert not whole.sync()
    whole.close()


@pytest.mark.parametrize("release", ["5.7.19-generic", "4.19", "unknown"])
def test_a_kernel_that_does_not_tell_of_errors_is_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr(system, "_kind", lambda folder: 0xEF53)
    monkeypatch.setattr(system, "_release", lambda: system.version_of(release))
    whole = FileSystem(tmp_path)
    assert not whole.sync()
    whole.close()


def test_a_sync_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_kind", lambda folder: 0xEF53)
    monkeypatch.setattr(system, "_release", lambda: (6, 1))
    whole = FileSystem(tmp_path)
    assert whole.sync()
    whole.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        whole.sync()
