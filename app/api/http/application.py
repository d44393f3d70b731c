"""Puts the blueprints, error bodies, documents and headers together."""

from __future__ import annotations

from flask import Flask

from app.api import (
    accounts,
    batches,
    budgets,
    files,
    generations,
    health,
    images,
    jobs,
    metrics,
    streams,
    templates,
    tokens,
    uploads,
    usage,
    webhooks,
)
from app.api.http import access, bodies, docs, errors, hosts, limits, origins, requests
from app.bootstrap import Services
from app.config import Settings

MAX_BODY_BYTES = 32 * 1024 * 1024


def build(settings: Settings, services: Services) -> Flask:
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["services"] = services
    origins.init_app(app, settings.cors_origins)
    requests.init_app(app)
    errors.init_app(app)
    hosts.init_app(app)
    access.init_app(app)
    metrics.init_app(app, services)
    bodies.init_app(app)
    limits.init_app(app, services.hasty_redis)
    api = docs.init_app(app)
    for documented in (images, jobs, streams, accounts, generations, tokens, templates, uploads, usage, batches, budgets):
        api.register_blueprint(documented.blueprint)
    for plain in (files, health, webhooks):
        app.register_blueprint(plain.blueprint)
    return app
