"""/viewer/: the files of the OHIF viewer, its configuration, and its page for every address below. Knows no DICOM."""

import re
from pathlib import Path

from flask import Blueprint, Response, current_app, redirect, render_template, request, send_from_directory
from werkzeug.security import safe_join
from werkzeug.wrappers import Response as AnyResponse

from relais.errors import NotFound
from relais.ui import headers, viewer
from relais.ui.context import facts

TYPES = {
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
_HASHED = re.compile(r"[0-9a-f]{16}\.(js|wasm|woff2)$")  # the build names files by their content
_CONFIGURATION = "viewer-config.js"

routes = Blueprint("viewer", __name__)


@routes.get("/viewer")
def home() -> AnyResponse:
    """Without the slash, relative addresses would lead elsewhere."""
    return redirect(viewer.HOME)


@routes.get("/viewer/")
@routes.get("/viewer/<path:path>")
def file(path: str = "") -> Response:
    """A file of the viewer, or its page: OHIF reads the address itself. Raises NotFound without a viewer."""
    folder = facts().viewer_dir
    if not viewer.installed(folder):
        raise NotFound("The OHIF viewer is not installed on this node. `make run` fetches it where there is npm.")
    if path == "app-config.js":
        return _configuration()
    return _file(folder, path) if Path(path).suffix in TYPES else _page(folder)


def _page(folder: Path) -> Response:
    bundle = next(path.name for path in sorted(folder.glob("app.bundle.*.js")))
    page = Response(render_template("viewer.html", bundle=bundle), content_type="text/html; charset=utf-8")
    return headers.protect(page, headers.VIEWER_POLICY)


def _configuration() -> Response:
    assert current_app.blueprints["ui"].static_folder is not None
    answer = send_from_directory(current_app.blueprints["ui"].static_folder, _CONFIGURATION, mimetype=TYPES[".js"])
    answer.headers["Cache-Control"] = "no-cache"
    return headers.protect(answer, headers.VIEWER_POLICY)


def _file(folder: Path, path: str) -> Response:
    """One file, squeezed where the browser takes that."""
    found = safe_join(str(folder), path)
    if found is None:
        raise NotFound
    is_squeezed = request.accept_encodings.quality("gzip") > 0 and Path(f"{found}.gz").is_file()
    answer = send_from_directory(folder, f"{path}.gz" if is_squeezed else path, mimetype=TYPES[Path(path).suffix])
    if is_squeezed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if _HASHED.search(path) else "no-cache"
    return headers.protect(answer, headers.WORKER_POLICY)
