"""One emulator: its state, its faults and its moving parts, put together."""

import dataclasses
import time
from typing import Any

from scripts.fal_emulator import endpoints, outputs
from scripts.fal_emulator.faults import Fault, FaultBook, directives_in
from scripts.fal_emulator.painter import Painter
from scripts.fal_emulator.references import uris_of
from scripts.fal_emulator.runner import Runner
from scripts.fal_emulator.state import Job, Settings, State, Status
from scripts.fal_emulator.tls import Tls
from scripts.fal_emulator.webhooks import Deliverer, Signer


class World:
    """What the HTTP handlers act upon."""

    def __init__(self, base_url: str, tls: Tls, settings: Settings) -> None:
        self.base_url = base_url
        self.settings = settings
        self._first_settings = dataclasses.replace(settings)
        self.state = State()
        self.faults = FaultBook()
        self.painter = Painter()
        self.runner = Runner(settings, self._end)
        self.signer = Signer(tls.bundle.parent / "webhook.key")
        self.deliverer = Deliverer(self.signer, self.state, settings, tls.bundle)

    def register(self, endpoint: str, arguments: dict[str, Any], webhook: str | None, headers: dict[str, str]) -> Job:
        """Accept a request and put it into the queue."""
        job = Job(endpoint=endpoint, arguments=arguments, received_at=time.time(), webhook=webhook, headers=headers)
        job.directives = directives_in(job.prompt)
        job.queue_seconds = _seconds(job.directives.get("queue"), self.settings.queue_seconds)
        job.seconds = _seconds(job.directives.get("seconds"), self.settings.seconds)
        ordered = self.faults.take("run", endpoint, job.prompt)
        job.outcome = job.directives.get("fail") or (ordered.kind if ordered else None)
        spec = endpoints.find(endpoint)
        job.invalid = endpoints.validate(spec, arguments) if spec else []
        job.input_size = outputs.input_size(arguments)
        job.references = self.painter.read(uris_of(arguments))
        self.state.remember(job)
        self.runner.enqueue(job)
        return job

    def refuse(self, endpoint: str, arguments: dict[str, Any] | None, reason: str) -> None:
        """Remember a submit that was seen and turned away."""
        job = Job(endpoint=endpoint, arguments=arguments, received_at=time.time(), refusal=reason)
        job.status = Status.REFUSED
        self.state.remember(job)

    def fault_for(self, stage: str, job: Job) -> Fault | None:
        """The failure due when this request is asked for at this stage; the prompt's own orders come first."""
        if stage in job.directives:
            return Fault(on=stage, kind=job.directives[stage])
        return self.faults.take(stage, job.endpoint, job.prompt)

    async def _end(self, job: Job) -> None:
        job.answer = outputs.failure(job) or await outputs.success(job, self.state, self.painter, self.base_url)
        job.status, job.ended_at = Status.COMPLETED, time.time()
        job.tell()
        self.state.count("canceled" if job.canceled else "failed" if job.answer.status >= 400 else "succeeded")
        if job.webhook is not None:
            self.deliverer.start(job, self.fault_for("webhook", job))

    def reset(self) -> None:
        """Forget everything and go back to the settings of the start; painted pictures stay."""
        self.runner.clear(list(self.state.jobs.values()))
        self.deliverer.clear()
        self.faults.orders.clear()
        for field in dataclasses.fields(Settings):
            setattr(self.settings, field.name, getattr(self._first_settings, field.name))
        for kept in (self.state.jobs, self.state.files, self.state.seen, self.state.counters):
            kept.clear()


def _seconds(text: str | None, usual: float) -> float:
    try:
        return max(0.0, float(text)) if text is not None else usual
    except ValueError:
        return usual
