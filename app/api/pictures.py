"""Generated pictures: one with what made it, made small, and by links that open without a credential."""

from __future__ import annotations

from typing import IO, Any

from flask import Blueprint, Response, request

from app.api.files import TYPES, sent, sent_archive
from app.api.http import examples, paging, services
from app.api.http.access import needs, open_to_all
from app.api.http.auth import caller
from app.api.http.limits import hold_download
from app.api.http.requests import ApiBlueprint
from app.api.jobs import filter_of
from app.api.schemas import pictures as schemas
from app.domain.api_key import Scope
from app.domain.errors import NotFound
from app.pictures.thumbnail import CONTENT_TYPE, SIZES
from app.services.pictures.finding import Picture
from app.services.pictures.links import Look

blueprint = ApiBlueprint("pictures", __name__, url_prefix="/api/images", description="Generated pictures")
links = Blueprint("picture_links", __name__)
#: As long as an id is: other words at this place are other routes.
IMAGE = "/<string(length=36):image_id>"


@blueprint.get("")
@needs(Scope.READ)
@blueprint.arguments(schemas.GalleryQuery, location="query")
@blueprint.response(200, schemas.GalleryAnswer)
@blueprint.errors(400, 401, 403)
def list_pictures(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List the pictures of completed jobs, newest first, page by page, with the filters of `GET /api/jobs`."""
    wanted = filter_of(query)
    page = services().gallery.page(wanted, cursor=paging.picture_position_of(query["cursor"], wanted), limit=query["limit"])
    cursor = paging.picture_cursor_of(page.next, wanted)
    return {"images": page.pictures, "cursor": cursor}, paging.links(cursor)


@blueprint.get(IMAGE)
@needs(Scope.READ)
@blueprint.response(200, schemas.GeneratedPicture)
@blueprint.errors(401, 403, 404, 410)
def show_picture(image_id: str) -> Picture:
    """Show one picture with all that made it: model, prompt, options, seed, cost."""
    return services().pictures.get(image_id, user_id=caller().sees)


@blueprint.get(f"{IMAGE}/thumbnail")
@needs(Scope.READ)
@blueprint.arguments(schemas.ThumbnailQuery, location="query")
@blueprint.doc(responses=schemas.THUMBNAIL_ANSWERS)
@blueprint.errors(400, 401, 403, 404, 410, 503)
def show_thumbnail(query: dict[str, Any], image_id: str) -> Response:
    """Show a picture made small, as WebP: made when it is first asked for, and kept. One that cannot be made small is shown as it is."""
    return _thumbnail(services().pictures.get(image_id, user_id=caller().sees).image.key, query["size"])


@blueprint.post("/archive")
@needs(Scope.READ)
@blueprint.arguments(schemas.ArchiveBody, examples=examples.ARCHIVE)
@blueprint.doc(responses=schemas.ARCHIVE_ANSWERS)
@blueprint.errors(400, 401, 403, 404, 410, 503)
def archive_pictures(body: dict[str, Any]) -> Response:
    """Fetch pictures as one zip file, named as `downloadUrl` names them."""
    ids = [str(image_id) for image_id in body["image_ids"]]
    return sent_archive("pictures", services().archives.of_pictures(ids, user_id=caller().sees))


@links.get("/pictures/<look>/<path:key>")
@open_to_all
def open_link(look: str, key: str) -> Response:
    """Open a link that an answer gave: `thumbnailUrl` or `downloadUrl`."""
    if look not in set(Look):
        raise NotFound("No such link")
    expires, signature = request.args.get("expires", 0, int), request.args.get("signature", "")
    services().links.check(Look(look), key, expires=expires, signature=signature)
    if look == Look.DOWNLOAD:
        picture = services().pictures.of_key(key)
        return _sent(services().storage.open(key), picture.image.content_type, name=picture.file_name)
    size = request.args.get("size", SIZES[0], int)
    try:
        return _thumbnail(key, min(SIZES, key=lambda known: abs(known - size)))
    except NotFound:
        services().pictures.of_key(key)  # It tells a deleted picture's link from one that never was.
        raise


def _thumbnail(key: str, size: int) -> Response:
    small = services().thumbnails.of(key, size)
    if small is not None:
        return _sent(small, CONTENT_TYPE)
    return _sent(services().storage.open(key), TYPES[key.rpartition(".")[2]])


def _sent(body: IO[bytes], content_type: str, *, name: str | None = None) -> Response:
    hold_download()
    return sent(body, content_type, audience="private", name=name, attachment=name is not None)
