"""fal may say anything: whatever it answers, no task and no loop dies of it, nothing is bought twice, and the job ends.

It runs for FUZZ_SECONDS (20 unless told; `scripts/soak --fuzz` gives it an hour), with other answers each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any, cast

import fal_client.client
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.api.schemas.jobs import JobAnswer
from app.bootstrap import Services
from app.clients.fal.status import FalStatusClient
from app.config import Settings
from app.domain.errors import Unauthorized
from app.domain.fal_request import BOUGHT_STATES
from app.domain.job import Job, JobStatus, Settlement
from tests.support.fal_place import FalPlace
from tests.support.gateway import Gateway
from tests.support.odd_fal import BODIES, HEADERS, SCRIPTS, OddFal, Script, odd_fal
from tests.support.services import Backing
from workers import tasks
from workers.watcher.polling import Poller
from workers.watcher.tracking import Tracker

FUZZ_SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
DEADLINE_S, DAY_S = 1_000, 26 * 3600


class Lab:
    """The service in this process, at a fal that answers by a script."""

    def __init__(self, gateway: Gateway, fal: OddFal) -> None:
        self.gateway, self.fal, self.services = gateway, fal, gateway.services
        self.loop = asyncio.new_event_loop()

    def play(self, script: Script, webhook: bytes) -> Job:
        """Order a picture and do all that processes do, until there is nothing more to be done in a day."""
        self.fal.script = script
        job = self.gateway.order()
        for seconds in (0, 5, 130, DEADLINE_S, 100, DAY_S, 100, 100):
            self._pass(job, seconds)
            self._work()
            self.services.webhooks._collected(job.id, 0, "fal-user", webhook)
            self._work()
            self.loop.run_until_complete(self._poll(job))
            self._work()
            if self.gateway.job(job.id).settlement is Settlement.DONE:
                break
        return self.gateway.job(job.id)

    def _pass(self, job: Job, seconds: float) -> None:
        """Let time pass, and with it every pause in submitting."""
        if not self.gateway.job(job.id).is_terminal:
            self.gateway.wait(job, seconds)
        if paused := [key for key in self.services.redis.scan_iter("imagegw:*") if not key.startswith(b"imagegw:tasks:")]:
            self.services.redis.delete(*paused)
        self.services.recovery.sweep()

    def _work(self) -> None:
        """Do what a worker does. A task that fails shows that fal's words have reached code that cannot take them."""
        while found := self.gateway.tasks():
            for name, arguments in found:
                tasks.TASKS[name][0](*arguments)

    async def _poll(self, job: Job) -> None:
        """Ask for the request's state once, as the watcher does."""
        tracker = Tracker(self.services, cast("Any", _inline))
        tracker.activate(active=True)
        await tracker.add(job.id)
        async with FalStatusClient("test-id:test-secret") as client:
            poller = Poller(client, tracker, polls_per_second=100)
            for tracked in list(tracker.requests.values()):
                await poller._asked_once(tracked)


async def _inline(call: Any) -> Any:
    return call()


@pytest.fixture(scope="module")
def lab(backing: Backing, fal_place: FalPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with odd_fal(fal_place.tls_dir) as fal, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"https://{fal.host}/")
        services = Services(
            Settings(
                mongodb_uri=backing.database_uri("test_fal_anything"),
                redis_url=backing.redis_url,
                storage_url=tmp_path_factory.mktemp("storage").as_uri(),
                fal_key="test-id:test-secret",
                fal_hosts=frozenset({fal.host}),
                jwt_secret="x" * 32,
            )
        )
        patch.setattr(tasks, "services", lambda: services)
        lab = Lab(Gateway(services, cast("Any", None)), fal)
        try:
            yield lab
        finally:
            lab.loop.close()
            services.database.client.drop_database(services.database.name)
            services.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep what the service logs of each odd answer out of the report, which could not hold half of it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


def test_whatever_fal_answers_the_job_ends_and_the_promise_holds(lab: Lab) -> None:
    @settings(max_examples=25, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(SCRIPTS, BODIES)
    def one_round(script: Script, webhook: bytes) -> None:
        job = lab.play(script, webhook)

        assert problems(lab.services, job, script) == []

    until = time.monotonic() + FUZZ_SECONDS
    while time.monotonic() < until:
        one_round()


def problems(services: Services, job: Job, script: Script) -> list[str]:
    """Return every way in which the promise is broken for an order of one picture."""
    told = json.dumps(JobAnswer.of(job, services.links), ensure_ascii=False, allow_nan=False)
    record = services.database["usage"].find_one({"_id": job.id}) or {}
    delivered = len(job.images) if job.status is JobStatus.COMPLETED else 0
    right = job.quote.unit_micros * delivered
    taken = [number for number, answer in enumerate(script.given["submit"]) if 200 <= answer.status < 300]
    checks = {
        "it has not ended": job.is_terminal and job.settlement is Settlement.DONE,
        "it waits for fal": not any(request.state in BOUGHT_STATES for request in job.requests),
        "it was posted again after fal may have taken it": taken in ([], [len(script.given["submit"]) - 1]),
        "it is charged wrongly": (job.charged_micros, record.get("chargedMicros"), record.get("images")) == (right, right, delivered),
        "it failed without a reason": job.status is not JobStatus.FAILED or bool(job.failure and job.failure.message.strip()),
        "it says None": "None" not in (job.failure.message if job.failure else ""),
        "it cannot be told": bool(told.encode()),
        "a picture is missing": all(_is_there(services, image.key) for image in job.images),
        "the receipt is lost": not taken or job.requests[0].receipt is not None or job.requests[0].failure is not None,
    }
    return [name for name, holds in checks.items() if not holds]


def _is_there(services: Services, key: str) -> bool:
    with services.storage.open(key) as file:
        return bool(file.read(1))


@settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(headers=HEADERS, signature=st.text(max_size=140), timestamp=st.text(max_size=30) | st.integers().map(str), body=BODIES)
def test_a_webhook_that_fal_did_not_sign_is_refused_whatever_it_holds(
    lab: Lab, headers: tuple[tuple[str, str], ...], signature: str, timestamp: str, body: bytes
) -> None:
    signed = {f"X-Fal-Webhook-{name}": "x" for name in ("Request-Id", "User-Id")}
    given_headers = {**dict(headers), **signed, "X-Fal-Webhook-Signature": signature, "X-Fal-Webhook-Timestamp": timestamp}

    with contextlib.suppress(Unauthorized):
        lab.services.webhooks.received("01a1fbb9-ae99-76ef-85b8-99f0e4849dc8", 0, given_headers, body)
        raise AssertionError("it was taken")
