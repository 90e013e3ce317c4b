from pathlib import Path

import pytest

from relais.storage import LocalStore, StorageSettings, open_store


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/relais", "/srv/relais"),
        ("file://localhost/srv/relais", "/srv/relais"),
        ("file:///srv/with%20space", "/srv/with space"),
        ("file:objects", "objects"),
    ],
)
def test_a_file_url_names_a_folder(url: str, path: str) -> None:
    assert StorageSettings(url).root(Path("data")) == Path(path)


def test_without_a_url_objects_lie_under_the_data_folder() -> None:
    assert StorageSettings().root(Path("/srv/data")) == Path("/srv/data/objects")


@pytest.mark.parametrize(
    "url", ["gs://bucket/prefix", "/srv/relais", "file://server/share", "file://", "http://x/y", "file:///a?b=c"]
)
def test_anything_else_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"\[storage\] url must be file:///PATH or s3://BUCKET/PREFIX \(known: file, s3\)"
    ):
        StorageSettings(url)


def test_the_store_that_the_settings_name_is_opened(tmp_path: Path) -> None:
    store = open_store(StorageSettings(f"file://{tmp_path}/objects"))
    assert isinstance(store, LocalStore)
    assert (tmp_path / "objects").is_dir()
    assert isinstance(open_store(StorageSettings(), tmp_path), LocalStore)
