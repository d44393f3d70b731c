"""The `jobs` collection, one job at a time and many at once as batches see it.

Every change of a job is one compare-and-set on the revision and status that were read.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from app.domain.batch import Batch, StatusSum
from app.domain.errors import StoreUnavailable
from app.domain.fal_request import Failure
from app.domain.job import HistoryEntry, Job, JobStatus, Settlement, SweepTimeouts
from app.domain.job_filter import JobFilter, words_of
from app.stores.database import Database, Document, store
from app.stores.job_documents import failure_of, from_document, repeat_key, state_document, to_document
from app.stores.job_plans import first_id_of, passes, plan
from app.stores.records import record_of

__all__ = ["JobFilter", "JobStore"]

log = logging.getLogger(__name__)

MAX_TRIES = 30
OPEN_STATUSES = [JobStatus.PENDING.value, JobStatus.PROCESSING.value]
#: As many equal requests as are looked at for the one that a try belongs to.
MAX_EQUAL = 100


#: Many poll, and often: no more of a job is read, and no job built, than a state takes.
GLIMPSED = dict.fromkeys(
    ("userId", "status", "message", "error", "history.queuePosition", "requests.submittedAt", "requests.endedAt"),
    1,
)
WITH_HISTORY = {**{name: 1 for name in GLIMPSED if name != "history.queuePosition"}, "history": 1}


PROMPT = {"prompt": 1, "config.inputs.prompt": 1}


@dataclass(frozen=True)
class Skimmed:
    """What of a job is looked through where an index does not serve the whole filter."""

    id: str
    prompt: str
    passes: bool
    """Whether it has all that the filter asks for beside what its index knows, and what is in no field."""


@dataclass(frozen=True)
class Glimpse:
    """What of a job a poll tells. `queue_position` is fal's, while fal has it in its queue; `history` is empty unless asked for."""

    id: str
    user_id: str
    status: JobStatus
    message: str
    failure: Failure | None
    queue_position: int | None
    seconds_at_fal: float | None
    history: tuple[HistoryEntry, ...] = ()


def _glimpse(doc: Document) -> Glimpse:
    begun = [request["submittedAt"] for request in doc["requests"] if request["submittedAt"]]
    ended = [request["endedAt"] for request in doc["requests"] if request["endedAt"]]
    entries = doc["history"]
    return Glimpse(
        id=doc["_id"],
        user_id=doc["userId"],
        status=JobStatus(doc["status"]),
        message=doc["message"],
        failure=failure_of(doc["error"]),
        queue_position=entries[-1]["queuePosition"],
        seconds_at_fal=(max(ended) - min(begun)).total_seconds() if begun and ended else None,
        history=tuple(record_of(HistoryEntry, entry) for entry in entries) if "seq" in entries[-1] else (),
    )


