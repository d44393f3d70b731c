"""Where fal calls when a request has ended. Anybody may know its path: what counts is fal's signature, which is checked."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from app.api.http import services
from app.api.http.access import open_to_all
from app.api.http.bodies import read_body

blueprint = Blueprint("webhooks", __name__)


@blueprint.post("/api/webhooks/fal/<job_id>/<int:index>")
@open_to_all
def fal_called(job_id: str, index: int) -> Response:
    """Take fal's call; answers 200 to all that fal has signed, so that it is not sent again."""
    services().webhooks.expect(dict(request.headers))
    news = services().webhooks.received(job_id, index, dict(request.headers), read_body(request))
    return jsonify({"received": True, "news": news})
