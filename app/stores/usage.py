"""The `usage` collection: one record per finished job (`_id` = job id), written at its settlement."""

from __future__ import annotations

from app.job import Job
from app.stores.database import Database, store


@store
class UsageStore:
    def __init__(self, database: Database) -> None:
        self._usage = database["usage"]

    def record(self, job: Job) -> None:
        """Write the record of a finished job; repeating it writes the same."""
        self._usage.replace_one(
            {"_id": job.id},
            {
                "userId": job.user_id,
                "model": job.model,
                "status": job.status.value,
                "images": len(job.images),
                "chargedMicros": job.charged_micros,
                "tokens": job.tokens_used,
                "priceId": job.quote.price_id,
                "at": job.completed_at,
            },
            upsert=True,
        )
