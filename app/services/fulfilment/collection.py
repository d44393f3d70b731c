"""Brings a finished request's pictures home: fetch, download, check, store, then one transition.

Only when every byte is in storage does the job end; fal's own links never reach a client. Storing twice writes the same keys.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import IO

from attrs import define, field

from app.clients.fal.download import Downloader
from app.clients.fal.queue import FalOutput, FalPicture, FalQueue
from app.clients.storage import Storage
from app.domain import clock, keys
from app.domain.errors import (
    GatewayError,
    NotAnImage,
    ProviderRefused,
    ResultUnavailable,
    ResultUnusable,
    StorageUnavailable,
)
from app.domain.fal_request import BOUGHT_STATES, Failure, FinishedNotice, ResultFacts
from app.domain.job import Job, StoredImage
from app.pictures.inspect import PictureFacts, inspect
from app.pictures.provenance import COMPOSITE, TRAINED, marks_of, with_source_type
from app.services.fulfilment.settlement import Settler
from app.services.fulfilment.stages import Stage, StageTimes
from app.services.fulfilment.unreadable import Unreadable
from app.stores.jobs import JobStore

log = logging.getLogger(__name__)

UNUSABLE_TRIES = 4
#: fal keeps results and files for days; a paid picture is fetched as long as there is hope (fal.ai docs, "Data Retention").
GIVE_UP_AFTER = timedelta(hours=24)
PARALLEL_PICTURES = 8
#: What becomes of a picture that says nothing of its origin: it stays as it is, or says it in XMP.
KEEP, IN_XMP = "keep", "xmp"


@define(eq=False, slots=False, kw_only=True)
class Collector:
    _jobs: JobStore
    _fal: FalQueue
    _downloader: Downloader
    _storage: Storage
    _unreadable: Unreadable
    _settler: Settler
    _stages: StageTimes
    _provenance: str = KEEP
    _now: Callable[[], datetime] = clock.now
    _threads: ThreadPoolExecutor = field(init=False, factory=lambda: ThreadPoolExecutor(PARALLEL_PICTURES, thread_name_prefix="collect"))

    def collect(self, job_id: str, index: int, notice: FinishedNotice | None = None) -> None:
        """Collect one finished request. May be repeated and may race: the transition decides, the keys are the same.

        `notice` tells how it became known that it has ended; None where the sweep tries it again.
        """
        job = self._jobs.get(job_id)
        if job is None or job.is_terminal or job.requests[index].state not in BOUGHT_STATES:
            return
        try:
            done = self._collected(job, index, notice or FinishedNotice(noticed_at=self._now()))
        except ProviderRefused as exc:
            done = self._failed(job, index, exc)
        except ResultUnusable as exc:
            tried = job.requests[index].bad_tries + 1
            over = tried >= UNUSABLE_TRIES or job.is_stop(index, exc.code)
            done = self._failed(job, index, exc) if over else self._postponed(job, index, exc, was_bad=True)
        except (ResultUnavailable, StorageUnavailable) as exc:
            ended_at = job.requests[index].ended_at or self._now()
            lost = self._now() - ended_at > GIVE_UP_AFTER
            done = self._failed(job, index, exc) if lost else self._postponed(job, index, exc)
        if done and done.is_terminal:
            self._settler.settle(done)

    def _collected(self, job: Job, index: int, notice: FinishedNotice) -> Job | None:
        receipt = job.requests[index].receipt
        if receipt is None:
            raise ResultUnusable("The request has no receipt")
        output = self._fal.result(receipt)
        downloads: list[datetime] = []
        images = self._stored(job, index, output, downloads)
        if not images:
            raise ResultUnusable("The model answered without a picture", code="no_images")
        said = {"billable_units": output.billable_units, "seed": output.seed, "output": output.said}
        facts = ResultFacts(noticed_at=notice.noticed_at, **said)
        done = self._jobs.change(job, lambda j: j.collected(index, images, facts, now=self._now()))
        if done is None:
            self._discard_unkept(job.id, images)
            return None
        self._count(done, index, notice, max(downloads))
        return done

    def _count(self, job: Job, index: int, notice: FinishedNotice, downloaded_at: datetime) -> None:
        request = job.requests[index]
        self._stages.between(job.model, Stage.FAL, request.submitted_at, notice.at_work_at or notice.noticed_at)
        self._stages.between(job.model, Stage.NOTICE, notice.at_work_at, notice.noticed_at)
        self._stages.between(job.model, Stage.COLLECT, notice.noticed_at, downloaded_at)
        self._stages.between(job.model, Stage.STORE, downloaded_at, request.collected_at)

    def _discard_unkept(self, job_id: str, images: Sequence[StoredImage]) -> None:
        """Remove what was stored for a job that ended otherwise meanwhile; another collector's pictures have the same keys and stay."""
        job = self._jobs.get(job_id)
        if job is not None and not job.is_terminal:
            return
        kept = {image.key for image in job.images} if job else set()
        for image in images:
            if image.key not in kept:
                self._storage.delete(image.key)

    def _stored(self, job: Job, index: int, output: FalOutput, downloads: list[datetime]) -> list[StoredImage]:
        """Store a request's pictures in parallel. One that is unusable for good does not take the others with it.

        `downloads` receives when each picture was here.
        """
        first = job.first_image_number(index)
        wanted = output.pictures[: job.requests[index].num_images]
        # A single one needs no other thread.
        run = self._threads.map if len(wanted) > 1 else map
        results = list(run(lambda n: self._try_store(job, first + n, wanted[n], downloads), range(len(wanted))))
        images = [result for result in results if isinstance(result, StoredImage)]
        errors = [result for result in results if not isinstance(result, StoredImage)]
        _raise_worth_waiting(job, index, errors, have_some=bool(images))
        return images

    def _try_store(self, job: Job, number: int, picture: FalPicture, downloads: list[datetime]) -> StoredImage | GatewayError:
        try:
            return self._store(job, number, picture, downloads)
        except GatewayError as exc:
            return exc

    def _store(self, job: Job, number: int, picture: FalPicture, downloads: list[datetime]) -> StoredImage:
        with self._downloader.fetch(picture.url) as file:
            downloads.append(self._now())
            try:
                facts = inspect(file)
            except NotAnImage as exc:
                kept = self._unreadable.keep(job, number, file)
                details = {"keptAs": kept} if kept else None
                raise ResultUnusable(f"The model's answer is not an image: {exc.message}", code="not_an_image", details=details) from exc
            term, marks = COMPOSITE if job.image_pointers else TRAINED, marks_of(file)
            body, facts = _marked(file, facts, term) if self._provenance == IN_XMP and not marks.is_marked else (file, facts)
            key = keys.generated_image(job.user_id, job.id, number, facts.extension)
            self._storage.put(key, body, facts.content_type)
        return StoredImage(
            upload_id=clock.new_id(),
            number=number,
            key=key,
            content_type=facts.content_type,
            width=facts.width,
            height=facts.height,
            size_bytes=facts.size_bytes,
            sha256=facts.sha256,
            flagged=picture.flagged,
            c2pa=marks.c2pa,
            digital_source_type=marks.digital_source_type or term,
        )

    def _postponed(self, job: Job, index: int, exc: GatewayError, *, was_bad: bool = False) -> Job | None:
        wait = min(60.0, 2.0 ** (job.requests[index].collect_attempts + 1))
        log.warning("collection postponed: %s", exc.message, extra={"job_id": job.id, "index": index, "code": exc.code})
        retry_at = self._now() + timedelta(seconds=wait)
        return self._jobs.change(job, lambda j: j.collection_postponed(index, retry_at=retry_at, now=self._now(), was_bad=was_bad))

    def _failed(self, job: Job, index: int, exc: GatewayError) -> Job | None:
        failure = Failure(exc.code, exc.message, exc.details)
        return self._jobs.change(job, lambda j: j.request_failed(index, failure, now=self._now()))


def _marked(file: IO[bytes], facts: PictureFacts, term: str) -> tuple[IO[bytes], PictureFacts]:
    """Return a picture that says its origin in XMP; as it was where that cannot be said in it."""
    made = with_source_type(file.read(), term, width=facts.width, height=facts.height)
    file.seek(0)
    if made is None:
        return file, facts
    try:
        found = inspect(marked := io.BytesIO(made))
    except NotAnImage:
        log.warning("a picture could not be marked and stays as it is", exc_info=True)
        return file, facts
    return marked, found


def _raise_worth_waiting(job: Job, index: int, errors: Sequence[GatewayError], *, have_some: bool) -> None:
    """Raise the error that makes another try worthwhile; keep quiet where the rest is lost for good and something was delivered."""
    passing = next((e for e in errors if isinstance(e, ResultUnavailable | StorageUnavailable)), None)
    if passing:
        raise passing
    tries_left = job.requests[index].bad_tries + 1 < UNUSABLE_TRIES
    if errors and (tries_left or not have_some):
        raise errors[0]
