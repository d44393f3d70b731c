"""A running service as a test sees it: its API, what its emulator was asked, what its database holds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pymongo import MongoClient

from scripts.stack.stack import Stack
from tests.support.emulator import Emulator

SECONDS = 0.2
QUEUE_SECONDS = 0.02
PROCESSES = ("web", "worker", "watcher")
Answer = dict[str, Any]
T = TypeVar("T")


class Service:
    """The processes, three ways to look at them, and the few calls that most tests make."""

    def __init__(self, stack: Stack, client: httpx.Client, emulator: Emulator, mongo: MongoClient[Answer]) -> None:
        self.stack = stack
        self.client = client
        self.emulator = emulator
        self.database = mongo.get_default_database()

    def calm(self) -> None:
        """Take back every order a test gave: failures, durations, processes left dead."""
        self.emulator.clear()
        self.emulator.settings(seconds=SECONDS, queueSeconds=QUEUE_SECONDS, concurrency=0)
        for name in PROCESSES:
            if not self.stack.child(name).is_running:
                self.stack.start(name)

    def generate(self, body: Mapping[str, Any], *, prefer: str | None = None) -> httpx.Response:
        return self.client.post("/api/images/generate", json=body, headers={"Prefer": prefer} if prefer else {})

    def submit(self, prompt: str, **more: Any) -> str:
        """Order a picture without waiting; return the job's id."""
        answer = self.generate({**order(prompt), **more, "async": True})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["jobId"])

    def job(self, job_id: str) -> Answer:
        answer = self.client.get(f"/api/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: Answer = answer.json()
        return found

    def ended(self, job_id: str, *, within_s: float = 60.0) -> Answer:
        """Return the job once it has ended."""
        return wait_until(lambda: job if (job := self.job(job_id))["completedAt"] else None, within_s, f"the end of {job_id}")

    def document(self, job_id: str) -> Answer:
        """Return the job as MongoDB has it."""
        found = self.database["jobs"].find_one({"_id": job_id})
        assert found is not None
        return found

    def posts(self, prompt: str) -> list[Answer]:
        """Return the submits the emulator saw with this prompt, oldest first."""
        return [seen for seen in self.emulator.requests() if (seen["arguments"] or {}).get("prompt") == prompt]

    def footprint(self) -> tuple[int, int, int]:
        """Return what a refused request must not change: submits at the emulator, jobs, uploads. Waits for what is still on its way."""
        unsettled = {"settlement": {"$ne": "done"}}
        wait_until(lambda: self.database["jobs"].count_documents(unsettled) == 0, 30, "the end of all jobs")
        jobs, uploads = (self.database[name].count_documents({}) for name in ("jobs", "uploads"))
        return self.emulator.stats()["submits"], jobs, uploads

    def last_words(self) -> str:
        """Return the newest log lines of each process that tell more than that a request was answered."""
        logs = [self.stack.child(name).last_lines(400).splitlines() for name in self.stack.names if name not in ("mongo", "redis")]
        return "\n".join(line for lines in logs for line in [line for line in lines if '"status": 20' not in line][-15:])


def order(prompt: str = "a red bicycle", **options: Any) -> Answer:
    """Return a body of `/api/images/generate` that is right; small pictures, as most tests only count them."""
    return {"model": "flux-pro", "inputs": {"prompt": prompt}, "options": {"image_size": "square", **options}, "userId": "user123"}


def a_prompt() -> str:
    """Return a prompt no other test has, by which its requests are found again."""
    return f"a red bicycle {uuid.uuid4().hex}"


def wait_until(found: Callable[[], T | None], within_s: float, what: str) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {within_s:g} s in vain for {what}")


@contextmanager
def running_service(**overrides: str) -> Iterator[Service]:
    """Start a service of its own on embedded stores, and end it. All tests come from one address: it may log in as often as they need."""
    settings = {"ALLOW_ANONYMOUS": "true", "WORKERS": "2", "RATE_LIMIT_LOGIN": "100000/minute", **overrides}
    with Stack(env={}, quiet=True, overrides=settings, emulator_seconds=SECONDS) as stack:
        assert stack.emulator_url is not None
        assert stack.bundle is not None
        emulator = Emulator(stack.emulator_url, stack.bundle)
        mongo: MongoClient[Answer] = MongoClient(stack.mongo_uri, tz_aware=True)
        try:
            with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client, mongo:
                yield Service(stack, client, emulator, mongo)
        finally:
            emulator.close()
