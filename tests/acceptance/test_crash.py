"""Processes killed with SIGKILL at the worst moments: every paid picture arrives, and nothing is bought twice."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.people import accounts_of
from tests.acceptance.service import PROCESSES, Answer, Service, a_prompt, order, running_service, wait_until
from tests.support.fal_clients import LOCKED, start_story, told_by

UNKNOWN_SECONDS = 3
# A killed watcher's lease has to run out before the next one works.
TAKE_OVER_SECONDS = 40


@pytest.fixture(scope="module")
def service_of_its_own() -> Iterator[Service]:
    with running_service(SUBMIT_UNKNOWN_SECONDS=str(UNKNOWN_SECONDS)) as running:
        yield running


@pytest.fixture
def service(service_of_its_own: Service) -> Service:
    """Hides the shared service: what is killed here is nobody else's."""
    service_of_its_own.calm()
    return service_of_its_own


def in_flight(service: Service, job_id: str) -> Callable[[], bool]:
    """Return whether fal has every request of the job and the receipts are saved."""
    return lambda: {request["state"] for request in service.document(job_id)["requests"]} == {"submitted"}


def assert_delivered_once(service: Service, job: Answer, prompt: str, calls: int = 1) -> None:
    assert (job["status"], job["error"]) == ("completed", None)
    assert len(service.posts(prompt)) == calls
    assert all(httpx.get(image["url"], trust_env=False).status_code == 200 for image in job["images"])


def test_a_worker_killed_while_pictures_are_in_the_making_loses_none(service: Service) -> None:
    service.emulator.settings(seconds=1.5)
    prompts = {
        service.submit(prompt, options={"num_images": 6, "image_size": "square"}): prompt for prompt in (a_prompt() for _ in range(4))
    }
    for job_id in prompts:
        wait_until(in_flight(service, job_id), 30, "the submits")
    family = service.stack.pids("worker")

    service.stack.kill("worker")

    assert len(family) >= 3
    assert service.stack.pids("worker") == []
    service.stack.start("worker")
    for job_id, prompt in prompts.items():
        job = service.ended(job_id)
        assert_delivered_once(service, job, prompt, calls=2)
        assert (len(job["images"]), job["cost"]) == (6, 0.3)


def test_a_worker_that_is_dead_when_the_pictures_are_done_collects_them_later(service: Service) -> None:
    service.emulator.settings(seconds=0.5)
    job_id = service.submit(prompt := a_prompt())
    wait_until(in_flight(service, job_id), 30, "the submit")
    service.stack.kill("worker")
    wait_until(lambda: service.posts(prompt)[0]["state"] == "COMPLETED", 30, "the end at fal")

    status_without_worker = service.job(job_id)["status"]
    service.stack.start("worker")

    assert status_without_worker == "processing"
    assert_delivered_once(service, service.ended(job_id), prompt)


def test_orders_taken_without_any_worker_are_carried_out_by_the_next_one(service: Service) -> None:
    service.stack.kill("worker")
    prompts = {service.submit(prompt): prompt for prompt in (a_prompt() for _ in range(3))}

    service.stack.start("worker")

    for job_id, prompt in prompts.items():
        assert_delivered_once(service, service.ended(job_id), prompt)


def test_workers_told_to_stop_while_they_start_end(service: Service) -> None:
    service.stack.kill("worker")
    parent = service.stack.child("worker")
    endings = []

    for after_s in (0.0, 0.05, 0.3):
        parent.start()
        wait_until(lambda: len(parent.pids()) > 1, 30, "the first worker")
        time.sleep(after_s)
        parent.kill(signal.SIGTERM)
        endings.append(parent.process.wait(30))

    assert endings == [0, 0, 0]


