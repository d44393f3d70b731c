"""An order from its first request to its last picture. Every step may be a repeated one.

An earlier process may have been killed after any of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from imagegen.delivery import DownloadFailed, Downloads, is_at, target, with_real_extension
from imagegen.gateway import Answer, Gateway
from imagegen.orders import RETRY_PATH, Order, OrderFiles, accepted
from imagegen.outcomes import Exit, Refused, WrongCall

#: Between two looks at a job. The first ones come sooner: many pictures take no longer than a second or two.
FIRST_POLL_S, POLL_S = 0.25, 1.0
OVER = {"completed", "failed", "canceled"}
#: Jobs in one answer.
PAGE = 100


class Display(Protocol):
    """Where a person sees what goes on."""

    def progress(self, percent: int, message: str) -> None: ...

    def notice(self, text: str) -> None: ...

    def ended(self, order: Order, job: Answer, files: list[Path]) -> None: ...


@dataclass
class Result:
    """What an order came to: its jobs as the server shows them, the picture files by job, and what could not be fetched."""

    order: Order
    jobs: list[Answer] = field(default_factory=list)
    files: dict[str, list[Path]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Pictures ordered that will never come: of failed jobs, or fewer than asked for."""
        return sum(max(0, ordered(job) - len(job["images"])) for job in self.jobs)

    @property
    def exit_code(self) -> Exit:
        if self.troubles:
            return Exit.PARTLY
        if not any(job["images"] for job in self.jobs):
            return Exit.FAILED
        return Exit.PARTLY if self.missing else Exit.DONE


def ordered(job: Answer) -> int:
    count = {**job["config"]["inputs"], **job["config"]["options"]}.get("num_images", 1)
    return count if isinstance(count, int) else 1


def pages(gateway: Gateway, query: dict[str, Any], limit: int = PAGE) -> Iterator[Answer]:
    """Yield the jobs of a list, newest first."""
    cursor: str | None = None
    while True:
        page = gateway.get("/api/jobs", **query, limit=limit, cursor=cursor)
        yield from page["jobs"]
        cursor = page["cursor"]["next"]
        if not page["cursor"]["hasMore"] or cursor is None:
            return


def batch_words(counts: Mapping[str, int]) -> str:
    """Return how far a batch is: "12 done, 1 failed, 5 running, 2 waiting"."""
    words = {"completed": "done", "failed": "failed", "canceled": "canceled", "processing": "running", "pending": "waiting"}
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status] or status == "completed")


