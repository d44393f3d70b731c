"""After the end: tokens, usage, uploads, the last event. The terminal transition is the arbiter; this follows it, and may be repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from attrs import define

from app.clients.fal.queue import FalQueue
from app.clients.metrics import Metrics, Sample
from app.clients.storage import Storage
from app.domain import clock, keys
from app.domain.asset import Purpose, Upload
from app.domain.errors import StorageUnavailable, StoreUnavailable
from app.domain.job import Job, JobStatus, Settlement, StoredImage
from app.domain.pricing import usd
from app.services.deliveries.job_events import JobEvents
from app.services.events.announcements import Announcer
from app.services.money.funds import Funds
from app.services.orders.fair_share import FairShare
from app.stores.jobs import JobStore
from app.stores.uploads import UploadStore
from app.stores.usage import UsageDayStore, UsageStore

log = logging.getLogger(__name__)


@define(eq=False, slots=False, kw_only=True)
class Settler:
    _jobs: JobStore
    _usage: UsageStore
    _usage_days: UsageDayStore
    _uploads: UploadStore
    _announcer: Announcer
    _funds: Funds
    _fair_share: FairShare
    _fal: FalQueue
    _storage: Storage
    _metrics: Metrics
    _job_events: JobEvents
    _now: Callable[[], datetime] = clock.now

    def settle(self, job: Job) -> None:
        """Do what a terminal job still owes. Every step's key derives from the job, so a crash anywhere is mended by doing it again."""
        if job.settlement is not Settlement.DUE:
            return
        try:
            self._funds.settle(job)
            self._usage_days.add(job, self._usage.record(job))
            self._keep_or_drop(job)
            self._announcer.announce(job)
            now = self._now()
            # Written before the job counts as settled: what is told of a job is never lost, and told as the job is read from now on.
            self._job_events.ended(job.settled(now=now) or job)
            settled = self._jobs.change(job, lambda j: j.settled(now=now))
        except (StoreUnavailable, StorageUnavailable):
            log.warning("settlement interrupted, the sweep repeats it", extra={"job_id": job.id}, exc_info=True)
            return
        if settled is None:
            return  # Somebody else has settled it, and told of it.
        _log_outcome(job)
        self._count(job)
        if job.batch_id:
            self._fair_share.ask_for_turns()

    def _keep_or_drop(self, job: Job) -> None:
        """Make a completed job's pictures its user's; leave nothing behind of a job that ended otherwise, here or at fal."""
        if job.status is JobStatus.COMPLETED:
            for image in job.images:
                self._uploads.insert(_as_upload(job, image))
            return
        for receipt in job.abandoned_receipts:
            self._fal.cancel(receipt)
        self._storage.delete_tree(keys.job_folder(job.user_id, job.id))

    def _count(self, job: Job) -> None:
        counts = [Sample("imagegw_jobs_total", {"model": job.model, "status": job.status.value}, 1)]
        if job.status is JobStatus.COMPLETED:
            cost = job.actual.micros if job.actual else job.quote.cost_micros
            counts.append(Sample("imagegw_provider_cost_usd_total", {"model": job.model}, usd(cost)))
        self._metrics.record(counts=counts)


def _as_upload(job: Job, image: StoredImage) -> Upload:
    return Upload(
        id=image.upload_id,
        user_id=job.user_id,
        purpose=Purpose.OUTPUT,
        key=image.key,
        content_type=image.content_type,
        width=image.width,
        height=image.height,
        size_bytes=image.size_bytes,
        sha256=image.sha256,
        created_at=job.completed_at or job.updated_at,
        job_id=job.id,
    )


def _log_outcome(job: Job) -> None:
    log.info(
        "job %s",
        job.status.value,
        extra={
            "job_id": job.id,
            "model": job.model,
            "status": job.status.value,
            "images": len(job.images),
            "charged_micros": job.charged_micros,
            "code": job.failure.code if job.failure else None,
            "fal_request_ids": [r.receipt.request_id for r in job.requests if r.receipt],
            "seconds": (job.updated_at - job.created_at).total_seconds(),
        },
    )
