"""Where fal's clients come in."""

from __future__ import annotations

from flask import Flask

from app.api.fal import queue, run
from app.api.fal.blueprint import blueprint
from app.api.fal.errors import shaped
from app.api.http.errors import shape_errors

__all__ = ["init_app", "queue", "run"]


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    shape_errors(app, shaped, "/fal/", "/api/fal/")