class Following:
    def __init__(
        self, *, gateway: Gateway, files: OrderFiles, downloads: Downloads, display: Display, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._gateway, self._files, self._downloads, self._display, self._sleep = gateway, files, downloads, display, sleep

    def sent(self, order: Order) -> Order:
        """Return the order as the server accepted it, sending it where that is not known yet.

        Sending it twice makes one order, for as long as the server keeps its key: an older one is WrongCall. A refusal that came at once
        means that nothing was ordered, and the file is removed; after a try without an answer it stays.
        """
        if order.is_accepted:
            return order
        if order.is_stale(datetime.now(UTC)):
            raise WrongCall(
                f"The order {order.id} is more than 23 hours old, and whether it arrived is not known. Sending it could buy it twice. "
                f"Look at imagegen jobs, then imagegen resume --forget {order.id}"
            )
        if order.path == RETRY_PATH:
            return self._ordered_again(order)
        known = accepted(order, self._gateway.post(order.path, order.body, key=order.key))
        self._files.save(known)
        return known

    def _ordered_again(self, order: Order) -> Order:
        """Order the jobs that have not been yet, each with a key of its own."""
        for job_id in order.body["jobs"][len(order.job_ids) :]:
            answer = self._gateway.post(RETRY_PATH.format(job_id), key=f"{order.key}-{job_id}")
            order = replace(order, job_ids=[*order.job_ids, answer["jobId"]])
            self._files.save(order)
        self._files.failures.remove(order.id)
        return order

    def place(self, order: Order) -> Order:
        """Write a new order down, then send it."""
        self._files.save(order)
        try:
            return self.sent(order)
        except WrongCall:
            self._files.remove(order.id)  # It cannot be sent, neither now nor later.
            raise
        except Refused as exc:
            if not exc.after_doubt and not self._files.load(order.id).job_ids:
                self._files.remove(order.id)
            raise

    def finish(self, order: Order) -> Result:
        """Wait for an accepted order, and fetch the pictures of each job as it ends. Nothing left to fetch: the order's file is removed."""
        result = Result(order)
        for job in self._as_they_end(order):
            result.jobs.append(job)
            result.files[job["jobId"]] = self._fetched(result, job)
            self._display.ended(result.order, job, result.files[job["jobId"]])
        result.jobs.sort(key=lambda job: order.job_ids.index(job["jobId"]))
        if not result.troubles:
            failed = [job["jobId"] for job in result.jobs if job["status"] != "completed"]
            result.order = replace(result.order, failed=failed)
            if failed:
                self._files.keep_failures(result.order)
            self._files.remove(order.id)
        return result

    def _as_they_end(self, order: Order) -> Iterator[Answer]:
        waiting = list(order.job_ids)
        if order.batch_id is not None:
            for batch in self._looks(f"/api/batches/{order.batch_id}", longest_s=max(POLL_S, len(waiting) / PAGE)):
                self._display.progress(int(batch["progress"]), batch_words(batch["counts"]))
                if sum(batch["counts"][status] for status in OVER) > len(order.job_ids) - len(waiting):
                    for job in pages(self._gateway, {"batchId": order.batch_id, "userId": batch["userId"]}):
                        if job["status"] in OVER and job["jobId"] in waiting:
                            waiting.remove(job["jobId"])
                            yield job
                if batch["status"] in OVER:
                    break
        for job_id in waiting:
            yield self._ended(job_id)

    def _ended(self, job_id: str) -> Answer:
        for job in self._looks(f"/api/jobs/{job_id}", longest_s=POLL_S):
            self._display.progress(int(job["progress"]), str(job.get("message") or job["status"]))
            if job["status"] in OVER:
                return job
        raise AssertionError

    def _looks(self, path: str, *, longest_s: float) -> Iterator[Answer]:
        """Yield each new answer of a path, for ever."""
        etag: str | None = None
        wait_s = FIRST_POLL_S
        while True:
            answer, etag = self._gateway.unless_same(path, etag)
            if answer is not None:
                yield answer
            self._sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            wait_s = min(longest_s, wait_s * 1.5)

    def _fetched(self, result: Result, job: Answer) -> list[Path]:
        found = []
        for index, image in enumerate(job["images"], 1):
            try:
                found.append(self._picture(result, job, image, index=index))
            except DownloadFailed as exc:
                result.troubles.append(f"{job['jobId']} image {index}: {exc}")
        return found

    def _picture(self, result: Result, job: Answer, image: dict[str, Any], *, index: int) -> Path:
        order, name = result.order, f"{job['jobId']}/{index}"
        row = order.row(job["jobId"])
        earlier = order.saved.get(name)
        if earlier and is_at(Path(earlier), image["sha256"]):
            return Path(earlier)
        names = {"index": index, "jobId": job["jobId"], "model": job["model"], "row": row}
        asked = target(order.output, order.names_of(job["jobId"]) | names)
        wanted = with_real_extension(asked, image["contentType"])
        if is_at(wanted, image["sha256"]):
            path = wanted  # A process that was killed right after it had put it there.
        else:
            path = self._downloads.fetch(image, wanted, partial=f".{order.id}-{row}-{index}.part", force=order.force)
        if wanted != asked and asked.suffix:
            self._display.notice(f"The picture is {image['contentType']}, so it is named {wanted.name} and not {asked.name}")
        if path != wanted:
            self._display.notice(f"{wanted} exists; the picture is in {path}")
        result.order = replace(order, saved={**order.saved, name: str(path)})
        self._files.save(result.order)
        return path
