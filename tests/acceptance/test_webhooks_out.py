"""Webhooks as their receivers see them: what is told, signed by whom, how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.service import Service, a_prompt
from tests.support.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def test_an_orders_webhook_is_told_of_its_end_as_the_job_is_shown(service: Service, receiver: Receiver) -> None:
    job_id = (
        service.submit(a_prompt(), webhook=receiver.url())
        if False
        else service.generate(
            {"model": "flux-pro", "inputs": {"prompt": a_prompt()}, "userId": "user123", "webhook": receiver.url(), "async": True}
        ).json()["jobId"]
    )

    (call,) = receiver.wait()

    assert call.said["type"] == "job.completed"
    shown = service.job(job_id)
    told = call.said["data"]
    assert told.pop("seq") == 3
    assert told.pop("jobUrl").endswith(f"/api/jobs/{job_id}")
    assert told == shown
