"""A job's events over plain HTTP, and the cheap question whether a job has changed."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Service, a_prompt, wait_until
from tests.support.connections import open_connections
from tests.support.listeners import listening

Told = list[tuple[int, str, dict[str, Any]]]
A_JOB = "01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def stream(service: Service, job_id: str, **headers: str) -> httpx.Response:
    """Read a job's stream to its end."""
    answer = httpx.get(f"{service.stack.base_url}/api/jobs/{job_id}/events", headers=headers, timeout=20, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer


def told(text: str) -> Told:
    """Return what a stream's events say: number, name, data. A stream cut inside an event fails here."""
    assert text.endswith("\n\n")
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "id" in fields:
            assert set(fields) == {"id", "event", "data"}
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_a_stream_tells_what_socketio_tells_field_by_field(ada: Person) -> None:
    with listening(ada.service.stack.base_url, {"token": ada.token}) as heard:
        job_id = ada.ordered(ada.text())
        answer = stream(ada.service, job_id, **ada.headers)
        by_socket = heard.until_end_of(job_id)

    events = told(answer.text)
    assert [(name, data) for _, name, data in events] == by_socket
    assert [number for number, _, _ in events] == [data["seq"] for _, _, data in events] == list(range(1, len(events) + 1))
    assert events[-1][1] == "generation_completed"
    assert answer.text.startswith("retry: 3000\n\n")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")


def test_an_event_comes_when_it_happens_and_not_with_the_last(service: Service) -> None:
    service.emulator.settings(seconds=1.5)
    job_id = service.submit(a_prompt())

    with service.client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        lines = ((time.monotonic(), line) for line in answer.iter_lines())
        moments = [moment for moment, line in lines if line.startswith("id: ")]

    assert moments[-1] - moments[0] > 1.0


def test_a_failure_ends_a_stream_with_its_reason(service: Service) -> None:
    prompt = a_prompt()
    service.emulator.outcome("content_policy", promptContains=prompt)

    events = told(stream(service, service.submit(prompt)).text)

    assert (events[-1][1], events[-1][2]["code"]) == ("generation_failed", "content_policy_violation")


def test_last_event_id_goes_on_after_what_was_seen(service: Service) -> None:
    job_id = service.submit(a_prompt())
    whole = told(stream(service, job_id).text)

    rests = {seen: told(stream(service, job_id, **{"Last-Event-ID": str(seen)}).text) for seen in (0, 1, len(whole) - 1, len(whole), 10**8)}

    assert rests == {seen: whole[seen:] for seen in rests}
    assert len(whole) >= 3


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 40, "%00", "0x1"])
def test_a_last_event_id_that_is_no_number_counts_as_none(service: Service, value: str) -> None:
    job_id = service.submit(a_prompt())
    service.ended(job_id)

    assert told(stream(service, job_id, **{"Last-Event-ID": value}).text)[0][0] == 1


def test_somebody_elses_job_and_no_job_look_alike(ada: Person) -> None:
    grace = Person(ada.service, "grace")
    job_id = grace.ordered(grace.text())

    answers = [ada.get(f"/api/jobs/{name}/events") for name in (job_id, A_JOB, "nonsense")]
    refused = ada.service.client.get(f"/api/jobs/{job_id}/events", headers={"Authorization": "Bearer nonsense"})

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, answers[0].json()["code"])] * 3
    assert refused.status_code == 401


def test_many_streams_of_one_job_tell_the_same(service: Service) -> None:
    service.emulator.settings(seconds=1.0)
    job_id = service.submit(a_prompt())

    with ThreadPoolExecutor(20) as pool:
        texts = set(pool.map(lambda _: stream(service, job_id).text, range(20)))

    assert len(texts) == 1


def test_clients_that_go_away_leave_no_connection_behind(service: Service) -> None:
    service.emulator.settings(seconds=2.0)
    port = urlsplit(service.stack.base_url).port or 0
    before = open_connections(port)
    job_id = service.submit(a_prompt())

    for _ in range(10):
        address = f"{service.stack.base_url}/api/jobs/{job_id}/events"
        with httpx.stream("GET", address, timeout=10, trust_env=False) as answer:
            next(answer.iter_raw())
    service.ended(job_id)

    wait_until(lambda: open_connections(port) <= before, 30, "the end of all streams")


def test_a_web_process_told_to_stop_ends_its_streams_and_the_next_one_goes_on(service: Service) -> None:
    service.emulator.settings(seconds=8.0)
    job_id = service.submit(a_prompt())

    with ThreadPoolExecutor(1) as pool, service.client.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        texts = answer.iter_text()
        first = next(texts) + next(texts)
        ended = pool.submit(service.stack.restart, "web")
        began = time.monotonic()
        before = told(first + "".join(texts))
        took_s = time.monotonic() - began
        ended.result(30)
    after = told(stream(service, job_id, **{"Last-Event-ID": str(before[-1][0])}).text)

    assert took_s < 8, "the stream ended with its job, not with its process"
    assert [number for number, _, _ in before + after] == list(range(1, len(before + after) + 1))
    assert after[-1][1] == "generation_completed"


def test_an_unchanged_job_is_answered_without_its_body(service: Service) -> None:
    service.emulator.settings(seconds=1.0)
    address = f"/api/jobs/{(job_id := service.submit(a_prompt()))}"
    early = service.client.get(address).headers["etag"]
    service.ended(job_id)
    wait_until(lambda: service.document(job_id)["settlement"] == "done", 30, "the settlement")

    whole = service.client.get(address, headers={"If-None-Match": early})
    same = service.client.get(address, headers={"If-None-Match": whole.headers["etag"]})

    assert (whole.status_code, whole.json()["status"]) == (200, "completed")
    assert whole.headers["etag"] != early
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", whole.headers["etag"])


def test_an_etag_shows_nobody_elses_job(ada: Person) -> None:
    grace = Person(ada.service, "grace")
    job_id = grace.ordered(grace.text())
    grace.ended(job_id)
    tag = grace.get(f"/api/jobs/{job_id}").headers["etag"]

    answers = [ada.service.client.get(f"/api/jobs/{job_id}", headers={**ada.headers, "If-None-Match": given}) for given in (tag, "*")]

    assert [answer.status_code for answer in answers] == [404, 404]
