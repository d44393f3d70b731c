"""Tokens: held at submit, captured at the end for what was delivered, the rest released."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from attrs import define, field

from app.domain import alert, clock, ledger
from app.domain.alert import Alert
from app.domain.errors import IdempotencyMismatch, InsufficientTokens, NotFound
from app.domain.job import Job, Settlement
from app.domain.ledger import Balance, Entry, EntryType
from app.stores.accounts import AccountStore
from app.stores.jobs import JobStore
from app.stores.ledger import Difference, LedgerStore

log = logging.getLogger(__name__)

#: An outbox younger than this may be in the hands of whoever wrote it.
OUTBOX_LOST_AFTER = timedelta(seconds=30)
#: Holds older than this are compared with their jobs.
HOLD_LOST_AFTER = timedelta(seconds=60)
BATCH = 200
AUDITED_AT_ONCE = 50


@define(eq=False, slots=False, kw_only=True)
class Billing:
    _ledger: LedgerStore
    _accounts: AccountStore
    _jobs: JobStore
    _warn: Callable[[Alert], None] = alert.nobody
    _now: Callable[[], datetime] = clock.now
    _audited: str = field(init=False, default="")
    _wrong: int = field(init=False, default=0)

    def balance(self, user_id: str) -> Balance:
        return self._ledger.balance(user_id) or Balance(0, 0)

    def require(self, user_id: str, tokens: int) -> None:
        """Raise InsufficientTokens early, before anything is stored; the hold decides all the same."""
        if not tokens:
            return
        available = self.balance(user_id).tokens
        if available < tokens:
            self._warn_if_low(user_id, available, tokens)
            raise InsufficientTokens(tokens, available)

    def hold(self, jobs: Sequence[Job]) -> bool:
        """Hold the tokens of the jobs of one order, all or none. False where they are or were held already. Raises InsufficientTokens."""
        user_id, now = jobs[0].user_id, self._now()
        entries = [ledger.hold(user_id, job.id, job.tokens_held, now) for job in jobs if job.tokens_held]
        if (left := self._ledger.hold(entries)) is not None:
            self._warn_if_low(user_id, left, max(entry.held for entry in entries))
            return True
        if self._ledger.is_written(entries[0].id) or entries[0].job_id in self._ledger.holds_of(user_id):
            return False
        raise InsufficientTokens(sum(entry.held for entry in entries), self.balance(user_id).tokens)

    def is_held(self, job: Job) -> bool:
        """Tell whether a job's tokens are held; a job that needs none always may go on."""
        return not job.tokens_held or self._ledger.holds_of(job.user_id).get(job.id) == job.tokens_held

    def take_back(self, user_id: str, job_ids: Iterable[str]) -> None:
        """Give back what is held for jobs that are not accepted after all. Doing it again changes nothing."""
        holds = self._ledger.holds_of(user_id)
        for job_id in job_ids:
            if held := holds.get(job_id):
                self._end_hold(user_id, job_id, held=held, used=0)

    def settle(self, job: Job) -> None:
        """End a terminal job's hold: capture what was delivered, release the rest. Doing it again changes nothing."""
        if job.tokens_held:
            self._end_hold(job.user_id, job.id, held=job.tokens_held, used=job.tokens_used)

    def topup(self, user_id: str, tokens: int, *, key: str, notes: str | None) -> Entry:
        """Add tokens once per key; see `topup_once`."""
        return self.topup_once(user_id, tokens, key=key, notes=notes)[0]

    def topup_once(self, user_id: str, tokens: int, *, key: str, notes: str | None) -> tuple[Entry, bool]:
        """Add tokens once per key; returns the entry, and whether an earlier call has made it.

        Raises NotFound for an unknown user, IdempotencyMismatch where the key bought something else.
        """
        entry = ledger.topup(user_id, tokens, key=key, notes=notes, at=self._now())
        try:
            first = self._ledger.topup(entry)
        except KeyError as exc:
            raise NotFound("No such user") from exc
        if (first.user_id, first.balance) != (user_id, tokens):
            raise IdempotencyMismatch("This idempotencyKey was used for another top-up")
        return first, first is not entry

    def history(self, user_id: str, *, kind: EntryType | None, before_id: str | None, limit: int) -> list[tuple[str, Entry]]:
        return self._ledger.history(user_id, kind=kind, before_id=before_id, limit=limit)

    def of_job(self, job_id: str) -> list[Entry]:
        """Return what was held, captured and released for a job."""
        return self._ledger.of_job(job_id)

    def verify(self) -> tuple[int, list[Difference]]:
        """Prove every account; returns how many were checked, and those that do not add up."""
        checked, differences, last = 0, [], ""
        while batch := self._accounts.ids_after(last, limit=BATCH):
            checked += len(batch)
            differences += [found for user_id in batch if (found := self._ledger.verify(user_id))]
            last = batch[-1]
        return checked, differences

    def audit(self) -> int | None:
        """Prove the next few accounts; at the end of each round over all of them return how many do not add up, else None."""
        batch = self._accounts.ids_after(self._audited, limit=AUDITED_AT_ONCE)
        self._wrong += sum(1 for user_id in batch if self._ledger.verify(user_id))
        if len(batch) == AUDITED_AT_ONCE:
            self._audited = batch[-1]
            return None
        wrong, self._wrong, self._audited = self._wrong, 0, ""
        return wrong

    def mend(self) -> None:
        """Finish what crashes cut off: entries still in outboxes, holds whose job has ended or never was."""
        now = self._now()
        self._ledger.drain(before=now - OUTBOX_LOST_AFTER, limit=BATCH)
        for user_id, holds in self._ledger.old_holds(before=now - HOLD_LOST_AFTER, limit=BATCH):
            live = self._jobs.unsettled_among(list(holds))
            for job_id, held in holds.items():
                if job_id not in live:
                    self._mend_hold(user_id, job_id, held)
            self._ledger.holds_seen(user_id, at=now)

    def _warn_if_low(self, user_id: str, left: int, ordered: int) -> None:
        if found := alert.tokens_low(user_id, left=left, ordered=ordered, now=self._now()):
            self._warn(found)

    def _mend_hold(self, user_id: str, job_id: str, held: int) -> None:
        job = self._jobs.get(job_id)
        # A terminal job that is not settled yet settles its own hold; without a job nobody else will.
        if job is None or job.settlement is Settlement.DONE:
            log.warning("a hold outlived its job", extra={"job_id": job_id, "user_id": user_id, "tokens": held})
            self._end_hold(user_id, job_id, held=held, used=job.tokens_used if job else 0)

    def _end_hold(self, user_id: str, job_id: str, *, held: int, used: int) -> None:
        entries = ledger.settlement(user_id, job_id, held=held, used=used, at=self._now())
        self._ledger.end_hold(user_id, job_id, held=held, entries=entries)
