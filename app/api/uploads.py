"""Uploads: the pictures a user brought along, and those that were generated for it."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app.api.http import paging, services
from app.api.http.access import needs_user
from app.api.http.answers import envelope_of, enveloped
from app.api.http.auth import signed_in
from app.api.http.bodies import UnsupportedMediaType, uploaded_file
from app.api.http.requests import ApiBlueprint
from app.api.schemas import uploads as schemas
from app.domain.api_key import Scope
from app.domain.errors import FieldError, InvalidRequest
from app.services.orders.web_generation import REFERENCE_SIDES

blueprint = ApiBlueprint("uploads", __name__, url_prefix="/api/uploads", description="A user's own images, uploaded or generated")


@blueprint.post("")
@needs_user(Scope.GENERATE)
@blueprint.doc(requestBody=schemas.upload_body())
@blueprint.response(201, envelope_of(schemas.UploadAnswer))
@blueprint.errors(400, 401, 413, 415, 503)
def create_upload() -> tuple[dict[str, Any], dict[str, str]]:
    """Upload an image, to be the reference of later generations.

    One file part, `file` or `image`: JPEG, PNG, WEBP, GIF or BMP by its bytes, 32 to 4096 pixels a side, at most 10 MB. Its metadata
    (place, camera, comments) is removed, its pixels and its orientation are kept. The same file again answers the same upload.
    """
    user = signed_in()
    file = uploaded_file(request, *schemas.UPLOAD_FIELDS)
    if file is None:
        raise _no_file()
    services().readiness.require()  # Without its unique index one picture would get two records.
    kept = services().uploads.keep(user.id, file.stream, sides=REFERENCE_SIDES, file_name=file.filename)
    return enveloped("Image uploaded", kept.upload), {"Location": f"/api/uploads/{kept.upload.id}"}


def _no_file() -> InvalidRequest | UnsupportedMediaType:
    if request.mimetype not in ("", "multipart/form-data"):
        return UnsupportedMediaType("Send the image as multipart/form-data, in the field file or image")
    detail = "Send the image as a file in the field file or image."
    return InvalidRequest(f"file: {detail}", [FieldError("/file", detail)])


@blueprint.get("")
@needs_user(Scope.READ)
@blueprint.arguments(schemas.UploadsQuery, location="query")
@blueprint.response(200, envelope_of(schemas.UploadsAnswer))
@blueprint.errors(400, 401)
def list_uploads(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List your uploads, newest first: `generation_input` are brought along, `generation_output` were generated."""
    limit, before_id = query["limit"], paging.id_of(query["cursor"])
    found = services().uploads.list(signed_in().id, purpose=query["purpose"], before_id=before_id, limit=limit + 1)
    page, cursor = paging.page_of(found, limit)
    return enveloped("OK", {"uploads": page, "cursor": cursor}), paging.links(cursor)


@blueprint.get("/<upload_id>")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.UploadAnswer))
@blueprint.errors(401, 404)
def show_upload(upload_id: str) -> dict[str, Any]:
    """Show one of your uploads."""
    return enveloped("OK", services().uploads.get(upload_id, user_id=signed_in().id))


@blueprint.delete("/<upload_id>")
@needs_user(Scope.GENERATE)
@blueprint.response(204)
@blueprint.errors(401, 404, 503)
def delete_upload(upload_id: str) -> Response:
    """Delete one of your uploads, its file included. Generations that were to use it fail; those that did keep their images."""
    services().uploads.delete(upload_id, user_id=signed_in().id)
    return Response(status=204)
