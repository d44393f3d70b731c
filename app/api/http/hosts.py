"""Under which names the service may be called while anybody may call it.

A page of any site can have its own name point to this machine (DNS rebinding): then its requests are of its own origin, and browsers let
it read the answers. The name in `Host` gives it away. With a credential there is nothing to win: such a page has none.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, request

from app.api.http.auth import caller
from app.api.http.context import services
from app.domain.errors import MisdirectedRequest

#: Asked by machines, under whatever address they know; they reveal nothing.
EXEMPT = frozenset({"/healthz", "/readyz"})


def init_app(app: Flask) -> None:
    app.before_request(_right_host)


def require_right_host(host: str) -> None:
    """Raise MisdirectedRequest for a name that is not this service's, while anybody may call."""
    settings = services().settings
    if settings.allow_anonymous and host_name(host) not in settings.hosts:
        raise MisdirectedRequest("This service is not known under this host name; have it added to ALLOWED_HOSTS")


def host_name(host: str) -> str | None:
    """Return the name of a `Host` header, without port and brackets; None for what is none."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name.rstrip(".") if name else None


def _right_host() -> None:
    if request.path in EXEMPT:
        return
    try:
        require_right_host(request.headers.get("Host", ""))
    except MisdirectedRequest:
        if "X-API-Key" in request.headers or "Authorization" in request.headers:
            caller()  # An unknown credential is 401 under every name.
        raise
