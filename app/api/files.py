"""`/files/`: pictures, where storage is the local folder. Whoever has the link may look, as with a bucket's links."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import IO

from flask import Blueprint, Response, request, send_file

from app.api.http import services
from app.api.http.access import open_to_all
from app.api.http.limits import hold_download
from app.clients.storage import LocalStorage
from app.domain.errors import NotFound
from app.pictures.inspect import EXTENSIONS

blueprint = Blueprint("files", __name__)

TYPES = {extension: content_type for content_type, extension in EXTENSIONS.items()}


@blueprint.get("/files/<path:key>")
@open_to_all
def file(key: str) -> Response:
    """Serve one picture: its right type, cached for good since a key's content never changes."""
    storage = services().storage
    content_type = TYPES.get(key.rpartition(".")[2])
    if not isinstance(storage, LocalStorage) or content_type is None:
        raise NotFound("No such file")
    hold_download()
    # Behind an address of the operator's for pictures, caches in between may keep what they see.
    audience = "public" if services().settings.public_asset_url else "private"
    return sent(storage.open(key), content_type, audience=audience, name=key.rpartition("/")[2])


def sent_archive(name: str, pieces: Iterator[bytes]) -> Response:
    """Return the download of a zip file. Its first piece is made before anything is answered: what fails there gets its error body."""
    hold_download()
    first = next(pieces)
    response = Response(chain([first], pieces), content_type="application/zip")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.zip"'
    response.headers["X-Accel-Buffering"] = "no"
    return response


def sent(body: IO[bytes], content_type: str, *, audience: str, name: str | None = None, attachment: bool = False) -> Response:
    """Return the answer that is a stored file; `audience` is whose caches may keep it, for good: what a link shows never changes."""
    response = send_file(body, mimetype=content_type, conditional=False, download_name=name, as_attachment=attachment)
    response.headers["Cache-Control"] = f"{audience}, max-age=31536000, immutable"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    if name and not attachment:
        response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    response.content_length = body.seek(0, 2)
    body.seek(0)
    return response.make_conditional(request, accept_ranges=True, complete_length=response.content_length)  # type: ignore[return-value]
