"""fal's webhooks: a request has ended. At least once, in any order; polling remains the authority."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from attrs import define

from app.clients.fal.queue import REQUEST_ID, FalQueue
from app.clients.fal.webhooks import WebhookArrivals, WebhookVerifier
from app.clients.metrics import Metrics
from app.clients.queue import TaskQueue
from app.domain import clock
from app.domain.errors import Unauthorized
from app.domain.fal_request import BOUGHT_STATES, FinishedNotice
from app.domain.job import Job
from app.services.events.announcements import Announcer
from app.stores.fal import FalUserStore
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

FOREIGN = "The webhook is of another fal account"


class FalUser:
    """The operator's user id at fal: `fixed` by a setting, else that of the first call about a request of ours, for each key of fal's.

    fal signs the webhooks of all its customers with the same keys, so the signature alone proves too little.
    """

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


@define(eq=False, slots=False, kw_only=True)
class Webhooks:
    _verifier: WebhookVerifier
    _fal_user: FalUser
    _jobs: JobStore
    _queue: TaskQueue
    _fal: FalQueue
    _announcer: Announcer
    _arrivals: WebhookArrivals
    _metrics: Metrics
    _now: Callable[[], datetime] = clock.now

    def expect(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthorized where the headers show that this is no call of fal's, before anybody reads its body."""
        try:
            self._verifier.check_head(headers, now_s=self._now().timestamp())
        except Unauthorized:
            self._metrics.count("imagegw_webhook_deliveries_total", outcome="refused")
            raise

    def received(self, job_id: str, index: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Act on one call: have the request collected. Duplicates, strangers' and late ones change nothing; tells whether it was news.

        The raw body is checked before it is parsed. Only the request's id is taken from it: what fal says of the outcome is read from
        fal's own result. Raises Unauthorized for what fal did not sign, or for another account; QueueUnavailable, and fal calls again.
        """
        try:
            user_id = self._verifier.verify(headers, body, now_s=self._now().timestamp())
            self._fal_user.require(user_id)
            self._arrivals.note()
            news = self._collected(job_id, index, user_id, body)
        except Unauthorized:
            self._metrics.count("imagegw_webhook_deliveries_total", outcome="refused")
            raise
        self._metrics.count("imagegw_webhook_deliveries_total", outcome="news" if news else "known")
        return news

    def _collected(self, job_id: str, index: int, user_id: str, body: bytes) -> bool:
        request_id = _request_id(body)
        job = self._jobs.get(job_id) if clock.is_id(job_id) else None
        if job is None or request_id is None or not 0 <= index < len(job.requests):
            return False
        receipt = job.requests[index].receipt
        if job.requests[index].was_sent and (receipt is None or receipt.request_id == request_id):
            self._fal_user.pin(user_id)
        job = self._adopted(job, index, request_id)
        request = job.requests[index]
        ours = request.receipt is not None and request.receipt.request_id == request_id
        if job.is_terminal or not ours or request.state not in BOUGHT_STATES:
            return False
        self._queue.enqueue_collect(job.id, index, FinishedNotice(noticed_at=self._now()))
        return True

    def _adopted(self, job: Job, index: int, request_id: str) -> Job:
        """Give a request whose submit had no answer the receipt that this call proves: it was taken after all."""
        if job.requests[index].receipt is not None or not job.requests[index].was_sent:
            return job
        if self._jobs.by_request_id(request_id):
            return job  # Another request's call, sent again to this address.
        receipt = self._fal.receipt(job.endpoint, request_id)
        log.warning("a submit without an answer was found by its webhook", extra={"job_id": job.id, "fal_request_id": request_id})
        adopted = self._jobs.change(job, lambda j: j.submitted(index, receipt, now=self._now()))
        if adopted is None:
            return self._jobs.get(job.id) or job
        self._announcer.announce(adopted)
        return adopted


def _request_id(body: bytes) -> str | None:
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    request_id = parsed.get("request_id") if isinstance(parsed, dict) else None
    return request_id if isinstance(request_id, str) and REQUEST_ID.fullmatch(request_id) else None