@store
class JobStore:
    def __init__(self, database: Database, timeouts: SweepTimeouts) -> None:
        self._jobs = database["jobs"]
        self._timeouts = timeouts

    def insert(self, job: Job) -> bool:
        """Write a new job; False where one of its id or order key exists already. Of any number at once, one wins."""
        try:
            self._jobs.insert_one(to_document(job))
        except DuplicateKeyError:
            return False
        return True

    def get(self, job_id: str) -> Job | None:
        doc = self._jobs.find_one({"_id": job_id})
        return from_document(doc, self._timeouts) if doc else None

    def glimpse(self, job_id: str, *, with_history: bool = False) -> Glimpse | None:
        """Return what a poll asks for: a few fields of one document, found by its id."""
        doc = self._jobs.find_one({"_id": job_id}, WITH_HISTORY if with_history else GLIMPSED)
        return _glimpse(doc) if doc else None

    def by_order_key(self, order_key: str) -> Job | None:
        doc = self._jobs.find_one({"orderKey": order_key})
        return from_document(doc, self._timeouts) if doc else None

    def by_request_id(self, request_id: str) -> Job | None:
        """Return the job that holds the receipt of a request at fal."""
        doc = self._jobs.find_one({"requests.requestId": request_id})
        return from_document(doc, self._timeouts) if doc else None

    def of(self, job_ids: Sequence[str]) -> list[Job]:
        """Return the jobs there are of these ids, newest first; one that cannot be read is left out."""
        return self._readable(list(self._jobs.find({"_id": {"$in": list(job_ids)}}).sort("_id", DESCENDING)))

    def retried_among(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of the jobs that have been ordered again."""
        return {doc["retryOf"] for doc in self._jobs.find({"retryOf": {"$in": list(job_ids)}}, {"retryOf": 1}).sort("_id", DESCENDING)}

    def retries_of(self, job_ids: Sequence[str]) -> list[Job]:
        """Return the jobs that ordered one of these again, newest first."""
        found = self._jobs.find({"retryOf": {"$in": list(job_ids)}}).sort("_id", DESCENDING)
        return self._readable(list(found))

    def of_equal_requests(self, fingerprint: str, *, since: datetime, by_retries: bool = False) -> list[Job]:
        """Return the newest jobs of equal requests, by their `Repeat`; `by_retries`: those that another try than the first has made."""
        first, end = repeat_key(fingerprint, first_id_of(since)), repeat_key(fingerprint, "g")
        query: Document = {"repeat.key": {"$gte": first, "$lt": end}, **({"repeat.madeBy": {"$gt": 0}} if by_retries else {})}
        found = self._jobs.find(query).sort("repeat.key", DESCENDING).limit(MAX_EQUAL)
        return [from_document(doc, self._timeouts) for doc in found]

    def remove_unclaimed(self, job: Job) -> bool:
        """Take back a job just written that nobody has begun, claimed or adopted; tells whether it was taken back."""
        unclaimed = {"repeat.tries": job.repeat.tries, "repeat.madeBy": job.repeat.made_by} if job.repeat else {"repeat.tries": None}
        return self._jobs.delete_one({**self._unstarted(job.id), **unclaimed}).deleted_count == 1

    def free_order_key(self, job: Job) -> None:
        """Let an expired idempotency key be used anew."""
        self._jobs.update_one({"_id": job.id, "orderKey": job.order_key}, {"$set": {"orderKey": job.id}})

    def change(self, job: Job | str, evolve: Callable[[Job], Job | None]) -> Job | None:
        """Apply a change that `evolve` derives from the current job, atomically.

        Takes a job just read (saves the read) or an id. `evolve` is asked again with the fresh job after each lost race. Returns the job
        as written, or None where the job is gone or `evolve` finds nothing to do: a normal answer, the caller stops.
        """
        before = self.get(job) if isinstance(job, str) else job
        for attempt in range(MAX_TRIES):
            if before is None or (after := evolve(before)) is None:
                return None
            if written := self._replace(before, after):
                return written
            time.sleep(random.uniform(0, 0.002 * attempt))  # noqa: S311 - spreads the racers, guards nothing
            before = self.get(before.id)
        raise StoreUnavailable(f"job {job if isinstance(job, str) else job.id} changes too fast to be changed")

    def _replace(self, before: Job, after: Job) -> Job | None:
        after = replace(after, rev=before.rev + 1)
        old, new = state_document(before), state_document(after)
        changes = {key: value for key, value in new.items() if value != old[key] and key != "history"}
        update: dict[str, Any] = {"$set": changes}
        if added := new["history"][len(old["history"]) :]:
            update["$push"] = {"history": {"$each": added}}
        guard = {"_id": before.id, "rev": before.rev, "status": before.status.value}
        result = self._jobs.update_one(guard, update)
        return after if result.matched_count else None

    def note_cost_step(self, job: Job) -> None:
        """Let a job be found by what it costs that is older than this way of finding them."""
        step = state_document(job)["cost"]["step"]
        self._jobs.update_one({"_id": job.id, "cost.step": None}, {"$set": {"cost.step": step}})

    def remove_unstarted(self, job_id: str) -> None:
        """Take back a job that was refused right after its insert (no tokens), as if it had never been."""
        self._jobs.delete_one(self._unstarted(job_id))

    @staticmethod
    def _unstarted(job_id: str) -> Document:
        return {"_id": job_id, "status": JobStatus.PENDING.value, "requests.0.attempts": 0}

    def unsettled_among(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of the jobs that exist and are not settled."""
        query = {"_id": {"$in": list(job_ids)}, "settlement": {"$ne": Settlement.DONE.value}}
        return {doc["_id"] for doc in self._jobs.find(query, {"_id": 1})}

    def remove_settled(self, job: Job) -> bool:
        """Remove a job for good; False, and it stays, where it is not settled or has changed since it was read."""
        return bool(self._jobs.delete_one({"_id": job.id, "rev": job.rev, "settlement": Settlement.DONE.value}).deleted_count)

    def ordered_before(self, moment: datetime, *, after_id: str, limit: int) -> list[Job]:
        """Return jobs that were ordered before a time, by ascending id after `after_id` ("" for the first): an id begins with its time."""
        query = {"_id": {"$gt": after_id, "$lt": first_id_of(moment)}}
        return self._readable(list(self._jobs.find(query).sort("_id").limit(limit)))

    def retained_until(self, moment: datetime, *, after: tuple[datetime, str] | None, limit: int) -> list[Job]:
        """Return settled jobs whose own time is up by then, those first whose time was up first, from behind the last one seen on."""
        query: Document = {"retainUntil": {"$lte": moment}}
        if after is not None:
            query["retainUntil"]["$gte"] = after[0]
            query["$or"] = [{"retainUntil": {"$gt": after[0]}}, {"_id": {"$gt": after[1]}}]
        return self._readable(list(self._jobs.find(query).sort([("retainUntil", ASCENDING), ("_id", ASCENDING)]).limit(limit)))

    def names_upload(self, upload_ids: Sequence[str], *, only_live: bool = False) -> bool:
        """Tell whether a job was ordered with one of these pictures; with `only_live`, one that has not ended."""
        query: Document = {"uploadIds": {"$in": list(upload_ids)}, **({"status": {"$in": OPEN_STATUSES}} if only_live else {})}
        return bool(upload_ids) and self._jobs.find_one(query, {"_id": 1}) is not None

    def has_older_references(self, user_id: str) -> bool:
        """Tell whether a user has jobs with pictures from before jobs noted which uploads they name."""
        query = {"userId": user_id, "uploadIds": {"$exists": False}, "call.images.0": {"$exists": True}}
        return self._jobs.find_one(query, {"_id": 1}) is not None

    def due(self, *, now: datetime, limit: int) -> list[Job]:
        """Return jobs that want attention, longest waiting first."""
        return self._readable(list(self._jobs.find({"attentionAt": {"$lte": now}}).sort("attentionAt").limit(limit)))

    def processing_after(self, last_id: str, *, limit: int) -> tuple[list[Job], str | None]:
        """Return jobs that fal may be working on, by ascending id after `last_id` ("" for the first batch), and where the next begins."""
        query = {"status": JobStatus.PROCESSING.value, "_id": {"$gt": last_id}}
        docs = list(self._jobs.find(query).sort("_id").limit(limit))
        return self._readable(docs), docs[-1]["_id"] if len(docs) == limit else None

    def _readable(self, docs: list[Document]) -> list[Job]:
        """Return the jobs of documents; one that cannot be read is told of and left out, so that it does not hold up all others."""
        jobs = []
        for doc in docs:
            try:
                jobs.append(from_document(doc, self._timeouts))
            except (KeyError, TypeError, ValueError):
                log.exception("a job's document cannot be read", extra={"job_id": doc["_id"]})
        return jobs

    def page(self, wanted: JobFilter, *, before_id: str | None, limit: int) -> list[Job]:
        """Return up to `limit` jobs, newest first, that are older than `before_id`. Keyset on `_id`: any depth costs the same.

        Only what an index serves is looked at here, as in `page_up` and `count`: see `plan`, and `History` for the rest.
        """
        return self._read(self._found(wanted, _older(wanted, before_id), DESCENDING, limit))

    def page_up(self, wanted: JobFilter, *, from_id: str, limit: int) -> list[Job]:
        """Return up to `limit` jobs, oldest first, from `from_id` on, itself included."""
        return self._read(self._found(wanted, _newer(wanted, from_id), ASCENDING, limit))

    def skim(self, wanted: JobFilter, *, before_id: str | None, limit: int) -> list[Skimmed]:
        """Return of the same jobs as `page` no more than a filter looks at: many are looked through for few."""
        return self._skimmed(wanted, _older(wanted, before_id), DESCENDING, limit)

    def skim_up(self, wanted: JobFilter, *, from_id: str, limit: int) -> list[Skimmed]:
        """Return of the same jobs as `page_up` no more than that."""
        return self._skimmed(wanted, _newer(wanted, from_id), ASCENDING, limit)

    def count(self, wanted: JobFilter, *, limit: int | None = None) -> int:
        """Return how many jobs there are; counting stops at `limit`."""
        if wanted.is_impossible:
            return 0
        query = plan(wanted).query
        return self._jobs.count_documents(query) if limit is None else self._jobs.count_documents(query, limit=limit)

    def _skimmed(self, wanted: JobFilter, query: Document, direction: int, limit: int) -> list[Skimmed]:
        rest = plan(wanted).rest
        docs = self._found(wanted, query, direction, limit, {**PROMPT, **dict.fromkeys(rest, 1)})
        return [Skimmed(doc["_id"], _words(doc), passes(doc, rest)) for doc in docs]

    def _read(self, docs: Iterable[Document]) -> list[Job]:
        return [from_document(doc, self._timeouts) for doc in docs]

    def _found(
        self, wanted: JobFilter, query: Document, direction: int, limit: int, shown: Mapping[str, int] | None = None
    ) -> Iterable[Document]:
        return () if wanted.is_impossible else self._jobs.find(query, shown).sort("_id", direction).limit(limit)


def _older(wanted: JobFilter, before_id: str | None) -> Document:
    query = plan(wanted).query
    if before_id is not None:
        query["_id"] = {**(ids := query.get("_id", {})), "$lt": min(before_id, ids.get("$lt", before_id))}
    return query


def _newer(wanted: JobFilter, from_id: str) -> Document:
    query = plan(wanted).query
    query["_id"] = {**(ids := query.get("_id", {})), "$gte": max(from_id, ids.get("$gte", from_id))}
    return query


def _words(doc: Document) -> str:
    """Return a job's own words: those of the web app's user, else those of a script's inputs."""
    return words_of(doc["prompt"] if "prompt" in doc else doc["config"]["inputs"].get("prompt"))


@store
class BatchJobStore:
    def __init__(self, database: Database, timeouts: SweepTimeouts) -> None:
        self._jobs = database["jobs"]
        self._deleted = database["deletedJobs"]
        self._timeouts = timeouts

    def insert_all(self, jobs: Sequence[Job]) -> None:
        """Write the jobs of a new batch in one command. It may be cut off in the middle: the batch then is undone."""
        self._jobs.insert_many([to_document(job) for job in jobs], ordered=False)

    def remove_unstarted(self, batch_id: str) -> None:
        """Take back the jobs of a batch that is not accepted after all, as if they had never been."""
        self._jobs.delete_many({"batchId": batch_id, "requests.0.attempts": 0})

    def sums(self, batch: Batch) -> Mapping[JobStatus, StatusSum]:
        """Return what a batch's jobs come to, by status: one query, and two where some were deleted. Those count as they ended."""
        group = {
            "_id": "$status",
            "jobs": {"$sum": 1},
            "charged": {"$sum": "$cost.chargedMicros"},
            "progress": {"$sum": "$progress"},
        }
        found = list(self._jobs.aggregate([{"$match": {"batchId": batch.id}}, {"$group": group}]))
        if sum(doc["jobs"] for doc in found) < len(batch.job_ids):
            return self._sums_with_deleted(batch.id)
        return {JobStatus(doc["_id"]): StatusSum(doc["jobs"], doc["charged"], doc["progress"]) for doc in found}

    def _sums_with_deleted(self, batch_id: str) -> Mapping[JobStatus, StatusSum]:
        """Count each job once: one that is just being deleted has a tombstone already, and one without a document has had it before."""
        shown = {"status": 1, "cost.chargedMicros": 1, "progress": 1}
        there = {
            doc["_id"]: (doc["status"], doc["cost"]["chargedMicros"], doc["progress"])
            for doc in self._jobs.find({"batchId": batch_id}, shown)
        }
        gone = {doc["_id"]: (doc["status"], doc["chargedMicros"], 100) for doc in self._deleted.find({"batchId": batch_id})}
        sums: dict[JobStatus, StatusSum] = {}
        for status, charged, progress in {**gone, **there}.values():
            so_far = sums.get(JobStatus(status), StatusSum(0, 0, 0))
            sums[JobStatus(status)] = StatusSum(so_far.jobs + 1, so_far.charged_micros + charged, so_far.progress + progress)
        return sums

    def is_any_open(self, batch_id: str) -> bool:
        """Tell whether a job of a batch has not ended; the latest are looked at first, since they end last."""
        query = {"batchId": batch_id, "status": {"$in": OPEN_STATUSES}}
        return self._jobs.find_one(query, {"_id": 1}, sort=[("_id", DESCENDING)]) is not None

    def open_after(self, batch_id: str, last_id: str, *, limit: int) -> list[Job]:
        """Return a batch's jobs that have not ended, by ascending id after `last_id` ("" for the first)."""
        query = {"batchId": batch_id, "_id": {"$gt": last_id}, "status": {"$in": OPEN_STATUSES}}
        return [from_document(doc, self._timeouts) for doc in self._jobs.find(query).sort("_id").limit(limit)]

    def slots_taken(self) -> int:
        """Return how many batch jobs, of whatever batch, are in the works now."""
        return self._jobs.count_documents({"batchSlot": True})
