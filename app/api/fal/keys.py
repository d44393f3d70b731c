"""The keys that sign webhooks in fal's form, for whoever verifies them."""

from __future__ import annotations

from flask import Response, jsonify

from app.api.fal.documents import undocumented
from app.api.http import services
from app.api.http.access import open_to_all
from app.domain import clock

#: fal's receivers may keep keys for a day.
KEPT_S = 86400


@undocumented.get("/.well-known/jwks.json")
@open_to_all
def jwks() -> Response:
    response = jsonify(services().fal_signer.jwks(now=clock.now()))
    response.headers["Cache-Control"] = f"public, max-age={KEPT_S}"
    return response
