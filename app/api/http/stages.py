"""The two stages that the web process sees: accepting an order, and answering whoever waits for it."""

from __future__ import annotations

import time

from flask import g

from app.api.http.context import services
from app.domain import clock
from app.domain.job import Job
from app.services.fulfilment.stages import Stage
from app.services.orders.submit import Accepted


def count_accept(accepted: Accepted) -> None:
    """Count how long this request's order took to be accepted; a repeated order was accepted before."""
    if not accepted.replayed:
        services().stages.took(accepted.job.model, Stage.ACCEPT, time.time() - g.received_at)


def count_answer(job: Job) -> None:
    """Count how long ago the job was done that this request is answered with."""
    services().stages.between(job.model, Stage.ANSWER, job.completed_at, clock.now())
