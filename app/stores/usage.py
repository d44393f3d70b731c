"""What was used: `usage`, one record per finished job (`_id` = job id), and `usageDays`, the same rolled up for reports.

A record is written at its job's settlement. Days are per user, UTC day and model, so that a report reads days and not jobs: `_id` is
`<day>/<user>/<model>`, the user as in storage keys, and days are ranges of `_id`. A day has one tally for each status a job can end in,
and `open`: the counts that are not confirmed yet. A record's `countedBy` says which count was its own.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pymongo import ASCENDING, UpdateOne
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
#: Counts of a day that are not final: each makes the day's document longer, and every count looks through them.
MAX_OPEN = 200
MAX_TRIES = 10
#: Before the first count ever.
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
GROUP_KEYS = {GroupBy.MODEL: "$model", GroupBy.DAY: "$day", GroupBy.USER: "$userId", GroupBy.STATUS: None}


@store
class UsageDayStore:
    def __init__(self, database: Database) -> None:
        self._days = database["usageDays"]
        self._records = database["usage"]

    def add(self, job: Job, counted_by: str | None) -> None:
        """Add an ended job, whose `usage` record is written, to its day. Raises StoreUnavailable where the day takes none at the moment.

        `counted_by` is the mark that the record had when it was written. A job counts once, however often and by however many it is added:

        The counters move in one update that leaves the job's id and a mark of this call in `open`. The first mark that is written into
        the job's `usage` record (`countedBy`) is the one that counts: `confirm` writes it, and takes back any other that it finds open.
        So a crash between any two writes is mended by the repetition, and so is a race, also one with a call that stalls until the job
        is settled and then dies.
        """
        if counted_by or self._add(job, clock.new_id()):
            return
        day_id = _day_of(job)
        for _ in range(MAX_TRIES):
            day = self._days.find_one({"_id": day_id}, {"open": 1})
            if day is None:
                self._begin(day_id, job)
            elif any(entry["job"] == job.id for entry in day["open"]):
                return  # By another settlement of it: to add this one as well would only have to be taken back.
            elif len(day["open"]) >= MAX_OPEN:
                self.confirm(days=[day_id])
            if self._add(job, clock.new_id()):
                return
        raise StoreUnavailable("Too many jobs of this day are being counted; try again")

    def confirm(self, *, days: Sequence[str] | None = None, limit: int = 1) -> int:
        """Make the open counts of these days final, or of up to `limit` of all, each whole; return how many days it were.

        May be repeated and may race. A few commands for all together.
        """
        wanted = {"_id": {"$in": list(days)}} if days else {"open.at": {"$gt": LONG_AGO}}
        found = [(doc["_id"], entry) for doc in self._days.find(wanted, {"open": 1}).limit(0 if days else limit) for entry in doc["open"]]
        records = self._marked([entry for _, entry in found])
        final, late = defaultdict[str, list[str]](list), list[tuple[str, Document, Document]]()
        for day_id, entry in found:
            record = records.get(entry["job"], {})
            if record.get("countedBy") == entry["mark"]:
                final[day_id].append(entry["mark"])
            elif "countedBy" in record:
                late.append((day_id, entry, record))
        if final:
            pulls = [UpdateOne({"_id": day_id}, {"$pull": {"open": {"mark": {"$in": marks}}}}) for day_id, marks in final.items()]
            self._days.bulk_write(pulls, ordered=False)
        for day_id, entry, record in late:
            self._take_back(day_id, entry, record)
        return len({day_id for day_id, _ in found})

    def _marked(self, entries: Sequence[Document]) -> dict[str, Document]:
        """Write the marks of open counts into those of their jobs' records that have none; return the records as they are then."""
        ids = [entry["job"] for entry in entries]
        records = self._records_of(ids)
        bare = [entry for entry in entries if entry["job"] in records and records[entry["job"]].get("countedBy") is None]
        if not bare:
            return records
        marks = [UpdateOne({"_id": entry["job"], "countedBy": None}, {"$set": {"countedBy": entry["mark"]}}) for entry in bare]
        self._records.bulk_write(marks, ordered=False)
        return self._records_of(ids)

    def _records_of(self, job_ids: Sequence[str]) -> dict[str, Document]:
        shown = dict.fromkeys(("countedBy", "status", "images", "chargedMicros"), 1)
        return {doc["_id"]: doc for doc in self._records.find({"_id": {"$in": list(job_ids)}}, shown)} if job_ids else {}

    def _take_back(self, day_id: str, entry: Document, record: Document) -> None:
        amounts = _increments(record["status"], Tally(1, record["images"], record["chargedMicros"]), -1)
        guard = {"_id": day_id, "open": {"$elemMatch": {"job": entry["job"], "mark": entry["mark"]}}}
        pulled = {"job": entry["job"], "mark": entry["mark"]}
        self._days.update_one(guard, {"$inc": amounts, "$pull": {"open": pulled}})

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
        if open_days := [doc["_id"] for doc in docs if doc.get("open")]:
            self.confirm(days=open_days)
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

    def _add(self, job: Job, mark: str) -> bool:
        """Move the counters and leave the entry; False where the day is not there, has an entry of the job, or all that it may have."""
        day_id = _day_of(job)
        guard = {"_id": day_id, "open.job": {"$ne": job.id}, f"open.{MAX_OPEN - 1}": {"$exists": False}}
        entry = {"job": job.id, "mark": mark, "at": clock.now()}
        change = {"$inc": _increments(job.status.value, tally_of(job), 1), "$push": {"open": entry}}
        return bool(self._days.update_one(guard, change).matched_count)

    def _begin(self, day_id: str, job: Job) -> None:
        fresh = {"userId": job.user_id, "day": day_of_job(job), "model": job.model, "open": []}
        with contextlib.suppress(DuplicateKeyError):  # Another job of this day may be first.
            self._days.update_one({"_id": day_id}, {"$setOnInsert": fresh}, upsert=True)


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
