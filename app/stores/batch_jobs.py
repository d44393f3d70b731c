"""The `jobs` collection as batches see it: many jobs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.job import Job, JobStatus, Patience
from app.stores.database import Database, store
from app.stores.job_documents import from_document, to_document

OPEN_STATUSES = [JobStatus.PENDING.value, JobStatus.PROCESSING.value]


@dataclass(frozen=True)
class StatusSum:
    """What the jobs of one status in a batch come to."""

    jobs: int
    charged_micros: int
    progress: int


@store
class BatchJobStore:
    def __init__(self, database: Database, patience: Patience) -> None:
        self._jobs = database["jobs"]
        self._patience = patience

    def insert_all(self, jobs: Sequence[Job]) -> None:
        """Write the jobs of a new batch in one command. It may be cut off in the middle: the batch then is undone."""
        self._jobs.insert_many([to_document(job) for job in jobs], ordered=False)

    def remove_unstarted(self, batch_id: str) -> None:
        """Take back the jobs of a batch that is not accepted after all, as if they had never been."""
        self._jobs.delete_many({"batchId": batch_id, "requests.0.attempts": 0})

    def sums(self, batch_id: str) -> Mapping[JobStatus, StatusSum]:
        """Return what a batch's jobs come to, by status: one query."""
        group = {
            "_id": "$status",
            "jobs": {"$sum": 1},
            "charged": {"$sum": "$cost.chargedMicros"},
            "progress": {"$sum": "$progress"},
        }
        found = self._jobs.aggregate([{"$match": {"batchId": batch_id}}, {"$group": group}])
        return {JobStatus(doc["_id"]): StatusSum(doc["jobs"], doc["charged"], doc["progress"]) for doc in found}

    def open_after(self, batch_id: str, last_id: str, *, limit: int) -> list[Job]:
        """Return a batch's jobs that have not ended, by ascending id after `last_id` ("" for the first)."""
        query = {"batchId": batch_id, "_id": {"$gt": last_id}, "status": {"$in": OPEN_STATUSES}}
        return [from_document(doc, self._patience) for doc in self._jobs.find(query).sort("_id").limit(limit)]

    def slots_taken(self) -> int:
        """Return how many batch jobs, of whatever batch, are in the works now."""
        return self._jobs.count_documents({"batchSlot": True})
