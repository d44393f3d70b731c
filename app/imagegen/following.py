"""An order from its first request to its last picture. Every step may be a repeated one.

An earlier process may have been killed after any of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from imagegen.delivery import DownloadFailed, Downloads, is_at, target, with_real_extension
from imagegen.gateway import Answer, Gateway
from imagegen.orders import Order, OrderFiles, accepted
from imagegen.outcomes import Exit, Refused, WrongCall

#: Between two looks at a job. The first ones come sooner: many pictures take no longer than a second or two.
FIRST_POLL_S, POLL_S = 0.25, 1.0
OVER = {"completed", "failed", "canceled"}


class Display(Protocol):
    """Where a person sees what goes on."""

    def progress(self, percent: int, message: str) -> None: ...

    def notice(self, text: str) -> None: ...


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
        return sum(max(0, _ordered(job) - len(job["images"])) for job in self.jobs)

    @property
    def exit_code(self) -> Exit:
        if self.troubles:
            return Exit.PARTLY
        if not any(job["images"] for job in self.jobs):
            return Exit.FAILED
        return Exit.PARTLY if self.missing else Exit.DONE


def _ordered(job: Answer) -> int:
    count = {**job["config"]["inputs"], **job["config"]["options"]}.get("num_images", 1)
    return count if isinstance(count, int) else 1


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
        known = accepted(order, self._gateway.post(order.path, order.body, key=order.key))
        self._files.save(known)
        return known

    def place(self, order: Order) -> Order:
        """Write a new order down, then send it."""
        self._files.save(order)
        try:
            return self.sent(order)
        except WrongCall:
            self._files.remove(order.id)  # It cannot be sent, neither now nor later.
            raise
        except Refused as exc:
            if not exc.after_doubt:
                self._files.remove(order.id)
            raise

    def finish(self, order: Order) -> Result:
        """Wait for an accepted order and fetch its pictures. The order's file is removed when nothing is left to fetch."""
        if order.is_batch:
            self._until_over(f"/api/batches/{order.batch_id}")
        result = Result(order)
        for row, job_id in enumerate(order.job_ids, 1):
            job = self._until_over(f"/api/jobs/{job_id}", quietly=order.is_batch)
            result.jobs.append(job)
            result.files[job_id] = self._fetched(result, job, row)
        if not result.troubles:
            self._files.remove(order.id)
        return result

    def _until_over(self, path: str, *, quietly: bool = False) -> Answer:
        etag: str | None = None
        wait_s = FIRST_POLL_S
        while True:
            answer, etag = self._gateway.unless_same(path, etag)
            if answer is not None:
                if not quietly:
                    self._display.progress(int(answer["progress"]), str(answer.get("message") or answer["status"]))
                if answer["status"] in OVER:
                    return answer
            self._sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            wait_s = min(POLL_S, wait_s * 1.5)

    def _fetched(self, result: Result, job: Answer, row: int) -> list[Path]:
        found = []
        for index, image in enumerate(job["images"], 1):
            try:
                found.append(self._picture(result, job, image, row=row, index=index))
            except DownloadFailed as exc:
                result.troubles.append(f"{job['jobId']} image {index}: {exc}")
        return found

    def _picture(self, result: Result, job: Answer, image: dict[str, Any], *, row: int, index: int) -> Path:
        order, name = result.order, f"{job['jobId']}/{index}"
        earlier = order.saved.get(name)
        if earlier and is_at(Path(earlier), image["sha256"]):
            return Path(earlier)
        asked = target(order.output, index=index, jobId=job["jobId"], model=job["model"], row=row)
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
