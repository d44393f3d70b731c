"""Rate limits per caller, counted in Redis for all web processes together. Without Redis nothing is limited: requests come first."""

from __future__ import annotations

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.addresses import household
from app.api.auth import caller
from app.api.context import services
from app.config import Settings


def _submitter() -> str:
    """Name whose submits are counted: the user, the key, or the address of somebody without a credential."""
    scope = caller().scope
    return scope if scope != "anonymous" else f"address:{address()}"


def address() -> str:
    """Return whose requests count together where there is no credential."""
    return household(request.remote_addr or "")


limiter = Limiter(key_func=address, headers_enabled=False, swallow_errors=True)

submits = limiter.shared_limit(
    lambda: services().settings.rate_limit_submit or "1/second",
    scope="submit",
    key_func=_submitter,
    exempt_when=lambda: services().settings.rate_limit_submit is None,
)
logins = limiter.shared_limit(
    lambda: services().settings.rate_limit_login or "1/second",
    scope="login",
    exempt_when=lambda: services().settings.rate_limit_login is None,
)


def init_app(app: Flask, settings: Settings) -> None:
    app.config["RATELIMIT_STORAGE_URI"] = settings.redis_url
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 1)}
    app.config["RATELIMIT_KEY_PREFIX"] = "imagegw"
    limiter.init_app(app)
    app.after_request(_announced)


def _announced(response: Response) -> Response:
    """Say what is left: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), and `Retry-After` with a 429."""
    current = limiter.current_limit
    if current is None:
        return response
    name = "login" if request.path.startswith("/api/auth") else "submit"
    seconds_left = max(1, int(current.reset_at - g.received_at))
    response.headers["RateLimit-Policy"] = f'"{name}";q={current.limit.amount};w={current.limit.get_expiry()}'
    response.headers["RateLimit"] = f'"{name}";r={current.remaining};t={seconds_left}'
    if response.status_code == 429:
        response.headers["Retry-After"] = str(seconds_left)
    return response
