"""The service in one process: a test plays worker and sweep itself, so that it decides what happens when."""

from __future__ import annotations

import copy
import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from rq import Queue
from rq.serializers import JSONSerializer

from app.bootstrap import Services
from app.clients.queue import SHIFT_QUEUE
from app.clients.storage import LocalStorage, Storage
from app.domain import clock, keys
from app.domain.errors import StorageUnavailable
from app.domain.job import Job
from app.services.fulfilment.collection import Collector
from app.services.orders.order import Order
from tests.support.emulator import Emulator
from tests.support.factories import certain
from tests.support.fal_calls import wait_until

SMALL = {"width": 64, "height": 64}
ENDED = ("COMPLETED", "REFUSED")


class Gateway:
    def __init__(self, services: Services, fal: Emulator) -> None:
        self.services = services
        self.fal = fal

    def order(
        self, *, model: str = "flux-dev", num_images: int = 1, prompt: str = "a red bicycle", user_id: str = "user-1", **inputs: Any
    ) -> Job:
        """Accept an order; nothing is sent to fal yet."""
        options = {"num_images": num_images} | ({"image_size": SMALL} if model == "flux-dev" else {})
        order = Order(model=model, inputs={"prompt": prompt, **inputs}, options=options, user_id=user_id)
        return self.services.orders.submit(order).job

    def job(self, job_id: str) -> Job:
        return certain(self.services.jobs.get(job_id))

    def dispatch(self, job: Job) -> Job:
        """Do what a worker does with a new job."""
        self.services.dispatcher.post(job.id)
        return self.job(job.id)

    def collect(self, job: Job, *, collector: Collector | None = None) -> Job:
        """Do what a worker does with each request once fal has finished all."""
        wait_until(lambda: all(seen["state"] in ENDED for seen in self.fal.requests()))
        for request in job.requests:
            (collector or self.services.collector).collect(job.id, request.index)
        return self.job(job.id)

    def generated(self, job: Job) -> Job:
        return self.collect(self.dispatch(job))

    def sweep(self, job: Job) -> Job:
        """Do what the watcher's sweep does, and what a worker does with an overdue job that the sweep has found."""
        self.services.recovery.sweep()
        if self.job(job.id).expiry_at:
            self.services.recovery.expire(job.id)
        return self.job(job.id)

    def wait(self, job: Job, seconds: float) -> Job:
        """Let time pass for a job: everything that is due about it comes so much earlier."""
        by = timedelta(seconds=seconds)
        changed = certain(self.services.jobs.change(job.id, lambda current: _earlier(current, by)))
        # No change of a job moves its beginning.
        self.services.database["jobs"].update_one({"_id": job.id}, {"$set": {"createdAt": changed.created_at}})
        return changed

    def resume(self) -> None:
        """End a pause in submitting."""
        self.services.redis.delete("imagegw:fal-paused")

    def tasks(self) -> list[tuple[str, list[Any]]]:
        """Return the tasks that wait for a worker and take them away, those of finished pictures first."""
        found = []
        while task := self.services.queue.take(begins=True):
            found.append((task.name, task.args))
        Queue(SHIFT_QUEUE, connection=self.services.redis, serializer=JSONSerializer).delete(delete_jobs=True)
        return found

    def usage(self) -> list[dict[str, Any]]:
        return list(self.services.database["usage"].find())

    def posts(self) -> list[int]:
        """Return how many images each submit that fal saw has asked for."""
        return [seen["arguments"]["num_images"] for seen in self.fal.requests()]

    def stored(self, job: Job) -> list[bytes]:
        """Return the bytes of a job's pictures from storage."""
        contents = []
        for image in job.images:
            with self.services.storage.open(image.key) as file:
                contents.append(file.read())
        return contents

    def folder_of(self, job: Job) -> Path:
        """Return the folder of a job's pictures, which need not exist."""
        assert isinstance(self.services.storage, LocalStorage)
        return self.services.storage.root / keys.job_folder(job.user_id, job.id)

    def collector_with(self, storage: Storage) -> Collector:
        """Return a collector that differs from the service's own only in its storage."""
        collector = copy.copy(self.services.collector)
        collector._storage = storage
        return collector


class StorageAway(LocalStorage):
    """The service's own folder, away for the first calls, reads and writes alike."""

    def __init__(self, services: Services, failures: int) -> None:
        assert isinstance(services.storage, LocalStorage)
        super().__init__(services.storage.root, "http://localhost:5000/files")
        self.failures_left = failures

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        self._fail()
        super().put(key, body, content_type)

    def open(self, key: str) -> IO[bytes]:
        self._fail()
        return super().open(key)

    def _fail(self) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise StorageUnavailable("The storage bucket cannot be reached right now")


def _earlier(job: Job, by: timedelta) -> Job:
    requests = tuple(
        dataclasses.replace(
            request,
            next_at=request.next_at and request.next_at - by,
            not_before=request.not_before and request.not_before - by,
            ended_at=request.ended_at and request.ended_at - by,
        )
        for request in job.requests
    )
    return dataclasses.replace(
        job,
        requests=requests,
        created_at=job.created_at - by,
        deadline_at=job.deadline_at - by,
        expiry_at=job.expiry_at and job.expiry_at - by,
        settle_at=job.settle_at and job.settle_at - by,
        cancel_at=job.cancel_at and job.cancel_at - by,
        updated_at=clock.now() - by,
    )
