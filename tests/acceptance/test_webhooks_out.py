"""Webhooks as their receivers see them: what is told, signed by whom, how often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.service import Service, a_prompt, order
from tests.support.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


def test_an_orders_webhook_is_told_of_its_end_as_the_job_is_shown(service: Service, receiver: Receiver) -> None:
    answer = service.generate({**order(a_prompt()), "webhook": receiver.url(), "async": True})
    (call,) = receiver.wait()
    told = call.said["data"]

    assert call.said["type"] == "job.completed"
    assert told.pop("seq") == 3
    assert told.pop("jobUrl").endswith(f"/api/jobs/{answer.json()['jobId']}")
    assert told == service.job(answer.json()["jobId"])
