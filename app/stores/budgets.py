"""The `budgets` collection: one document per user or key, and one for all. No number of simultaneous requests takes one above its limit.

The document is the arbiter: `roomMicros` (limit - spent - held) makes "is there room?" part of the update that takes it. A removed budget
keeps its document, without a limit, since live jobs still hold in it: were it gone and then set anew, they would look unpaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.domain.budget import Budget
from app.domain.errors import BeingDeleted, StoreUnavailable
from app.stores.database import Database, Document, store

#: Jobs whose holds have ended, remembered so that a late repeat of their request does not hold again.
REMEMBERED_ENDS = 500
MAX_TRIES = 30


@store
class BudgetStore:
    def __init__(self, database: Database) -> None:
        self._budgets = database["budgets"]
        self._departures = database["departures"]

    def set_limit(self, budget_id: str, limit_micros: int, *, month: str, is_default: bool = False) -> Budget:
        """Set a budget, new or not; what is spent and held in it stays. A default never takes the place of what somebody has set."""
        for _ in range(MAX_TRIES):
            doc = self._current(budget_id, month)
            if doc is None:
                self._insert(budget_id, month)
                continue
            if is_default and doc["limitMicros"] is not None and not doc.get("isDefault"):
                return _budget(doc, month)
            more = limit_micros - (doc["limitMicros"] or 0)
            change = {"$set": {"limitMicros": limit_micros, "isDefault": is_default}, "$inc": {"roomMicros": more}}
            unchanged = {"_id": budget_id, "limitMicros": doc["limitMicros"], "isDefault": doc.get("isDefault")}
            if self._budgets.update_one(unchanged, change).matched_count:
                return _budget({**doc, "limitMicros": limit_micros, "isDefault": is_default}, month)
        raise StoreUnavailable("The budget changes too fast to be set; try again")

    def remove(self, budget_id: str) -> bool:
        """Take a budget out of force and forget what was spent in it; False where none is in force."""
        for _ in range(MAX_TRIES):
            doc = self._budgets.find_one({"_id": budget_id, "limitMicros": {"$ne": None}})
            if doc is None:
                return False
            limit, spent = doc["limitMicros"], doc["spentMicros"]
            change = {"$set": {"limitMicros": None, "isDefault": False, "spentMicros": 0}, "$inc": {"roomMicros": spent - limit}}
            if self._budgets.update_one({"_id": budget_id, "limitMicros": limit, "spentMicros": spent}, change).matched_count:
                return True
        raise StoreUnavailable("The budget changes too fast to be removed; try again")

    def close(self, budget_id: str, *, month: str) -> None:
        """Have no order draw on a budget any more, whether it limits anything or not. Repeatable."""
        self._insert(budget_id, month)
        self._budgets.update_one({"_id": budget_id}, {"$set": {"closed": True}})

    def forget(self, budget_id: str) -> bool:
        """Remove a closed budget in which nothing is held; False where something is."""
        self._budgets.delete_one({"_id": budget_id, "closed": True, "holds": {}})
        return self._budgets.find_one({"_id": budget_id}, {"_id": 1}) is None

    def in_force(self, budget_ids: Iterable[str], *, month: str) -> list[Budget]:
        """Return those of the named budgets that are in force: one indexed read. Raises BeingDeleted where one is closed."""
        found = list(self._budgets.find({"_id": {"$in": list(budget_ids)}}, {**_SHOWN, "closed": 1}))
        for doc in found:
            if doc.get("closed"):
                self._require_open(doc["_id"])
        return [_budget(doc, month) for doc in found if doc["limitMicros"] is not None]

    def _require_open(self, budget_id: str) -> None:
        """Raise BeingDeleted where a closed budget's user is leaving; one that was closed by somebody late is opened again."""
        if self._departures.find_one({"_id": budget_id.removeprefix("user:")}, {"_id": 1}):
            raise BeingDeleted("All that is kept of this user is being deleted: nothing can be ordered for it until that is done")
        self._budgets.update_one({"_id": budget_id}, {"$unset": {"closed": ""}})

    def after(self, last_id: str, *, month: str, limit: int, without: Iterable[Mapping[str, Any]] = ()) -> list[Budget]:
        """Return budgets in force by ascending id, after `last_id` ("" for the first), `without` those that any of these queries finds."""
        query: dict[str, Any] = {"limitMicros": {"$gte": 0}, "_id": {"$gt": last_id}}
        if nor := list(without):
            query["$nor"] = nor
        found = self._budgets.find(query, _SHOWN).sort("_id").limit(limit)
        return [_budget(doc, month) for doc in found]

    def hold(self, budget_id: str, amounts: Mapping[str, int], *, month: str, at: datetime) -> tuple[bool, Budget | None]:
        """Hold money for jobs (id: micro-USD), for all or for none. Returns whether it is held, now or before, and the budget.

        There is no budget where it limits nothing, or where nothing was to be done.

        Jobs are held for together at all times, so the first tells whether all were. A removed budget takes every hold.
        """
        total, first = sum(amounts.values()), next(iter(amounts))
        takes = {
            "_id": budget_id,
            "month": {"$gte": month},
            "$or": [{"roomMicros": {"$gte": total}}, {"limitMicros": None}],
            f"holds.{first}": {"$exists": False},
            "ended": {"$ne": first},
        }
        change = {
            "$inc": {"roomMicros": -total, "heldMicros": total},
            "$set": {f"holds.{job_id}": micros for job_id, micros in amounts.items()},
            "$min": {"holdsAt": at},
        }
        for _ in range(MAX_TRIES):
            held = self._budgets.find_one_and_update(takes, change, projection=_SHOWN, return_document=ReturnDocument.AFTER)
            if held is not None:
                return True, _budget(held, month) if held["limitMicros"] is not None else None
            doc = self._current(budget_id, month)
            if doc is None or first in doc["holds"] or first in doc["ended"]:
                return True, None
            if doc["limitMicros"] is not None and doc["roomMicros"] < total:
                return False, _budget(doc, month)
        raise StoreUnavailable("The budget changes too fast to be held in; try again")

    def holds_for(self, budget_ids: Iterable[str], job_id: str) -> bool:
        """Tell whether each of the budgets holds money for a job; one that does not exist needs no hold."""
        lacking = {"_id": {"$in": list(budget_ids)}, f"holds.{job_id}": {"$exists": False}}
        return self._budgets.find_one(lacking, {"_id": 1}) is None

    def end_hold(self, budget_id: str, job_id: str, *, charged: int, month: str) -> None:
        """End a job's hold: what it was charged is spent, the rest is free. Doing it again changes nothing."""
        remembered = {"$push": {"ended": {"$each": [job_id], "$slice": -REMEMBERED_ENDS}}}
        self._end(budget_id, [job_id], charged=charged, month=month, also=remembered)

    def take_back(self, budget_id: str, job_ids: Iterable[str], *, month: str) -> None:
        """Undo the holds of jobs that are refused after all, as if they had never been; they may be held for again."""
        self._end(budget_id, list(job_ids), charged=0, month=month, also={})

    def old_holds(self, *, before: datetime, limit: int) -> list[tuple[str, list[str]]]:
        """Return budgets whose holds were last looked at (or first made) before a time, each with the jobs that hold in it."""
        found = self._budgets.find({"holdsAt": {"$lte": before}}, {"holds": 1}).sort("holdsAt").limit(limit)
        return [(doc["_id"], list(doc["holds"])) for doc in found]

    def holds_seen(self, budget_id: str, *, at: datetime) -> None:
        """Put off the next look at a budget's holds; one without any is not looked at again."""
        if not self._budgets.update_one({"_id": budget_id, "holds": {}}, {"$unset": {"holdsAt": ""}}).matched_count:
            self._budgets.update_one({"_id": budget_id}, {"$set": {"holdsAt": at}})

    def _end(self, budget_id: str, job_ids: list[str], *, charged: int, month: str, also: Mapping[str, Any]) -> None:
        for _ in range(MAX_TRIES):
            doc = self._current(budget_id, month)
            held = {job_id: doc["holds"][job_id] for job_id in job_ids if job_id in doc["holds"]} if doc else {}
            if not held:
                return
            total = sum(held.values())
            change = {
                "$unset": {f"holds.{job_id}": "" for job_id in held},
                "$inc": {"heldMicros": -total, "spentMicros": charged, "roomMicros": total - charged},
                **also,
            }
            guard = {"_id": budget_id, "month": {"$gte": month}, **{f"holds.{job_id}": micros for job_id, micros in held.items()}}
            if self._budgets.update_one(guard, change).matched_count:
                return
        raise StoreUnavailable("The budget changes too fast; try again")

    def _current(self, budget_id: str, month: str) -> Document | None:
        """Return a budget's document, brought to the month: it starts at nothing spent, and what is held stays held."""
        for _ in range(MAX_TRIES):
            doc = self._budgets.find_one({"_id": budget_id})
            if doc is None or doc["month"] >= month:
                return doc
            spent = doc["spentMicros"]
            change = {"$set": {"month": month, "spentMicros": 0}, "$inc": {"roomMicros": spent}}
            self._budgets.update_one({"_id": budget_id, "month": doc["month"], "spentMicros": spent}, change)
        raise StoreUnavailable("The budget changes too fast; try again")

    def _insert(self, budget_id: str, month: str) -> None:
        fresh: Document = {
            "_id": budget_id,
            "limitMicros": None,
            "month": month,
            "spentMicros": 0,
            "heldMicros": 0,
            "roomMicros": 0,
            "holds": {},
            "ended": [],
        }
        try:
            self._budgets.insert_one(fresh)
        except DuplicateKeyError:
            return  # Somebody else sets it, too.


_SHOWN = {"isDefault": 1, "limitMicros": 1, "month": 1, "spentMicros": 1, "heldMicros": 1}


def _budget(doc: Document, month: str) -> Budget:
    return Budget(
        id=doc["_id"],
        limit_micros=doc["limitMicros"],
        spent_micros=doc["spentMicros"] if doc["month"] >= month else 0,
        held_micros=doc["heldMicros"],
        is_default=bool(doc.get("isDefault")),
    )
