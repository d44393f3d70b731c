"""Wrong passwords: how many for one account are taken, from one address and from all together.

Only wrong ones count, so nobody is kept out by being right often. While an account is guessed at from many addresses each of them has
fewer tries, but always one: whoever comes with the right password gets in, from wherever, whatever others have tried.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from redis import RedisError

from app.api.http.context import services
from app.api.http.limits import address, limiter
from app.domain.credentials import login_of
from app.domain.errors import RateLimited

log = logging.getLogger("http")
T = TypeVar("T")

WINDOW_MIN = 15
OF_ALL = RateLimitItemPerMinute(50, WINDOW_MIN)
OF_ONE, OF_ONE_WHILE_ATTACKED = RateLimitItemPerMinute(10, WINDOW_MIN), RateLimitItemPerMinute(1, WINDOW_MIN)
#: Counts in this process while Redis is away.
OWN = FixedWindowRateLimiter(MemoryStorage())


@dataclass(frozen=True)
class Guesses:
    """The tries at one account from one address."""

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
