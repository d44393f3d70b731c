"""Puts the blueprints, error bodies, headers and the API's own documents together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from app.api import (
    accounts,
    batches,
    budgets,
    endpoints,
    files,
    generations,
    guide,
    images,
    jobs,
    monitoring,
    people,
    pictures,
    streams,
    tokens,
    ui,
    uploads,
    usage,
    webhooks,
)
from app.api.admin import routes as admin
from app.api.documents import documented
from app.api.fal import doors as fal
from app.api.http import access, bodies, errors, limits, not_found, origins, requests
from app.api.mcp import routes as mcp
from app.api.openai import routes as openai
from app.bootstrap import Services
from app.config import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 32 * 1024 * 1024


def build(settings: Settings, services: Services) -> Flask:
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["services"] = services
    app.wsgi_app = ShortAddresses(app.wsgi_app)  # type: ignore[method-assign]
    origins.init_app(app, settings.cors_origins, local=not settings.is_production)
    requests.init_app(app)
    errors.init_app(app)
    not_found.init_app(app)
    mcp.init_app(app)
    origins.check_hosts(app)
    access.init_app(app)
    monitoring.init_app(app, services)
    bodies.init_app(app)
    limits.init_app(app, services.hasty_redis)
    people.init_app(app)
    api = documented(app)
    for part in (images, pictures, jobs, streams, accounts, generations, tokens):
        api.register_blueprint(part.blueprint)
    api.register_blueprint(generations.templates)
    for part in (people, uploads, usage, batches, budgets, endpoints, mcp):
        api.register_blueprint(part.blueprint)
    for blueprint in admin.BLUEPRINTS:
        api.register_blueprint(blueprint)
    api.register_blueprint(openai.blueprint)
    openai.init_app(app)
    app.register_blueprint(pictures.links)
    for plain in (files, guide, monitoring, webhooks):
        app.register_blueprint(plain.blueprint)
    ui.init_app(app, enabled=settings.studio == "on")
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
