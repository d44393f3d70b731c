"""How often callers may ask, how many wrong passwords they may try, and how many requests they may hold open."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from redis import Redis, RedisError

from app.api.http import services
from app.api.http.auth import Caller, caller
from app.domain.addresses import household
from app.domain.credentials import login_of
from app.domain.errors import Busy, RateLimited
from app.domain.places import Places

log = logging.getLogger("http")


def name_of_caller() -> str:
    """Name whose requests are counted together: the user, the key, or the address of somebody without a credential."""
    identity = caller().identity
    return identity if identity != "anonymous" else f"address:{address()}"


def address() -> str:
    """Return whose requests count together where there is no credential."""
    return household(request.remote_addr or "")


limiter = Limiter(key_func=address, headers_enabled=False, swallow_errors=True, in_memory_fallback_enabled=True)

submits = limiter.shared_limit(
    lambda: services().settings.rate_limit_submit or "1/second",
    scope="submit",
    key_func=name_of_caller,
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


T = TypeVar("T")

WINDOW_MIN = 15
OF_ALL = RateLimitItemPerMinute(50, WINDOW_MIN)
OF_ONE, OF_ONE_WHILE_ATTACKED = RateLimitItemPerMinute(10, WINDOW_MIN), RateLimitItemPerMinute(1, WINDOW_MIN)
#: Counts in this process while Redis is away.
OWN = FixedWindowRateLimiter(MemoryStorage())


@dataclass(frozen=True)
class Guesses:
    """The tries at one account from one address, and how many of them may be wrong.

    Only wrong ones count, so nobody is kept out by being right often. While an account is guessed at from many addresses each of them
    has fewer tries, but always one: whoever comes with the right password gets in, from wherever, whatever others have tried.
    """

    account: str
    address: str

    def check(self) -> None:
        """Raises RateLimited where this address has had its tries at this account."""
        _counted(self._check)

    def wrong(self) -> None:
        """Count a wrong password."""
        _counted(self._wrong)

    def _check(self, counts: RateLimiter) -> None:
        is_attacked = not counts.test(OF_ALL, self.account)
        item = OF_ONE_WHILE_ATTACKED if is_attacked else OF_ONE
        if not counts.test(item, self.account, self.address):
            reset_at = counts.get_window_stats(item, self.account, self.address).reset_time
            raise RateLimited(retry_after_s=max(1, math.ceil(reset_at - time.time())))

    def _wrong(self, counts: RateLimiter) -> None:
        counts.hit(OF_ALL, self.account)
        for item in (OF_ONE, OF_ONE_WHILE_ATTACKED):
            counts.hit(item, self.account, self.address)


class NoGuesses(Guesses):
    """Where the operator has switched the limit off."""

    def check(self) -> None:
        pass

    def wrong(self) -> None:
        pass


def guesses_at(name: str) -> Guesses:
    """Return the counts for a try at an account by its address or user name, from where this request comes."""
    # Hashed: what people type into this field is sometimes their password.
    account = hashlib.sha256(login_of(name).encode("utf-8", "replace")).hexdigest()
    kind = Guesses if services().settings.rate_limit_login else NoGuesses
    return kind(f"guesses:{account}", address())


def _counted(call: Callable[[RateLimiter], T]) -> T:
    try:
        return call(limiter.limiter)
    except RedisError:
        log.warning("guesses are counted in this process only: Redis does not answer")
        return call(OWN)


class Held:
    """So many at once of one kind: `of_user` for a signed-in user, `of_script` for a key, or an address without any credential."""

    def __init__(self, *, of_user: int, of_script: int, users: int, scripts: int) -> None:
        self._users, self._scripts = Places(users, each=of_user), Places(scripts, each=of_script)

    def of_caller(self) -> tuple[Places, str]:
        """Return where who asks now is counted, and by which name."""
        return (self._users if caller().account else self._scripts), name_of_caller()


streams = Held(of_user=100, of_script=1000, users=1500, scripts=1500)
waits = Held(of_user=200, of_script=5000, users=3000, scripts=5000)
#: Whoever has a link may look: counted by address alone. A page shows many pictures, so they wait for each other.
downloads = Places(512, each=64, waiting=512)
DOWNLOAD_WAIT_S = 5.0
#: Answers that carry their pictures as base64: each has up to 2 MB in memory and a file open. They were paid for, so they wait for a place.
encodings = Places(100, each=20, waiting=1000)
ENCODING_WAIT_S = 30.0


def hold_stream() -> None:
    """Count this request as a stream until its end. Raises Busy where its caller has too many."""
    _hold(*streams.of_caller(), "You follow too many jobs at once; follow fewer, or ask for them now and then")


def hold_download() -> None:
    """Count this request as a download until its end. Raises Busy where its address has too many."""
    _hold(downloads, address(), "You fetch too many files at once; try again soon", wait_s=DOWNLOAD_WAIT_S)


def hold_encoding() -> None:
    """Count this request as an answer in base64 until its end. Raises Busy where no place comes free in time."""
    refusal = "Too many answers carry their pictures as base64; try again soon, or ask for links"
    _hold(encodings, name_of_caller(), refusal, wait_s=ENCODING_WAIT_S)


def _hold(places: Places, name: str, refusal: str, *, wait_s: float = 0.0) -> None:
    if not places.take(name, wait_s=wait_s):
        raise Busy(refusal)
    at_the_end(lambda: places.give_back(name))


def counted_wait(wait: Callable[[float], T], seconds: float) -> Callable[[], T]:
    """Return a wait of so many seconds, or of none where its caller waits for too much already when it begins."""
    places, name = waits.of_caller()

    def counted() -> T:
        if not places.take(name):
            return wait(0.0)
        try:
            return wait(seconds)
        finally:
            places.give_back(name)

    return counted


def at_the_end(call: Callable[[], None]) -> None:
    """Call when the request is over, however it ends; a response is not told of its end where it passes a file through."""
    hooks = request.environ.get("eventlet.posthooks")
    if hooks is None:
        call()  # Another server, which has no long requests to bound.
    else:
        hooks.append((lambda _: call(), (), {}))
