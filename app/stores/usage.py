"""What was used: `usage`, one record per finished job (`_id` = job id), and `usageDays`, the same rolled up for reports.

A record is written at its job's settlement. Days are per user, UTC day and model, so that a report reads days and not jobs: `_id` is
`<day>/<user>/<model>`, the user as in storage keys, and days are ranges of `_id`. A day has one tally for each status a job can end in,
and `open`: the counts that are not confirmed yet. A record's `countedBy` says which count was its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.domain import clock, keys
from app.domain.account import Whose
from app.domain.errors import StoreUnavailable
from app.domain.job import TERMINAL, Job, JobStatus
from app.domain.spend import outcome_of
from app.domain.usage import GroupBy, Period, Tally, UsageRow, day_of_job, start_of, tally_of
from app.stores.database import Database, Document, store
from app.stores.spend import facts_of


@store
class UsageStore:
    def __init__(self, database: Database) -> None:
        self._usage = database["usage"]

    def record(self, job: Job) -> str | None:
        """Write the record of a finished job; repeating it writes the same. Returns the mark under which it is counted already, or None.

        What later changes, its cost and its bill, is written once: a repetition must not bring back what was known before.
        """
        found = self._usage.find_one_and_update(
            {"_id": job.id},
            {
                "$set": {
                    "userId": job.user_id,
                    "model": job.model,
                    "status": job.status.value,
                    "images": tally_of(job).images,
                    "chargedMicros": job.charged_micros,
                    "tokens": job.tokens_used,
                    "priceId": job.quote.price_id,
                    "at": job.completed_at,
                },
                "$setOnInsert": {**facts_of(outcome_of(job)), "version": 1, "due": 1},
            },
            upsert=True,
            projection={"countedBy": 1},
        )
        return found.get("countedBy") if found else None

    def bill(self, job_id: str, micros: int) -> None:
        """Note what fal has billed for a job, to be counted anew. Doing it again changes nothing; nor does it without a record."""
        changed = {"_id": job_id, "version": {"$gte": 1}, "billedMicros": {"$ne": micros}}
        update = {"$set": {"billedMicros": micros, "paidMicros": micros, "due": 1}, "$inc": {"version": 1}}
        self._usage.update_one(changed, update)

    def rename(self, job_ids: Sequence[str], name: str) -> bool:
        """Move the records of jobs to another name of their user; False where one is still to be counted for the operator's sums."""
        if self._usage.find_one({"_id": {"$in": list(job_ids)}, "due": 1}, {"_id": 1}):
            return False
        self._usage.update_many({"_id": {"$in": list(job_ids)}}, {"$set": {"userId": name}})
        return True


#: In the order of `JobStatus`, so that rows always come in the same.
ENDS = tuple(status for status in JobStatus if status in TERMINAL)
COUNTERS = ("jobs", "images", "micros")
GROUP_KEYS = {GroupBy.MODEL: "$model", GroupBy.DAY: "$day", GroupBy.USER: "$userId", GroupBy.STATUS: None}


