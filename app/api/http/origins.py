"""From which pages, and under which host names, the service may be called."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask_cors import CORS

from app.api.http import services
from app.api.http.auth import caller, offered_key
from app.domain.errors import MisdirectedRequest

log = logging.getLogger("http")

EXPOSED_HEADERS = (
    "Location",
    "Retry-After",
    "Link",
    "ETag",
    "Preference-Applied",
    "Idempotent-Replayed",
    "X-Request-Id",
    "X-Job-Id",
    "RateLimit",
    "RateLimit-Policy",
    "X-Fal-Request-Id",
    "X-Fal-Error-Type",
    "X-Fal-Retryable",
    "X-Fal-Request-Timeout-Type",
    "X-Fal-Billable-Units",
    "X-Gateway-Ignored",
)
ANY = "*"
#: What a developer's own pages are served from, whatever the port.
LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?\Z", re.IGNORECASE)
#: How long a browser may keep what a preflight has answered; Chromium keeps none for longer.
PREFLIGHT_S = 7200
#: Anybody can send any origin: the log is not for filling.
MAX_NAMED = 100
MAX_ORIGIN_CHARS = 200


class Origins:
    """The service's own origin, those of CORS_ORIGINS, and with `local` all of this machine."""

    def __init__(self, allowed: Collection[str], *, local: bool = False) -> None:
        self._allowed = frozenset(allowed)
        self._local = local
        self._named: set[str] = set()

    def accepts(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        """Tell whether an origin's pages may call. None: no page calls. Own is what was called, its scheme the proxy's business."""
        if origin is None or origin in self._allowed or ANY in self._allowed:
            return True
        if self._local and LOCAL.match(origin):
            return True
        forwarded = str(environ.get("HTTP_X_FORWARDED_HOST", "")).partition(",")[0].strip()
        own = {host.lower() for host in (environ.get("HTTP_HOST"), forwarded) if host}
        return _host_of(origin) in own or self._refused(origin)

    def _refused(self, origin: str) -> bool:
        named = origin[:MAX_ORIGIN_CHARS]
        if named not in self._named and len(self._named) < MAX_NAMED:
            self._named.add(named)
            log.warning("refused the origin %s: it is not in CORS_ORIGINS", named)
        return False


def init_app(app: Flask, allowed: Collection[str], *, local: bool) -> Origins:
    """Let pages of these origins call, and where `local` is true those of any port of this machine: for development, never production."""
    origins = Origins(allowed, local=local)
    known: list[str | re.Pattern[str]] = [*allowed, *([LOCAL] if local else [])]
    if known:
        CORS(app, origins=known, expose_headers=list(EXPOSED_HEADERS), max_age=PREFLIGHT_S)

    def noticed(response: Response) -> Response:
        if origin := request.headers.get("Origin"):
            origins.accepts(origin, request.environ)
        return response

    app.after_request(noticed)
    app.extensions["origins"] = origins
    return origins


def _host_of(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None


#: Asked by machines, under whatever address they know; they reveal nothing.
EXEMPT = frozenset({"/healthz", "/readyz"})


def check_hosts(app: Flask) -> None:
    """Answer only under the service's own names while anybody may call.

    A page of any site can have its own name point to this machine (DNS rebinding): then its requests are of its own origin, and browsers
    let it read the answers. The name in `Host` gives it away. With a credential there is nothing to win: such a page has none.
    """
    app.before_request(_right_host)


def require_right_host(host: str) -> None:
    """Raise MisdirectedRequest for a name that is not this service's, while anybody may call."""
    settings = services().settings
    # fal's older clients put `queue.` before the name they were given; nobody else can let that name point here.
    if settings.allow_anonymous and (host_name(host) or "").removeprefix("queue.") not in settings.hosts:
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
        if offered_key() or "Authorization" in request.headers:
            caller()  # An unknown credential is 401 under every name.
        raise
