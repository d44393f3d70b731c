"""The stages of one generation, in order, as Prometheus sees them. Each is counted by the process that sees its end."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import define

from app.clients.metrics import Metrics, Sample

STAGE_SECONDS = "imagegw_job_stage_seconds"


class Stage(StrEnum):
    """Where a generation's time goes. All are ours but `fal`; what each means, `docs/operations.md` tells the operator."""

    ACCEPT = "accept"  # request received -> its job is written and enqueued
    QUEUE = "queue"  # job made -> a worker claims its submit
    SUBMIT = "submit"  # claimed -> fal's receipt is written
    FAL = "fal"  # receipt -> fal was last seen at work on it
    NOTICE = "notice"  # last seen at work -> we know that it has ended
    COLLECT = "collect"  # known -> a worker has fetched the result and downloaded the pictures
    STORE = "store"  # downloaded -> the pictures are stored and the job is written as done
    ANSWER = "answer"  # done -> the waiting request is answered: settlement, event, answer


@define(eq=False, slots=False)
class StageTimes:
    """Counts how long generations spend in their stages."""

    _metrics: Metrics

    def took(self, model: str, stage: Stage, seconds: float) -> None:
        """Count a stage that lasted so long; clocks of two machines that disagree count as no time."""
        self._metrics.record(seconds=[Sample(STAGE_SECONDS, {"model": model, "stage": stage.value}, max(0.0, seconds))])

    def between(self, model: str, stage: Stage, begun: datetime | None, ended: datetime | None) -> None:
        """Count a stage by its ends; one that is not known is not counted."""
        if begun and ended:
            self.took(model, stage, (ended - begun).total_seconds())