@store
class UsageDayStore:
    def __init__(self, database: Database) -> None:
        self._days = database["usageDays"]
        self._records = database["usage"]

    def add(self, job: Job, counted_by: str | None) -> str:
        """Add an ended job, whose `usage` record is written, to its day; return the mark of the count, which `confirm` wants.

        `counted_by` is the mark that the record had when it was written. A job counts once, however often and by however many it is added:

        The counters move in one update that leaves the job's id and a mark of this call in `open`. The first mark that is written into
        the job's `usage` record (`countedBy`) is the one that counts: whoever finds an open count of this job under another mark takes
        that count back. So a crash between any two writes is mended by the repetition, and a race by its loser, at any rate of jobs.

        What nobody repeats (a call that stalls, adds when the job is settled already, and dies before it takes that back) `mend` finds by
        the entry that it has left.
        """
        mark = counted_by or clock.new_id()
        if counted_by or self._add(_day_of(job), job, mark):
            return mark
        found = self._days.find_one({"_id": _day_of(job)}, {"open": 1}) or {}
        return next((entry["mark"] for entry in found.get("open", ()) if entry["job"] == job.id), mark)

    def confirm(self, job: Job, mark: str) -> None:
        """Make a count final, and take back any other of the same job. Raises StoreUnavailable where the job has no `usage` record."""
        day_id, entry = _day_of(job), {"job": job.id, "mark": self._first_mark(job.id, mark)}
        amounts = _increments(job.status.value, tally_of(job), -1)
        left = self._days.find_one_and_update(
            {"_id": day_id}, {"$pull": {"open": entry}}, projection={"open": 1}, return_document=ReturnDocument.AFTER
        )
        for other in (left or {}).get("open", ()):
            if other["job"] == job.id:
                self._take_back(day_id, {"job": job.id, "mark": other["mark"]}, amounts)

    def mend(self, *, before: datetime, limit: int) -> int:
        """Decide the counts that were left open before a time, by their jobs' records; returns on how many days. May be repeated."""
        found = list(self._days.find({"open.at": {"$lte": before}}, {"open": 1}).limit(limit))
        for doc in found:
            for entry in doc["open"]:
                if entry.get("at", before) <= before:
                    self._decide(doc["_id"], {"job": entry["job"], "mark": entry["mark"]})
        return len(found)

    def _decide(self, day_id: str, entry: Document) -> None:
        """Make one open count final where its mark is the job's first, else take it back."""
        record = self._records.find_one({"_id": entry["job"]})
        if record is None:
            return
        if self._first_mark(entry["job"], entry["mark"]) == entry["mark"]:
            self._days.update_one({"_id": day_id}, {"$pull": {"open": entry}})
        else:
            tally = Tally(1, record["images"], record["chargedMicros"])
            self._take_back(day_id, entry, _increments(record["status"], tally, -1))

    def _take_back(self, day_id: str, entry: Document, amounts: Mapping[str, int]) -> None:
        guard = {"_id": day_id, "open": {"$elemMatch": entry}}
        self._days.update_one(guard, {"$inc": dict(amounts), "$pull": {"open": entry}})

    def has(self, user_id: str) -> bool:
        """Tell whether a user has ever used anything."""
        return self._days.find_one({"userId": user_id}, {"_id": 1}) is not None

    def groups(self, user_id: Whose, period: Period, by: GroupBy, *, limit: int) -> list[tuple[str, Tally]]:
        """Return the sums of a user, or of all, by their keys; up to `limit` keys, in no order. Reads each day and model once."""
        sums = {f"{status.value}_{name}": {"$sum": f"${status.value}.{name}"} for status in ENDS for name in COUNTERS}
        pipeline: list[Document] = [{"$match": _query(user_id, period)}, {"$group": {"_id": GROUP_KEYS[by], **sums}}, {"$limit": limit}]
        found = [
            (doc["_id"], {s: Tally(*(int(doc[f"{s.value}_{n}"]) for n in COUNTERS)) for s in ENDS})
            for doc in self._days.aggregate(pipeline)
        ]
        if by is GroupBy.STATUS:
            return [(status.value, tally) for _, tallies in found for status, tally in tallies.items() if tally.jobs]
        return [(str(key), sum(tallies.values(), Tally())) for key, tallies in found]

    def rename(self, user_id: str, name: str, *, limit: int) -> int | None:
        """Move up to `limit` days of a user to another name; returns how many, or None where one has a count that is not confirmed.

        Repeatable. For a moment a day stands under both names: it is never lost.
        """
        docs = list(self._days.find({"userId": user_id}).limit(limit))
        if any(doc.get("open") for doc in docs):
            return None
        for doc in docs:
            moved = {**doc, "_id": id_of(doc["day"], name, doc["model"]), "userId": name}
            self._days.replace_one({"_id": moved["_id"]}, moved, upsert=True)
            self._days.delete_one({"_id": doc["_id"]})
        return len(docs)

    def projects(self, user_id: str | tuple[str, ...], period: Period, *, limit: int) -> list[tuple[str, Tally]]:
        """Return the sums of one user, or some, by project, in no order; "" is without one. Days know none: it reads each job once."""
        moments = {"$gte": start_of(period.first), **({"$lt": start_of(period.end)} if period.end else {})}
        match = {"userId": {"$in": list(user_id)} if isinstance(user_id, tuple) else user_id, "at": moments}
        sums = {"jobs": {"$sum": 1}, "images": {"$sum": "$images"}, "micros": {"$sum": "$chargedMicros"}}
        pipeline: list[Document] = [{"$match": match}, {"$group": {"_id": "$projectId", **sums}}, {"$limit": limit}]
        return [(doc["_id"] or "", Tally(*(int(doc[name]) for name in COUNTERS))) for doc in self._records.aggregate(pipeline)]

    def page(self, user_id: Whose, period: Period, *, after_id: str | None, limit: int) -> tuple[list[UsageRow], str | None]:
        """Return the rows of up to `limit` documents by ascending day, and the id the next page is after; None at the end."""
        query = _query(user_id, period)
        if after_id is not None:
            query["_id"] = {**query["_id"], "$gt": after_id}
            del query["_id"]["$gte"]
        docs = list(self._days.find(query, {"open": 0}).sort("_id", ASCENDING).limit(limit))
        return [row for doc in docs for row in _rows(doc)], docs[-1]["_id"] if len(docs) == limit else None

    def _first_mark(self, job_id: str, mark: str) -> str:
        """Write the mark into the job's record if it has none; return the one that it has."""
        if self._records.update_one({"_id": job_id, "countedBy": None}, {"$set": {"countedBy": mark}}).matched_count:
            return mark
        record = self._records.find_one({"_id": job_id}, {"countedBy": 1})
        if record is None:
            raise StoreUnavailable(f"job {job_id} has no usage record")
        return str(record["countedBy"])

    def _add(self, day_id: str, job: Job, mark: str) -> bool:
        """Move the counters and leave the entry; False where the job has an open count."""
        guard = {"_id": day_id, "open.job": {"$ne": job.id}}
        entry = {"job": job.id, "mark": mark, "at": clock.now()}
        change = {"$inc": _increments(job.status.value, tally_of(job), 1), "$push": {"open": entry}}
        if self._days.update_one(guard, change).matched_count:
            return True
        try:
            fresh = {"userId": job.user_id, "day": day_of_job(job), "model": job.model}
            self._days.update_one({"_id": day_id}, {"$setOnInsert": {**fresh, "open": []}}, upsert=True)
        except DuplicateKeyError:
            pass  # Another job of this day was first.
        return bool(self._days.update_one(guard, change).matched_count)


def _day_of(job: Job) -> str:
    return id_of(day_of_job(job), job.user_id, job.model)


def id_of(day: str, user_id: str, model: str) -> str:
    return f"{day}/{keys.user_folder(user_id)}/{quote(model, safe='')}"


def _query(user_id: Whose, period: Period) -> Document:
    days: Document = {"$gte": period.first, **({"$lt": period.end} if period.end else {})}
    if user_id is None:
        return {"_id": days}
    return {"userId": {"$in": list(user_id)} if isinstance(user_id, tuple) else user_id, "_id": days}


def _increments(status: str, tally: Tally, sign: int) -> dict[str, int]:
    amounts = zip(COUNTERS, (tally.jobs, tally.images, tally.micros), strict=True)
    return {f"{status}.{name}": sign * amount for name, amount in amounts}


def _rows(doc: Mapping[str, Any]) -> list[UsageRow]:
    found = [(status, Tally(*(int(doc[status.value][name]) for name in COUNTERS))) for status in ENDS if status.value in doc]
    return [UsageRow(doc["day"], doc["userId"], doc["model"], status, tally) for status, tally in found if tally.jobs]
