"""Deletes all that is kept of a user; what must be kept (costs, the ledger) stays under a name that leads to nobody.

A record of the departure is written first, and its user is shut out of ordering. The rest is steps in a fixed order, each of which may be
repeated and says whether it is done; whoever dies in between is followed by the watcher. The name stands in that record only, and goes
with it at the very end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from attrs import define

from app.domain import budget, clock
from app.domain.account import Role
from app.domain.departure import Departure, new_pseudonym
from app.domain.errors import AlreadyFinished, GatewayError, Gone, LastAdministrator, NotFound, ServiceError
from app.domain.job import JobStatus
from app.domain.job_filter import JobFilter
from app.domain.tombstone import Reason, may_be_deleted
from app.services.erasure.jobs import Eraser
from app.services.orders.job_actions import JobActions
from app.services.people.former import FormerLogins
from app.services.people.uploads import Uploads
from app.stores.accounts import AccountStore, EndedSessionStore, KeyStore
from app.stores.batches import BatchStore
from app.stores.budgets import BudgetStore
from app.stores.deliveries import DeliveryStore, EndpointStore
from app.stores.departures import DepartureStore
from app.stores.jobs import JobStore
from app.stores.ledger import LedgerStore
from app.stores.spend import SpendStore
from app.stores.tombstones import Tombstones
from app.stores.usage import UsageDayStore, UsageStore

log = logging.getLogger(__name__)

#: How long whoever has claimed a departure may be at it; how soon one that waits for somebody is looked at again.
CLAIMED_FOR, LOOKED_AGAIN_AFTER = timedelta(seconds=60), timedelta(seconds=2)
#: How long one call works at it. Seconds.
WORKS_S = 5.0
AT_ONCE = 50
PAGE = 500
LIVE = (JobStatus.PENDING, JobStatus.PROCESSING)


@dataclass(frozen=True)
class Progress:
    """`is_done`: nothing is left. `jobs_left` have not ended yet, or not been deleted."""

    user_id: str
    is_done: bool
    jobs_deleted: int
    uploads_deleted: int
    jobs_left: int


@define(eq=False, slots=False, kw_only=True)
class Departures:
    _departures: DepartureStore
    _account_store: AccountStore
    _keys: KeyStore
    _ended_sessions: EndedSessionStore
    _endpoint_store: EndpointStore
    _delivery_store: DeliveryStore
    _jobs: JobStore
    _tombstones: Tombstones
    _batch_store: BatchStore
    _budget_store: BudgetStore
    _ledger: LedgerStore
    _usage_store: UsageStore
    _usage_days: UsageDayStore
    _spend_store: SpendStore
    _uploads: Uploads
    _job_actions: JobActions
    _eraser: Eraser
    _former: FormerLogins
    _now: Callable[[], datetime] = clock.now

    def erase(self, user_id: str, *, kept_session: str | None = None) -> Progress:
        """Delete all that is kept of a user, or go on with that; returns how far it is. Repeatable, by any number at once.

        All its sessions end now but one, with which its owner may ask again. Raises LastAdministrator.
        """
        account = self._account_store.get(user_id)
        is_administrator = account is not None and account.role is Role.ADMIN and not account.departing
        if is_administrator and not self._account_store.has_administrator_beside(user_id):
            raise LastAdministrator
        now = self._now()
        digest = self._former.digest(account.login) if account else None
        fresh = Departure(id=user_id, pseudonym=new_pseudonym(), asked_at=now, attention_at=now, login_digest=digest)
        departure = self._departures.begin(fresh)
        self._shut(departure, kept_session)
        ended = self._go_on(departure) or departure
        counted = {"jobs_deleted": ended.jobs_deleted, "uploads_deleted": ended.uploads_deleted}
        return self.progress(user_id) or Progress(user_id, is_done=True, **counted, jobs_left=0)

    def progress(self, user_id: str) -> Progress | None:
        """Return how far a departure is; None where there is none."""
        found = self._departures.get(user_id)
        if found is None:
            return None
        left = self._jobs.count(JobFilter(user_id=user_id), limit=10_000)
        return Progress(user_id, is_done=False, jobs_deleted=found.jobs_deleted, uploads_deleted=found.uploads_deleted, jobs_left=left)

    def sweep(self) -> int:
        """Go on with departures that nobody is at; returns how many. May be repeated and may race."""
        due = self._departures.due(now=self._now(), limit=AT_ONCE)
        for departure in due:
            try:
                self._shut(departure, None)
                self._go_on(departure)
            except GatewayError:
                log.warning("a user's data could not be deleted yet, later", exc_info=True)
        return len(due)

    # -- the steps, in order --------------------------------------------------------------------------------------------------------

    def _shut(self, departure: Departure, kept_session: str | None) -> None:
        """Let nothing new come: no order, no session, no key, no webhook."""
        user_id, now = departure.id, self._now()
        self._budget_store.close(budget.of_user(user_id), month=budget.month_of(now))
        self._account_store.depart(user_id, now, kept_session=kept_session)
        self._keys.release_user(user_id, now)

    def _go_on(self, departure: Departure) -> Departure | None:
        """Do step after step until one has to wait for somebody, or the time is up; return the departure as it was at its end."""
        if departure.attention_at > self._now() or not self._departures.attend(departure, until := self._now() + CLAIMED_FOR):
            return None
        ends_at, steps = time.monotonic() + WORKS_S, self._steps()
        try:
            while steps and time.monotonic() < ends_at:
                done = steps[0](departure)
                if done is None:
                    break
                if done:
                    steps.pop(0)
        except ServiceError:
            log.warning("deleting a user's data waits for a store", exc_info=True)
        if not steps:
            log.info("all that was kept of a user is deleted")
            return self._departures.end(departure, self._now())
        claimed = self._departures.get(departure.id)
        if claimed and claimed.attention_at == until:
            self._departures.attend(claimed, self._now() + (timedelta(0) if time.monotonic() >= ends_at else LOOKED_AGAIN_AFTER))
        return None

    def _steps(self) -> list[Callable[[Departure], bool | None]]:
        """Return the steps. Each does a bounded part: True when all of it is done, False for once more, None to come again later."""
        return [
            self._end_webhooks,
            self._cancel_jobs,
            self._delete_jobs,
            self._remove_batches,
            self._remove_uploads,
            self._rename_usage,
            self._rename_days,
            self._rename_ledger,
            self._rename_account,
            self._is_empty,
        ]

    def _end_webhooks(self, departure: Departure) -> bool | None:
        owner = f"user:{departure.id}"
        for endpoint in self._endpoint_store.page([owner], limit=PAGE):
            self._endpoint_store.remove(endpoint.id)
            self._delivery_store.remove_of_endpoint(endpoint.id)
        return not self._endpoint_store.count(owner)

    def _cancel_jobs(self, departure: Departure) -> bool | None:
        """Wish that all its jobs be canceled; what fal finishes all the same is charged, and then deleted."""
        last: str | None = None
        while page := self._jobs.page(JobFilter(user_id=departure.id, statuses=LIVE), before_id=last, limit=AT_ONCE):
            for job in page:
                if job.cancel_requested_at is None:
                    self._cancel(job.id, departure.id)
            last = page[-1].id
        return True

    def _cancel(self, job_id: str, user_id: str) -> None:
        try:
            self._job_actions.cancel(job_id, user_id=user_id)
        except (AlreadyFinished, NotFound, Gone):
            return

    def _delete_jobs(self, departure: Departure) -> bool | None:
        page = self._jobs.page(JobFilter(user_id=departure.id), before_id=None, limit=PAGE)
        ended = [job for job in page if may_be_deleted(job)][:AT_ONCE]
        if page and not ended:
            self._cancel_jobs(departure)  # One that came in the moment in which it was shut out.
            return None
        for job in ended:
            if not self._eraser.erase(job, Reason.USER_DATA):
                return None
            self._departures.count(departure, jobs=1)
        return not page

    def _remove_batches(self, departure: Departure) -> bool | None:
        return True if self._batch_store.remove_accepted(departure.id) else None

    def _remove_uploads(self, departure: Departure) -> bool | None:
        gone = self._uploads.drop_all(departure.id, limit=AT_ONCE)
        self._departures.count(departure, uploads=gone)
        return not gone

    def _rename_usage(self, departure: Departure) -> bool | None:
        """Give the tombstones and the usage of its jobs the new name, once nothing of them is left that needs the old one."""
        if self._tombstones.is_any_open(departure.id):
            return None
        stones = self._tombstones.of_user(departure.id, limit=PAGE)
        ids = [stone.id for stone in stones]
        if not self._usage_store.rename(ids, departure.pseudonym):
            return None
        self._tombstones.rename(ids, departure.pseudonym)
        return not stones

    def _rename_days(self, departure: Departure) -> bool | None:
        self._spend_store.rename_user(departure.id, departure.pseudonym)
        moved = self._usage_days.rename(departure.id, departure.pseudonym, limit=PAGE)
        return None if moved is None else not moved

    def _rename_ledger(self, departure: Departure) -> bool | None:
        self._ledger.drain_account(departure.id)
        return not self._ledger.rename(departure.id, departure.pseudonym, limit=PAGE)

    def _rename_account(self, departure: Departure) -> bool | None:
        return True if self._account_store.rename(departure.id, departure.pseudonym) else None

    def _is_empty(self, departure: Departure) -> bool | None:
        """See that nothing has come meanwhile, and forget what kept it out."""
        owner = f"user:{departure.id}"
        self._delivery_store.remove_of_owner(owner)
        self._endpoint_store.remove_secrets(owner)
        self._ended_sessions.forget_user(departure.id)
        if self._jobs.count(JobFilter(user_id=departure.id), limit=1) or self._uploads.drop_all(departure.id, limit=AT_ONCE):
            return None
        return True if self._budget_store.forget(budget.of_user(departure.id)) else None
