"""All that is kept of one user, for whoever asks for it: record by record, a bounded number of them in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from attrs import define

from app.domain import clock
from app.domain.asset import Purpose
from app.domain.job_filter import JobFilter
from app.services.reports.history import History
from app.services.reports.usage import Usage
from app.stores.accounts import AccountStore
from app.stores.ledger import LedgerStore
from app.stores.uploads import UploadStore

READ_AT_ONCE = 100
#: Before this nothing has happened.
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


class RecordKind(StrEnum):
    EXPORT = "export"
    ACCOUNT = "account"
    JOB = "job"
    UPLOAD = "upload"
    USAGE = "usage"
    LEDGER = "ledger"


@define(eq=False, slots=False, kw_only=True)
class UserExport:
    _accounts: AccountStore
    _history: History
    _uploads: UploadStore
    _usage: Usage
    _ledger: LedgerStore
    _now: Callable[[], datetime] = clock.now

    def of(self, user_id: str) -> Iterator[tuple[RecordKind, Any]]:
        """Yield what is kept of a user as it is now, each with its kind: first what this is, then its account, if it has one here.

        Raises StoreUnavailable, also on the way.
        """
        yield RecordKind.EXPORT, {"user_id": user_id, "at": self._now()}
        if account := self._accounts.get(user_id):
            yield RecordKind.ACCOUNT, account
        yield from ((RecordKind.JOB, job) for job in self._history.all(JobFilter(user_id=user_id)))
        yield from ((RecordKind.UPLOAD, upload) for upload in self._uploads_of(user_id))
        yield from ((RecordKind.USAGE, row) for row in self._usage.rows(user_id, self._usage.period(BEGINNING, None)))
        yield from ((RecordKind.LEDGER, entry) for entry in self._entries_of(user_id))

    def _uploads_of(self, user_id: str) -> Iterator[Any]:
        last: str | None = None
        while page := self._uploads.page(user_id, purpose=Purpose.INPUT, before_id=last, limit=READ_AT_ONCE):
            yield from page
            last = page[-1].id

    def _entries_of(self, user_id: str) -> Iterator[Any]:
        last: str | None = None
        while page := self._ledger.history(user_id, kind=None, before_id=last, limit=READ_AT_ONCE):
            yield from (entry for _, entry in page)
            last = page[-1][0]
