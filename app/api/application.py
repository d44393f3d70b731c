"""Puts the blueprints, error bodies, headers and the API's own documents together."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint

from app.api import (
    accounts,
    batches,
    budgets,
    files,
    generations,
    images,
    jobs,
    monitoring,
    streams,
    tokens,
    uploads,
    usage,
    webhooks,
)
from app.api.fal import doors as fal
from app.api.http import access, bodies, errors, limits, origins, requests
from app.api.http.errors import ErrorAnswer
from app.api.openai import routes as openai
from app.bootstrap import Services
from app.config import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 32 * 1024 * 1024
DESCRIPTION = """One endpoint for every fal.ai image model, with stored pictures, job history and cost per user.

Errors have one body, with a stable `code`; validation failures are 400. Lists are newest first with an opaque `cursor`."""


INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
#: Swagger UI styles its elements itself, and draws its icons as data.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def build(settings: Settings, services: Services) -> Flask:
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["services"] = services
    app.wsgi_app = ShortAddresses(app.wsgi_app)  # type: ignore[method-assign]
    origins.init_app(app, settings.cors_origins, local=not settings.is_production)
    requests.init_app(app)
    errors.init_app(app)
    origins.check_hosts(app)
    access.init_app(app)
    monitoring.init_app(app, services)
    bodies.init_app(app)
    limits.init_app(app, services.hasty_redis)
    api = _documented(app)
    for documented in (images, jobs, streams, accounts, generations, tokens):
        api.register_blueprint(documented.blueprint)
    api.register_blueprint(generations.templates)
    for documented in (uploads, usage, batches, budgets):
        api.register_blueprint(documented.blueprint)
    api.register_blueprint(openai.blueprint)
    openai.init_app(app)
    for plain in (files, monitoring, webhooks):
        app.register_blueprint(plain.blueprint)
    fal.init_app(app, api)
    return app


class ShortAddresses:
    """Takes `/generate/…` for `/api/generate/…`: a client that has one address for `fetch` and for Socket.IO may leave out `/api`."""

    def __init__(self, called: WSGIApplication) -> None:
        self._called = called

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/generate/"):
            environ["PATH_INFO"] = "/api" + environ["PATH_INFO"]
        return self._called(environ, start_response)


class DocumentedApi(Api):  # type: ignore[misc]
    """Documents our error body; the handlers themselves are in `errors.py`."""

    ERROR_SCHEMA = ErrorAnswer
    _written: str | None = None

    def _openapi_json(self) -> Response:
        """Answer what was written once: to write it anew costs as much as ten orders, and anybody may ask for it."""
        if self._written is None:
            self._written = json.dumps(self.spec.to_dict(), indent=2)
        return Response(self._written, mimetype="application/json")

    def _register_error_handlers(self) -> None:
        """Leave errors to `errors.py`: one body for all of them."""


def _documented(app: Flask) -> DocumentedApi:
    """Add `/openapi.json` (3.1) and `/api-docs` (Swagger UI from a bundled package, no CDN)."""
    app.config.update(
        API_TITLE="Image generation gateway",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        },
    )
    api = DocumentedApi(app)
    ui = get_swaggerui_blueprint("/api-docs", "/openapi.json", config={"app_name": "Image generation gateway"})
    ui.after_request(_guarded)
    app.register_blueprint(ui)
    return api


def _guarded(response: Response) -> Response:
    """Let the page run its own scripts and nothing else, also where it shows words of somebody else."""
    response.direct_passthrough = False
    scripts = INLINE_SCRIPT.findall(response.get_data()) if response.mimetype == "text/html" else []
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts]
    response.headers["Content-Security-Policy"] = POLICY.format(scripts=" ".join(["'self'", *hashes]))
    return response
