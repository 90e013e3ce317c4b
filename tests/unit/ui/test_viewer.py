"""Fetching the viewer: only the very package, fitted to live under /viewer/. Offline."""

import base64
import gzip
import hashlib
import io
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from relais.ui import viewer

FILES = {
    "package/dist/app.bundle.0f6159c501addfe9.js": b'start(); __webpack_require__.p = "/"; ' + b" " * 2000,
    "package/dist/app.bundle.css": b"@font-face{src:url(/a.woff2)} b{background:url(//x)}",
    "package/dist/manifest.json": b'{"icons":[{"src": "/assets/a.png"}]}',
    "package/dist/assets/a.png": b"png",
    "package/dist/app.bundle.js.map": b"map",
    "package/dist/ort/ort.wasm": b"wasm",
    "package/dist/sw.js": b"importScripts()",
    "package/dist/index.html": b"<html>",
    "package/src/index.js": b"source",
    "package/dist/../../evil.js": b"evil",
}


def a_package(folder: Path) -> Path:
    path = folder / "ohif-app.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("package/dist/link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command called npm that brings a package of our own making, whose integrity is the expected one."""
    package = a_package(tmp_path)
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    monkeypatch.setattr(viewer, "INTEGRITY", f"sha512-{digest}")
    command = tmp_path / "bin" / "npm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nfor last; do true; done\ncp "{package}" "$last/"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    return command


def test_the_build_is_moved_below_its_home(tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "share" / "ohif"
    assert viewer.main([str(folder)]) == 0
    assert viewer.installed(folder)
    script = folder / "app.bundle.0f6159c501addfe9.js"
    assert b'__webpack_require__.p = "/viewer/"' in script.read_bytes()
    assert gzip.decompress(script.with_name(f"{script.name}.gz").read_bytes()) == script.read_bytes()
    assert (folder / "app.bundle.css").read_bytes() == b"@font-face{src:url(/viewer/a.woff2)} b{background:url(//x)}"
    assert b'"src": "/viewer/assets/a.png"' in (folder / "manifest.json").read_bytes()


def test_only_files_of_the_build_arrive(tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "share" / "ohif"
    viewer.main([str(folder)])
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "VERSION",
        "a.png",
        "app.bundle.0f6159c501addfe9.js",
        "app.bundle.0f6159c501addfe9.js.gz",
        "app.bundle.css",
        "manifest.json",
    }
    assert not list(tmp_path.rglob("evil.js"))
    assert [path.name for path in folder.parent.iterdir()] == ["ohif"], "no leavings"


def test_another_package_is_refused(
    tmp_path: Path, npm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(viewer, "INTEGRITY", "sha512-other")
    assert viewer.main([str(tmp_path / "ohif")]) == 0
    assert "not the @ohif/app" in capsys.readouterr().err
    assert not (tmp_path / "ohif").exists()


def test_an_older_viewer_is_replaced_as_a_whole(tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "ohif"
    folder.mkdir()
    (folder / "VERSION").write_text("3.0.0")
    (folder / "old.js").write_text("old")
    assert not viewer.installed(folder)
    viewer.main([str(folder)])
    assert viewer.installed(folder)
    assert not (folder / "old.js").exists()


def test_the_same_version_is_left_alone(tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "ohif"
    viewer.main([str(folder)])
    shutil.rmtree(npm.parent)
    assert viewer.main([str(folder)]) == 0
    assert viewer.installed(folder)


def test_without_npm_the_node_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert viewer.main([str(tmp_path / "ohif")]) == 0
    assert "npm is not installed" in capsys.readouterr().err


def test_what_npm_says_is_passed_on(tmp_path: Path, npm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    npm.write_text("#!/bin/sh\necho 'npm error network unreachable' >&2\nexit 1\n")
    assert viewer.main([str(tmp_path / "ohif")]) == 0
    assert "network unreachable" in capsys.readouterr().err


def test_the_default_folder_is_beside_the_installed_package() -> None:
    assert viewer.default_folder().parts[-2:] == ("share", "ohif")
