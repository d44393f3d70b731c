"""The `usage` collection: one record per finished job (`_id` = job id), written at its settlement.

Its field `countedBy` is the business of `usage_days`.
"""

from __future__ import annotations

from app.domain.job import Job
from app.domain.usage import tally_of
from app.stores.database import Database, store


@store
class UsageStore:
    def __init__(self, database: Database) -> None:
        self._usage = database["usage"]

    def record(self, job: Job) -> str | None:
        """Write the record of a finished job; repeating it writes the same. Returns the mark under which it is counted already, or None."""
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
                }
            },
            upsert=True,
            projection={"countedBy": 1},
        )
        return found.get("countedBy") if found else None
