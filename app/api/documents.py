"""The API's own documents: `/openapi.json`, and `/api-docs`, where people read and try it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import partial

from flask import Flask, Response
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint

from app.api.http.access import SECURITY_SCHEMES
from app.api.http.errors import ErrorAnswer
from app.api.webhook_events import SCHEMAS, webhooks

DESCRIPTION = """One endpoint for every fal.ai image model, with stored pictures, job history and cost per user.

Errors have one body, with a stable `code`; validation failures are 400. Lists are newest first with an opaque `cursor`."""

INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
#: Swagger UI styles its elements itself, and draws its icons as data.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Swagger UI's tables are wider than a telephone: there each cell gets a line of its own.
NARROW = b"""<style>@media (max-width: 640px) {
  .swagger-ui .parameters :is(tr, td), .swagger-ui .response :is(td) { display: block; width: auto; max-width: none; min-width: 0 }
  .swagger-ui .parameters thead, .swagger-ui .responses-header { display: none }
  .swagger-ui .opblock-section-header { flex-wrap: wrap; gap: 8px }
  .swagger-ui .opblock-section-header .btn { min-width: 0 }
}</style></head>"""


class DocumentedApi(Api):  # type: ignore[misc]
    """Documents our error body; the handlers themselves are in `errors.py`."""

    ERROR_SCHEMA = ErrorAnswer
    _written: str | None = None

    def __init__(self, app: Flask) -> None:
        #: What writes the parts of the document. It takes as long as the rest of the start, and few processes are asked for it.
        self.parts: list[Callable[[], object]] = []
        super().__init__(app)

    def _openapi_json(self) -> Response:
        """Answer what was written once: to write it anew costs as much as ten orders, and anybody may ask for it."""
        if self._written is None:
            for write in self.parts:
                write()
            self._written = json.dumps(self.spec.to_dict(), indent=2, default=float)  # Bounds of amounts are exact decimals.
        return Response(self._written, mimetype="application/json")

    def _register_error_handlers(self) -> None:
        """Leave errors to `errors.py`: one body for all of them."""


def documented(app: Flask) -> DocumentedApi:
    """Add `/openapi.json` (3.1) and `/api-docs` (Swagger UI from a bundled package, no CDN)."""
    app.config.update(
        API_TITLE="Image generation gateway",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "components": {"securitySchemes": SECURITY_SCHEMES},
            "webhooks": webhooks(),
        },
    )
    api = DocumentedApi(app)
    api.parts += [partial(api.spec.components.schema, schema.__name__, schema=schema) for schema in SCHEMAS]
    # Otherwise it shows what a validator on the internet makes of the document.
    # Folded: there are over a hundred operations, and unfolded the page stopped in the middle of them.
    config = {"app_name": "Image generation gateway", "validatorUrl": None, "defaultModelsExpandDepth": 0, "docExpansion": "none"}
    ui = get_swaggerui_blueprint("/api-docs", "/openapi.json", config=config)
    ui.after_request(_guarded)
    app.register_blueprint(ui)
    return api


def _guarded(response: Response) -> Response:
    """Let the page run its own scripts and nothing else, also where it shows words of somebody else."""
    response.direct_passthrough = False
    scripts = []
    if response.mimetype == "text/html":
        response.set_data(response.get_data().replace(b"</head>", NARROW))
        scripts = INLINE_SCRIPT.findall(response.get_data())
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts]
    response.headers["Content-Security-Policy"] = POLICY.format(scripts=" ".join(["'self'", *hashes]))
    return response
