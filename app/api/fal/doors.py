"""The ways in beside `/fal`: the JavaScript client's `proxyUrl`, and host names that begin with `queue.`.

Both lead to the same routes, before Flask looks for one: credentials, limits and bounds are those of the route that is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, request
from flask_smorest import Api

from app.api.fal import keys, queue, run, uploads
from app.api.fal.documents import JSON, OUTPUT, answered, blueprint, proxied, undocumented
from app.api.fal.errors import refused, shaped
from app.api.http.access import needs
from app.api.http.errors import shape_errors
from app.api.http.origins import host_name
from app.domain.api_key import Scope
from registry.loader import Registry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["init_app", "keys", "queue", "run", "uploads"]

PROXY = "/api/fal/proxy"
TARGET = "x-fal-target-url"
#: fal's hosts, and where their paths are here. Nothing is ever fetched from them.
TARGETS = {"fal.run": "/fal", "queue.fal.run": "/fal/queue", "rest.fal.ai": "/fal/rest", "rest.alpha.fal.ai": "/fal/rest"}
#: What stands below `/fal` beside apps.
OWN = ("queue", "rest", "cdn", "files")
SEGMENT = re.compile(r"[A-Za-z0-9_~@:-][A-Za-z0-9._~@:-]*")
METHODS = ("GET", "POST", "PUT")
TARGET_PARAMETER = {
    "name": TARGET,
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "example": "https://queue.fal.run/fal-ai/flux-pro/v1.1",
}


@proxied.route(PROXY, methods=METHODS, parameters=[TARGET_PARAMETER])
@needs(Scope.READ)
@proxied.doc(responses=answered(JSON, OUTPUT, "As the address that is meant answers."))
@proxied.errors(400, 401, 403, 404, 405, 429, 500, 503)
def proxy() -> Response:
    """Answer a call of fal's JavaScript client by `proxyUrl`: as the address of fal's that it names would be answered here.

    The address is parsed, never fetched, and must be one of fal's.
    """
    if TARGET not in request.headers:
        return refused(
            400, f"Missing the {TARGET} header: it names the address of fal's that is meant, such as https://queue.fal.run/<app>"
        )
    return refused(400, f"Invalid {TARGET} header: only calls of {', '.join(f'https://{host}/' for host in TARGETS)} are answered here")


def init_app(app: Flask, api: Api) -> None:
    for documented in (blueprint, proxied):
        api.register_blueprint(documented)
    app.register_blueprint(undocumented)
    shape_errors(app, shaped, "/fal/", "/api/fal/")
    services = app.extensions["services"]
    own = host_name(urlsplit(services.settings.public_url or "").netloc)
    app.wsgi_app = Doors(app.wsgi_app, own_name=own, models=services.registry)  # type: ignore[method-assign]


class Doors:
    """Rewrites the path of a request that came in by another way."""

    def __init__(self, inner: WSGIApplication, *, own_name: str | None, models: Registry) -> None:
        self._inner, self._own_name, self._models = inner, own_name, models

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == PROXY:
            if target := target_of(environ.get("HTTP_X_FAL_TARGET_URL", "")):
                environ["PATH_INFO"], environ["QUERY_STRING"] = target
        elif self._is_queue(environ):
            environ["PATH_INFO"] = self._queued(path)
        return self._inner(environ, start_response)

    def _is_queue(self, environ: Mapping[str, Any]) -> bool:
        """Tell whether the name called is that of the queue. The service itself may be called so, too: PUBLIC_URL tells."""
        host = str(environ.get("HTTP_HOST", "")).lower()
        return host.startswith("queue.") and host_name(host) != self._own_name

    def _queued(self, path: str) -> str:
        """Return where a path of the queue's own host is, if it is one: fal-client up to 0.10 only puts `queue.` before FAL_RUN_HOST."""
        first, _, rest = path.removeprefix("/").partition("/")
        if first == "fal" and rest.partition("/")[0] not in OWN:
            return f"/fal/queue/{rest}"
        return f"/fal/queue{path}" if any(spec.fal_endpoint.startswith(f"{first}/") for spec in self._models) else path


def target_of(url: str) -> tuple[str, str] | None:
    """Return path and query here of an address of fal's, spelled as its client spells it; None for everything else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    base = TARGETS.get(parts.netloc)  # With a port, a user or capitals it is none.
    segments = unquote(parts.path).removeprefix("/").split("/")
    if parts.scheme != "https" or base is None or parts.fragment or not url.isascii() or not url.isprintable():
        return None
    if not all(SEGMENT.fullmatch(segment) for segment in segments) or (base == "/fal" and segments[0] in OWN):
        return None
    return f"{base}/{'/'.join(segments)}", parts.query
