"""Puts the blueprints, error bodies, documents and headers together."""

from __future__ import annotations

from flask import Flask
from flask_cors import CORS

from app.api import (
    access,
    accounts,
    batches,
    bodies,
    budgets,
    docs,
    errors,
    files,
    generations,
    health,
    images,
    jobs,
    limits,
    metrics,
    requests,
    streams,
    templates,
    tokens,
    uploads,
    usage,
    webhooks,
)
from app.bootstrap import Services
from app.config import Settings

EXPOSED_HEADERS = (
    "Location",
    "Retry-After",
    "Link",
    "ETag",
    "Preference-Applied",
    "Idempotent-Replayed",
    "X-Request-Id",
    "RateLimit",
    "RateLimit-Policy",
)
MAX_BODY_BYTES = 32 * 1024 * 1024


def build(settings: Settings, services: Services) -> Flask:
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["services"] = services
    if settings.cors_origins:
        CORS(app, origins=list(settings.cors_origins), expose_headers=list(EXPOSED_HEADERS))
    requests.init_app(app)
    errors.init_app(app)
    access.init_app(app)
    metrics.init_app(app, services)
    bodies.init_app(app)
    limits.init_app(app, settings)
    api = docs.init_app(app)
    for documented in (images, jobs, streams, accounts, generations, tokens, templates, uploads, usage, batches, budgets):
        api.register_blueprint(documented.blueprint)
    for plain in (files, health, webhooks):
        app.register_blueprint(plain.blueprint)
    return app
