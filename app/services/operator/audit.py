"""The audit log: each change of an operator's is written down before it is made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from attrs import define

from app.domain import clock
from app.domain.audit import Action, Actor, AuditEntry, AuditFilter, Outcome, plain
from app.domain.errors import CallerError, StoreUnavailable
from app.stores.audit import AuditStore

log = logging.getLogger(__name__)

READ_AT_ONCE = 200


@define(eq=False, slots=False, kw_only=True)
class Audit:
    _audit_store: AuditStore
    _now: Callable[[], datetime] = clock.now
    _read_at_once: int = READ_AT_ONCE

    @contextmanager
    def record(self, actor: Actor, action: Action, subject: str, details: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Write an entry, have the block make the change, and note what came of it; the block adds its results to the dict it is given.

        Raises StoreUnavailable where the entry cannot be written: then nothing may be changed. Whatever the block raises goes on; a
        caller's fault is noted as refused, anything else as failed. Neither details nor results may hold a secret.
        """
        entry = AuditEntry(
            id=clock.new_id(),
            at=self._now(),
            actor_id=actor.id,
            actor_name=actor.name,
            action=action,
            subject=subject,
            details=plain(details or {}),
        )
        self._audit_store.insert(entry)
        result: dict[str, Any] = {}
        outcome = Outcome.FAILED
        try:
            yield result
            outcome = Outcome.DONE
        except CallerError as exc:
            outcome = Outcome.REFUSED
            result["code"] = exc.code
            raise
        finally:
            self._conclude(entry, outcome, result)

    def page(self, wanted: AuditFilter, *, before_id: str | None, limit: int) -> list[AuditEntry]:
        """Return up to `limit` entries older than one, newest first."""
        return self._audit_store.page(wanted, before_id=before_id, limit=limit)

    def all(self, wanted: AuditFilter) -> Iterator[AuditEntry]:
        """Yield every entry, newest first, a bounded number of them in memory. Raises StoreUnavailable on the way."""
        last: str | None = None
        while page := self.page(wanted, before_id=last, limit=self._read_at_once):
            yield from page
            last = page[-1].id

    def _conclude(self, entry: AuditEntry, outcome: Outcome, result: Mapping[str, Any]) -> None:
        try:
            self._audit_store.conclude(entry.id, outcome, plain(result), at=self._now())
        except StoreUnavailable:  # The change is made, or not; its entry stands. That its outcome is missing is seen in the log.
            log.warning("the outcome of an operator's change could not be noted", extra={"audit_id": entry.id, "outcome": outcome.value})
