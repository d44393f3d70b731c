"""Whose webhooks are taken: fal signs those of all its customers with the same keys, so the signature alone proves too little."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime

from app.domain import clock
from app.domain.errors import Unauthorized
from app.stores.fal_users import FalUserStore

log = logging.getLogger(__name__)

FOREIGN = "The webhook is of another fal account"


class FalUser:
    """The operator's user id at fal: `fixed` by a setting, else that of the first call about a request of ours, for each key of fal's."""

    def __init__(self, *, users: FalUserStore, fixed: str | None, fal_key: str, now: Callable[[], datetime] = clock.now) -> None:
        self._users = users
        self._known = fixed
        self._key_digest = hashlib.sha256(fal_key.encode()).hexdigest()
        self._now = now

    def require(self, user_id: str) -> None:
        """Raise Unauthorized for a call of another account, once ours is known."""
        self._known = self._known or self._users.get(self._key_digest)
        self._compare(user_id)

    def pin(self, user_id: str) -> None:
        """Take the account of a call about a request of ours for our own, unless that is known. Raises Unauthorized for another."""
        if self._known is None and user_id:
            self._known = self._users.pin(self._key_digest, user_id, self._now())
        self._compare(user_id)

    def _compare(self, user_id: str) -> None:
        if self._known is not None and user_id != self._known:
            log.warning(
                "refused a webhook of another fal account; if the account is yours, set FAL_USER_ID", extra={"fal_user_id": user_id}
            )
            raise Unauthorized(FOREIGN)