def test_a_killed_watcher_is_replaced_by_one_that_finds_what_was_ordered_before_and_meanwhile(service: Service) -> None:
    service.emulator.settings(seconds=1.0)
    prompts = {service.submit(prompt): prompt for prompt in (a_prompt() for _ in range(4))}
    for job_id in prompts:
        wait_until(in_flight(service, job_id), 30, "the submits")

    service.stack.kill("watcher")
    meanwhile = a_prompt()
    prompts[service.submit(meanwhile)] = meanwhile
    wait_until(lambda: service.posts(meanwhile), 30, "the submit without a watcher")
    service.stack.start("watcher")

    for job_id, prompt in prompts.items():
        assert_delivered_once(service, service.ended(job_id, within_s=TAKE_OVER_SECONDS), prompt)


def test_all_processes_killed_at_once_go_on_with_what_is_ordered_what_is_painted_and_what_is_fetched(service: Service) -> None:
    ordered, painted, fetched = a_prompt(), a_prompt(), a_prompt()
    service.emulator.fault("file", "hang", promptContains=fetched)
    prompts = {service.submit(fetched): fetched}
    wait_until(lambda: any(post["fileFetches"] for post in service.posts(fetched)), 30, "the download")
    service.emulator.settings(seconds=1.0)
    painted_id = service.submit(painted)
    prompts[painted_id] = painted
    wait_until(in_flight(service, painted_id), 30, "the submit")

    service.stack.kill("worker")
    prompts[service.submit(ordered)] = ordered
    for name in ("watcher", "web"):
        service.stack.kill(name)
    for name in PROCESSES:
        service.stack.start(name)

    for job_id, prompt in prompts.items():
        assert_delivered_once(service, service.ended(job_id, within_s=TAKE_OVER_SECONDS), prompt)


def test_a_script_with_fals_own_client_has_its_picture_though_the_worker_dies_meanwhile(service: Service, tmp_path: Path) -> None:
    service.emulator.settings(seconds=1.5)
    prompt = a_prompt()
    key = accounts_of(service).make_key("a script")[1]
    story = start_story(LOCKED, {}, prompt=prompt, picture=tmp_path / "none", use=(service.stack.base_url, key), steps=["subscribe"])
    wait_until(lambda: service.posts(f"{prompt} subscribe"), 30, "the submit")

    service.stack.kill("worker")
    service.stack.start("worker")

    (image,) = told_by(story)["steps"]["subscribe"]["result"]["images"]
    assert httpx.get(image["url"], trust_env=False).status_code == 200
    assert len(service.posts(f"{prompt} subscribe")) == 1


def test_a_submit_without_an_answer_is_never_sent_again_and_costs_nothing(service: Service) -> None:
    prompt = a_prompt()
    service.emulator.fault("submit", "drop_after_read", times=None, promptContains=prompt)

    job = service.ended(service.submit(prompt), within_s=UNKNOWN_SECONDS + 10)

    assert (job["status"], job["error"]["code"], job["cost"], job["images"]) == ("failed", "submit_outcome_unknown", 0, [])
    assert len(service.posts(prompt)) == 1


def test_a_web_process_killed_while_a_client_waits_does_not_end_the_work(service: Service) -> None:
    service.emulator.settings(seconds=1.5)
    prompt = a_prompt()
    cut_off = threading.Event()

    def wait_in_vain() -> None:
        try:
            httpx.post(f"{service.stack.base_url}/api/images/generate", json=order(prompt), timeout=30, trust_env=False)
        except httpx.TransportError:
            cut_off.set()

    client = threading.Thread(target=wait_in_vain)
    client.start()
    wait_until(lambda: service.posts(prompt), 30, "the submit")
    service.stack.kill("web")
    client.join(10)
    service.stack.start("web")

    document = service.database["jobs"].find_one({"config.inputs.prompt": prompt})
    assert cut_off.is_set()
    assert document is not None
    assert_delivered_once(service, service.ended(document["_id"]), prompt)


def test_workers_end_when_their_parent_is_gone(service: Service) -> None:
    parent = service.stack.process("worker").pid
    children = wait_until(lambda: [pid for pid in service.stack.pids("worker") if pid != parent], 30, "the workers")

    os.kill(parent, signal.SIGKILL)

    wait_until(lambda: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in children), 30, "their end")
