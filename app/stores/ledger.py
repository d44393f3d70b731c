"""Tokens: the balance and holds in `accounts`, the append-only `ledger` beside them.

The account document is the arbiter: one compare-and-set moves tokens AND leaves the entry in the account's `outbox`, so neither can be
without the other. The entry is then copied to `ledger` (its id derives from its cause: twice is once) and taken from the outbox; a crash
in between leaves it there for the sweep. No number of simultaneous requests takes a balance below zero.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.domain.ledger import Balance, Entry, EntryType, renamed
from app.stores.database import Database, Document, store
from app.stores.records import document_of, record_of

#: Top-up keys an account remembers beside the ledger, to tell a repeat that races with its first.
REMEMBERED_TOPUPS = 200
STILL_TRIES = 40
DUPLICATE_KEY = 11000
#: An account that is being deleted takes nothing new.
STAYING: Document = {"departing": {"$ne": True}}


@dataclass(frozen=True)
class Difference:
    """An account whose entries do not add up to it."""

    user_id: str
    balance: int
    entries_balance: int
    held: int
    entries_held: int


@store
class LedgerStore:
    def __init__(self, database: Database) -> None:
        self._accounts = database["accounts"]
        self._ledger = database["ledger"]
        self._topups = database["topups"]

    def copy_outbox(self, user_id: str, entries: Sequence[Entry]) -> None:
        """Bring entries from an account's outbox to the ledger. May be repeated."""
        self._copied(user_id, [entry_document(entry) for entry in entries])

    def balance(self, user_id: str) -> Balance | None:
        doc = self._accounts.find_one({"_id": user_id}, {"tokens": 1, "holds": 1})
        return Balance(doc["tokens"], sum(doc["holds"].values())) if doc else None

    def balances(self, user_ids: Sequence[str]) -> dict[str, Balance]:
        """Return the balances of those of the users who have an account."""
        found = self._accounts.find({"_id": {"$in": list(user_ids)}}, {"tokens": 1, "holds": 1})
        return {doc["_id"]: Balance(doc["tokens"], sum(doc["holds"].values())) for doc in found}

    def hold(self, entries: Sequence[Entry]) -> int | None:
        """Move tokens from balance to a hold of each entry's job, all or none; the entries are one order of one user.

        Returns how many are left. None where the balance is too small, or the jobs were held for before: they are held for together,
        so the first tells.
        """
        first, total = entries[0], sum(entry.held for entry in entries)
        if self.is_written(first.id):
            return None  # Its hold may have ended meanwhile; a late repeat must not take the tokens again.
        return self._apply(
            {"_id": first.user_id, "tokens": {"$gte": total}, f"holds.{first.job_id}": {"$exists": False}, **STAYING},
            {
                "$inc": {"tokens": -total},
                "$set": {f"holds.{entry.job_id}": entry.held for entry in entries},
                "$min": {"holdsAt": first.at},
            },
            entries,
        )

    def is_written(self, entry_id: str) -> bool:
        """Tell whether the ledger has an entry."""
        return self._ledger.find_one({"_id": entry_id}, {"_id": 1}) is not None

    def holds_of(self, user_id: str) -> dict[str, int]:
        """Return the tokens held in an account, by job."""
        doc = self._accounts.find_one({"_id": user_id}, {"holds": 1})
        return dict(doc["holds"]) if doc else {}

    def end_hold(self, user_id: str, job_id: str, *, held: int, entries: Sequence[Entry]) -> bool:
        """Remove a job's hold and write what became of it. False where it was done before: nothing changes then."""
        field = f"holds.{job_id}"
        back = sum(entry.balance for entry in entries)
        return self._apply({"_id": user_id, field: held}, {"$inc": {"tokens": back}, "$unset": {field: ""}}, entries) is not None

    def topup(self, entry: Entry) -> Entry:
        """Add tokens once per entry id; returns the entry as first asked for, which a repeat must match. Raises KeyError: no such user."""
        if known := self._ledger.find_one({"_id": entry.id}):
            return _entry(known)
        if self._accounts.find_one({"_id": entry.user_id, **STAYING}, {"_id": 1}) is None:
            raise KeyError(entry.user_id)
        first = self._first_topup(entry)
        if (first.user_id, first.balance) == (entry.user_id, entry.balance):
            remember = {"$push": {"topups": {"$each": [entry.id], "$slice": -REMEMBERED_TOPUPS}}}
            self._apply(
                {"_id": entry.user_id, "topups": {"$ne": entry.id}, **STAYING}, {"$inc": {"tokens": entry.balance}, **remember}, [first]
            )
        return first

    def _first_topup(self, entry: Entry) -> Entry:
        """Return what the entry's id was first asked for: of several top-ups with one key at once, for whomever, one is the first."""
        try:
            self._topups.insert_one(entry_document(entry))
        except DuplicateKeyError:
            known = self._topups.find_one({"_id": entry.id})
            return _entry(known) if known else entry
        return entry

    def history(self, user_id: str, *, kind: EntryType | None, before_id: str | None, limit: int) -> list[tuple[str, Entry]]:
        """Return entries newest first, each with the sort id that continues the list."""
        query: dict[str, Any] = {"userId": user_id}
        if kind:
            query["type"] = kind.value
        if before_id:
            query["sortId"] = {"$lt": before_id}
        return [(doc["sortId"], _entry(doc)) for doc in self._ledger.find(query).sort("sortId", DESCENDING).limit(limit)]

    def of_job(self, job_id: str) -> list[Entry]:
        """Return what was held, captured and released for a job, in that order; what is still in an outbox is not."""
        ids = [f"{job_id}:{kind.value}" for kind in (EntryType.HOLD, EntryType.CAPTURE, EntryType.RELEASE)]
        found = {doc["_id"]: _entry(doc) for doc in self._ledger.find({"_id": {"$in": ids}})}
        return [found[entry_id] for entry_id in ids if entry_id in found]

    def rename(self, user_id: str, name: str, *, limit: int) -> int:
        """Move up to `limit` entries of a user to another name, without what somebody wrote into them; returns how many. Repeatable."""
        docs = list(self._ledger.find({"userId": user_id}).limit(limit))
        of_jobs = [doc["_id"] for doc in docs if doc["jobId"] is not None]
        self._ledger.update_many({"_id": {"$in": of_jobs}}, {"$set": {"userId": name, "notes": None}})
        for doc in docs:
            if doc["jobId"] is None:  # The ids of sign-ups and top-ups hold the user's, or what their key says.
                moved = entry_document(renamed(_entry(doc), name))
                self._ledger.update_one({"_id": moved.pop("_id")}, {"$setOnInsert": moved}, upsert=True)
                self._ledger.delete_one({"_id": doc["_id"]})
                self._topups.delete_one({"_id": doc["_id"]})
        return len(docs)

    def drain_account(self, user_id: str) -> None:
        """Copy to the ledger what an account's outbox still has."""
        if (doc := self._accounts.find_one({"_id": user_id}, {"outbox": 1})) and doc["outbox"]:
            self._copied(user_id, doc["outbox"])

    def drain(self, *, before: datetime, limit: int) -> int:
        """Copy to the ledger what a crash left in outboxes; returns how many accounts."""
        found = list(self._accounts.find({"outboxAt": {"$lte": before}}, {"outbox": 1}).limit(limit))
        for doc in found:
            self._copied(doc["_id"], doc["outbox"])
        return len(found)

    def old_holds(self, *, before: datetime, limit: int) -> list[tuple[str, dict[str, int]]]:
        """Return accounts whose holds were last looked at (or first made) before a time, longest ago first."""
        found = self._accounts.find({"holdsAt": {"$lte": before}}, {"holds": 1}).sort("holdsAt").limit(limit)
        return [(doc["_id"], doc["holds"]) for doc in found]

    def holds_seen(self, user_id: str, *, at: datetime) -> None:
        """Put off the next look at an account's holds; an account without any is not looked at again."""
        if not self._accounts.update_one({"_id": user_id, "holds": {}}, {"$unset": {"holdsAt": ""}}).matched_count:
            self._accounts.update_one({"_id": user_id}, {"$set": {"holdsAt": at}})

    def verify(self, user_id: str) -> Difference | None:
        """Prove one account: balance and holds equal the sums of its entries. None where they do.

        An account in use is looked at until it keeps still for the length of a look: between two reads it may change.
        """
        found = None
        for attempt in range(STILL_TRIES):
            account = self._accounts.find_one({"_id": user_id})
            if account is None or account.get("departing") or (found := self._difference(account)) is None:
                return None
            if self._accounts.find_one({"_id": user_id}) == account:
                return found
            time.sleep(random.uniform(0, 0.005 * attempt))  # noqa: S311 - spreads the looks, guards nothing
        return found

    def _difference(self, account: Document) -> Difference | None:
        entries = {doc["_id"]: doc for doc in self._ledger.find({"userId": account["_id"]})}
        entries |= {doc["_id"]: doc for doc in account["outbox"]}
        balance, held = (sum(doc[key] for doc in entries.values()) for key in ("balance", "held"))
        found = Difference(account["_id"], account["tokens"], balance, sum(account["holds"].values()), held)
        return None if (found.balance, found.held) == (balance, held) and found.balance >= 0 else found

    def _apply(self, guard: Document, change: Document, entries: Sequence[Entry]) -> int | None:
        """Change an account and leave the entries in its outbox, in one update; then copy them to the ledger. Returns its tokens."""
        docs = [entry_document(entry) for entry in entries]
        update = dict(change)
        update["$push"] = {**update.get("$push", {}), "outbox": {"$each": docs}}
        update["$set"] = {**update.get("$set", {}), "outboxAt": entries[0].at}
        shown = {"outbox": 1, "tokens": 1}
        changed = self._accounts.find_one_and_update(guard, update, projection=shown, return_document=ReturnDocument.AFTER)
        if changed is None:
            return None
        self._copied(changed["_id"], changed["outbox"])
        return int(changed["tokens"])

    def _copied(self, user_id: str, docs: Sequence[Document]) -> None:
        try:
            if docs:
                self._ledger.insert_many([dict(doc) for doc in docs], ordered=False)
        except BulkWriteError as exc:
            # An entry that is there already is there by an earlier copy. One that a majority has not confirmed may yet be rolled back.
            errors = exc.details["writeErrors"]
            if exc.details["writeConcernErrors"] or not errors or any(error["code"] != DUPLICATE_KEY for error in errors):
                raise
        ids = [doc["_id"] for doc in docs]
        self._accounts.update_one({"_id": user_id}, {"$pull": {"outbox": {"_id": {"$in": ids}}}})
        self._accounts.update_one({"_id": user_id, "outbox": []}, {"$set": {"outboxAt": None}})


def entry_document(entry: Entry) -> Document:
    return {**document_of(entry), "sortId": f"{int(entry.at.timestamp() * 1000):013d}:{entry.id}"}


def _entry(doc: Document) -> Entry:
    return record_of(Entry, doc)
