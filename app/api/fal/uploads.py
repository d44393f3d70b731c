"""fal's two ways to upload a file: with a token to its CDN, and by an address made for one file. Pictures only, as everywhere here."""

from __future__ import annotations

import io
import re

from flask import Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app.api.fal import documents
from app.api.fal.documents import blueprint, undocumented
from app.api.fal.errors import FileTooLarge
from app.api.fal.links import base_url, file_url
from app.api.fal.orders import note_ignored, user_of_request
from app.api.http import services
from app.api.http.access import needs, open_to_all
from app.api.http.auth import caller
from app.api.http.bodies import read_body
from app.api.http.limits import spend_request_of
from app.domain.api_key import Scope
from app.domain.errors import NotFound
from app.pictures.inspect import EXTENSIONS
from app.services.people.tickets import PREFIX, Ticket
from app.services.people.uploads import ANY_SIDE

PICTURE = {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
NAME = re.compile(r".*\.([A-Za-z0-9]{1,8})")


@blueprint.post("/rest/storage/auth/token")
@needs(Scope.GENERATE)
@blueprint.response(200, documents.FalTokenAnswer)
@blueprint.errors(401, 403, 422, 429, 500)
def upload_token() -> Response:
    """Give a token with which files may be uploaded for a while."""
    ticket = _issued(once=False)
    expires_at = ticket.expires_at.isoformat()
    token = services().tickets.text_of(ticket)
    return jsonify({"token": token, "token_type": "Bearer", "base_url": f"{base_url()}/cdn", "expires_at": expires_at})


@blueprint.post("/cdn/files/upload")
@open_to_all
@blueprint.doc(requestBody=PICTURE)
@blueprint.response(200, documents.FalUploadAnswer)
@blueprint.errors(401, 403, 408, 413, 415, 422, 429, 500, 503)
def upload() -> Response:
    """Keep the body as an upload of whoever's token, or key, is sent; the same file again is the same upload."""
    user_id = _uploader()
    services().readiness.require()
    kept = services().uploads.keep(
        user_id, io.BytesIO(read_body(request)), sides=ANY_SIDE, file_name=request.headers.get("X-Fal-File-Name")
    )
    note_ignored()
    return jsonify({"access_url": file_url(kept.upload.id, EXTENSIONS[kept.upload.content_type])})


def _uploader() -> str:
    """Return for whom this request uploads. Raises Unauthorized."""
    text = request.headers.get("Authorization", "").partition(" ")[2].strip()
    if text.startswith(PREFIX):
        return services().tickets.read(text, once=False).user_id
    who = caller()
    who.require_scope(Scope.GENERATE)
    spend_request_of(who)
    return user_of_request()


@blueprint.post("/rest/storage/upload/initiate")
@needs(Scope.GENERATE)
@blueprint.arguments(documents.FalFileBody, example={"file_name": "face.png", "content_type": "image/png"})
@blueprint.response(200, documents.FalTicketAnswer)
@blueprint.errors(400, 401, 403, 413, 415, 422, 429, 500)
def initiate_upload(body: dict[str, str]) -> Response:
    """Give an address to which one file may be put within a quarter of an hour, without any other credential."""
    ticket = _issued(once=True)
    extension = EXTENSIONS.get(body["content_type"]) or _extension_of(body["file_name"]) or "bin"
    note_ignored()
    text = services().tickets.text_of(ticket)
    return jsonify({"upload_url": f"{base_url()}/cdn/files/{text}", "file_url": file_url(ticket.id, extension)})


@undocumented.put("/cdn/files/<ticket>")
@open_to_all
def put_file(ticket: str) -> Response:
    """Keep the one file that a ticket is good for."""
    found = services().tickets.read(ticket, once=True)
    services().readiness.require()
    services().tickets.redeem(found, io.BytesIO(read_body(request)))
    # The JavaScript client would read an empty answer as JSON if it claimed to be that.
    return Response("", content_type="text/plain; charset=utf-8")


@undocumented.get("/files/<name>")
@needs(Scope.READ)
def file(name: str) -> AnyResponse:
    """Lead the owner of an upload to its picture."""
    upload_id = name.partition(".")[0]
    upload = services().uploads.get(services().tickets.upload_of(upload_id) or upload_id, user_id=user_of_request())
    return redirect(services().storage.url(upload.key))


@undocumented.post("/cdn/files/upload/multipart")
@undocumented.post("/rest/storage/upload/initiate-multipart")
@needs(Scope.GENERATE)
def refuse_parts() -> Response:
    """Refuse what is uploaded in parts: it is larger than any picture may be."""
    raise FileTooLarge


@undocumented.route("/rest/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
@needs(Scope.READ)
def not_served(path: str) -> Response:
    """Refuse fal's other calls in words of their own: they are no applications."""
    raise NotFound(f"Path /{path} not found: this gateway has fal's queue, runs, streams and uploads, and neither realtime nor workflows")


def _issued(*, once: bool) -> Ticket:
    return services().tickets.issue(user_id=user_of_request(), credential=caller().credential, once=once)


def _extension_of(name: str) -> str | None:
    found = NAME.fullmatch(name)
    return found[1].lower() if found else None
