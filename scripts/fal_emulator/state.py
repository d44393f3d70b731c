"""What the emulator remembers: requests, files, counters and its settings. No HTTP and no timers here."""

import uuid
from asyncio import Event, Future, TimerHandle
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from scripts.fal_emulator.painter import Picture
from scripts.fal_emulator.references import Reference

KEPT_REQUESTS = 50_000
#: What `GET /_emulator/requests` tells of a request, beside its id and its state.
SHOWN = (
    "endpoint", "arguments", "headers", "webhook", "received_at", "started_at", "ended_at", "refusal", "outcome", "error", "error_type",
    "cancel_requested", "canceled", "deliveries",
)  # fmt: skip
ASKED = ("statusPolls", "streams", "resultFetches", "fileFetches")
KEPT_TEXT = 4_096


class Status(StrEnum):
    """fal's three states (there is no FAILED), and REFUSED for a submit that never became a request."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    REFUSED = "REFUSED"


@dataclass(slots=True)
class Answer:
    """What the result URL answers once the request has ended."""

    status: int
    body: dict[str, Any] | str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """One submit that was seen; times are Unix seconds."""

    endpoint: str
    arguments: dict[str, Any] | None
    received_at: float
    webhook: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sequence: int = 0
    status: Status = Status.IN_QUEUE
    directives: dict[str, str] = field(default_factory=dict)
    outcome: str | None = None
    refusal: str | None = None
    invalid: list[dict[str, Any]] = field(default_factory=list)
    input_size: tuple[int, int] | None = None
    references: Future[tuple[Reference, ...]] | None = None
    queue_seconds: float = 0.0
    seconds: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    answer: Answer | None = None
    error: str | None = None
    error_type: str | None = None
    cancel_requested: bool = False
    canceled: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    timer: TimerHandle | None = None
    changed: Event = field(default_factory=Event)

    def tell(self) -> None:
        """Wake all who wait for another state."""
        self.changed.set()
        self.changed = Event()

    @property
    def prompt(self) -> str:
        value = (self.arguments or {}).get("prompt")
        return value if isinstance(value, str) else ""

    @property
    def app_id(self) -> str:
        """Owner and app: the part of the endpoint under which a request lives after the submit."""
        return "/".join(self.endpoint.split("/")[:2])

    @property
    def ran_seconds(self) -> float | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return round(self.ended_at - self.started_at, 3)

    def to_json(self) -> dict[str, Any]:
        shown = {camel_case(name): getattr(self, name) for name in SHOWN}
        asked = {name: self.asked[name] for name in ASKED}
        return {"requestId": None if self.refusal else self.request_id, "state": self.status, **shown, **asked}


@dataclass(slots=True)
class File:
    """A picture that was promised; it is painted when somebody asks for it."""

    job: Job
    picture: Picture
    outcome: str | None = None


@dataclass(slots=True)
class Settings:
    """How long requests wait and run (seconds), how many run at once (0: no limit), how often a webhook is repeated."""

    seconds: float = 2.0
    queue_seconds: float = 0.2
    concurrency: int = 0
    webhook_retry_seconds: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)

    def to_json(self) -> dict[str, Any]:
        return {camel_case(name): value for name, value in asdict(self).items()}


@dataclass(slots=True)
class State:
    """Everything seen since the start or the last reset; the oldest requests are forgotten beyond KEPT_REQUESTS."""

    jobs: dict[str, Job] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    seen: deque[Job] = field(default_factory=deque)
    counters: Counter[str] = field(default_factory=Counter)

    def count(self, name: str) -> None:
        self.counters[name] += 1

    def remember(self, job: Job) -> None:
        job.arguments = _shortened(job.arguments)
        self.seen.append(job)
        self.count("submits")
        if job.refusal is not None:
            self.count("refused")
        else:
            self.jobs[job.request_id] = job
        if len(self.seen) > KEPT_REQUESTS:
            self._forget(self.seen.popleft())

    def _forget(self, job: Job) -> None:
        self.jobs.pop(job.request_id, None)
        for file_id in job.files:
            self.files.pop(file_id, None)


def camel_case(name: str) -> str:
    """Return a field's name as the control API writes it: `queue_seconds` is `queueSeconds`."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _shortened(value: Any) -> Any:
    """Cut long texts such as data URIs: thousands of requests in flight must not keep gigabytes of pictures."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, str) and len(value) > KEPT_TEXT:
        return f"{value[:KEPT_TEXT]}… ({len(value)} characters)"
    return value
