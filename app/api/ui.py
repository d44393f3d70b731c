"""The pages in `app/ui`: HTML shells, and the static files they are made of. No data: what a page shows comes from the public API."""

from __future__ import annotations

import gzip
import hashlib
import logging
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field
from flask import Blueprint, Flask, Response, current_app, request

from app.api.http import services
from app.api.http.access import open_to_all
from app.domain.errors import GatewayError, NotFound

log = logging.getLogger("http")

FOLDER = Path(__file__).resolve().parents[1] / "ui" / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Below this, packing makes an answer no smaller that a client would notice.
GZIP_FROM_BYTES = 500
#: Where a shell's text names the files of this version.
VERSION_MARK = b"{version}"
FOREVER = "public, max-age=31536000, immutable"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{pictures}; connect-src 'self'{sockets}; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

blueprint = Blueprint("ui", __name__)


@define(eq=False, slots=False, kw_only=True)
class StaticFile:
    """A file as it is sent: its bytes, the same packed, and a tag that changes with them."""

    content: bytes
    content_type: str
    tag: str = field(init=False)
    packed: bytes | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tag = hashlib.sha256(self.content).hexdigest()[:32]
        self.packed = gzip.compress(self.content, mtime=0) if len(self.content) >= GZIP_FROM_BYTES else None

    def response(self, cache_control: str) -> Response:
        """Return the file, packed where the client takes that, or that it has it already."""
        as_gzip = self.packed is not None and request.accept_encodings["gzip"] > 0
        response = Response(self.packed if as_gzip else self.content, content_type=self.content_type)
        if as_gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = cache_control
        response.set_etag(f"{self.tag}-gzip" if as_gzip else self.tag)
        return response.make_conditional(request)  # type: ignore[return-value]


class StaticFiles:
    """All files of the pages, read once. Their addresses hold a hash of them all, so browsers may keep each for good."""

    def __init__(self, folder: Path) -> None:
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in TYPES}
        told = hashlib.sha256(b"".join(name.encode() + hashlib.sha256(content).digest() for name, content in found.items()))
        self.version = told.hexdigest()[:12]
        self._files = {
            name: StaticFile(content=self._versioned(name, content), content_type=TYPES[Path(name).suffix])
            for name, content in found.items()
        }

    def file(self, name: str) -> StaticFile:
        """Raises NotFound."""
        if name not in self._files:
            raise NotFound("No such file")
        return self._files[name]

    def _versioned(self, name: str, content: bytes) -> bytes:
        return content.replace(VERSION_MARK, self.version.encode()) if name.endswith(".html") else content


def init_app(app: Flask, *, enabled: bool) -> None:
    """Serve the pages and have `/` lead to the Studio; where they are switched off, to the API's documents."""
    front = "/studio" if enabled else "/api-docs/"
    app.add_url_rule("/", "front", open_to_all(lambda: Response(status=302, headers={"Location": front}, mimetype="text/plain")))
    if enabled:
        app.extensions["ui"] = StaticFiles(FOLDER)
        app.register_blueprint(blueprint)


@blueprint.get("/studio", strict_slashes=False)
@blueprint.get("/studio/<path:_screen>")
@open_to_all
def studio(_screen: str = "") -> Response:
    """Answer the page of people who order pictures: one shell for all its screens."""
    return _shell("studio.html")


@blueprint.get("/operator", strict_slashes=False)
@blueprint.get("/operator/<path:_screen>")
@open_to_all
def operator(_screen: str = "") -> Response:
    """Answer the page of who runs the service."""
    return _shell("operator.html")


@blueprint.get("/ui/<version>/<path:name>")
@open_to_all
def static_file(version: str, name: str) -> Response:
    """Answer a file of the pages. Of another version than asked for, while machines are being upgraded, no browser may keep it."""
    files = _files()
    return files.file(name).response(FOREVER if version == files.version else "no-cache")


def _shell(name: str) -> Response:
    response = _files().file(name).response("no-cache")
    response.headers["Content-Security-Policy"] = POLICY.format(
        pictures="".join(f" {origin}" for origin in sorted(_picture_origins())), sockets=f" {_socket_origin()}"
    )
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def _files() -> StaticFiles:
    found: StaticFiles = current_app.extensions["ui"]
    return found


def _picture_origins() -> set[str]:
    """Return where links to pictures lead. A bucket's are asked of it, as each spells its own."""
    found = {services().settings.own_url, services().settings.links_url}
    try:
        found.add(services().links.url("any.png"))
    except GatewayError:
        log.warning("where the storage's links lead is not known, so pages show no pictures")
    return {_origin(url) for url in found}


def _socket_origin() -> str:
    """Return where Socket.IO is reached: browsers of before 2023 do not take it for a page's own origin."""
    return _origin(services().settings.own_url).replace("http", "ws", 1)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
