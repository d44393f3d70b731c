"""The `usage` collection: one record per finished job (`_id` = job id), written at its settlement.

Its field `countedBy` is the business of `usage_days`.
"""

from __future__ import annotations

from app.job import Job
from app.stores.database import Database, store
from app.usage import tally_of


@store
class UsageStore:
    def __init__(self, database: Database) -> None:
        self._usage = database["usage"]

    def record(self, job: Job) -> None:
        """Write the record of a finished job; repeating it writes the same."""
        self._usage.update_one(
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
                }
            },
            upsert=True,
        )
