"""Rate limits per caller, counted in Redis for all web processes together; without Redis each process counts its own."""

from __future__ import annotations

import logging
import math
import time

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits import RateLimitItemPerMinute
from redis import Redis, RedisError

from app.api.http.auth import Caller, caller
from app.api.http.context import services
from app.domain.addresses import household
from app.domain.errors import RateLimited

log = logging.getLogger("http")


def _submitter() -> str:
    """Name whose submits are counted: the user, the key, or the address of somebody without a credential."""
    identity = caller().identity
    return identity if identity != "anonymous" else f"address:{address()}"


def address() -> str:
    """Return whose requests count together where there is no credential."""
    return household(request.remote_addr or "")


limiter = Limiter(key_func=address, headers_enabled=False, swallow_errors=True, in_memory_fallback_enabled=True)

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


def spend_request_of(who: Caller) -> None:
    """Count a request of a key that may only make so many a minute. Raises RateLimited above them; without Redis nothing is counted."""
    rate = who.key.terms.rate_per_minute if who.key else None
    if rate is None:
        return
    window, counted = RateLimitItemPerMinute(rate), ("key-requests", who.identity)
    try:
        allowed = limiter.limiter.hit(window, *counted)
        reset_at = limiter.limiter.get_window_stats(window, *counted).reset_time
    except RedisError:
        log.warning("a key's rate cannot be counted", exc_info=True)
        return
    if not allowed:
        raise RateLimited(retry_after_s=max(1, math.ceil(reset_at - time.time())))


def init_app(app: Flask, redis: Redis) -> None:
    # The address only names the kind of store: the limiter's own connections know nothing of Sentinels with passwords and TLS.
    app.config["RATELIMIT_STORAGE_URI"] = "redis://"
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"connection_pool": redis.connection_pool}
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
