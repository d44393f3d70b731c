"""Where a generation's time goes, as `/metrics` tells it: all processes of a running service see their part of it."""

import time
import uuid
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.service import SECONDS, Service, a_prompt

STAGES = ("accept", "queue", "submit", "fal", "notice", "collect", "store", "answer")
MODEL = "flux-lora"
#: Processes gather their counts for a second.
LATE_S = 1.3
Spent = dict[str, tuple[float, float]]


def at_rest(service: Service) -> Spent:
    """Return the same once nothing that was ordered before can be counted any more."""
    service.footprint()
    time.sleep(LATE_S)
    return spent(service)


def spent(service: Service) -> Spent:
    """Return each stage's count and seconds so far."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(service.client.get("/metrics").text):
        for sample in family.samples:
            if family.name == "imagegw_job_stage_seconds" and sample.labels["model"] == MODEL and "le" not in sample.labels:
                found.setdefault(sample.labels["stage"], {})[sample.name.rpartition("_")[2]] = sample.value
    return {stage: (values["count"], values["sum"]) for stage, values in found.items()}


def ordered(service: Service, body: dict[str, Any], key: str) -> httpx.Response:
    return service.client.post("/api/images/generate", json=body, headers={"Idempotency-Key": key})


def test_each_stage_of_a_generation_is_counted_once_and_together_they_are_the_time_of_its_answer(service: Service) -> None:
    body, key = {"model": MODEL, "inputs": {"prompt": a_prompt()}, "options": {}, "userId": "user123"}, uuid.uuid4().hex
    before = at_rest(service)

    begun = time.monotonic()
    answer = ordered(service, body, key)
    took_s = time.monotonic() - begun

    assert answer.status_code == 201, answer.text
    after = at_rest(service)
    passed = {
        stage: (count - before.get(stage, (0, 0))[0], sum_s - before.get(stage, (0, 0))[1]) for stage, (count, sum_s) in after.items()
    }
    seconds = {stage: sum_s for stage, (_, sum_s) in passed.items()}
    assert {stage: count for stage, (count, _) in passed.items()} == dict.fromkeys(STAGES, 1)
    # `queue` begins when the job is made, which is within `accept`.
    assert 0.6 * took_s <= sum(seconds.values()) <= took_s + seconds["accept"] + 0.1
    assert seconds["fal"] + seconds["notice"] >= SECONDS / 2, "the emulator paints that long"

    repeated = ordered(service, body, key)

    assert repeated.json() == answer.json()
    assert at_rest(service) == after


def test_a_generation_nobody_waits_for_has_no_time_of_its_answer(service: Service) -> None:
    body, key = {"model": MODEL, "inputs": {"prompt": a_prompt()}, "options": {}, "userId": "user123", "async": True}, uuid.uuid4().hex
    before = at_rest(service)

    service.ended(ordered(service, body, key).json()["jobId"])

    after = at_rest(service)
    assert {stage: after[stage][0] - before.get(stage, (0, 0))[0] for stage in STAGES if stage != "answer"} == dict.fromkeys(STAGES[:-1], 1)
    assert after.get("answer") == before.get("answer")
