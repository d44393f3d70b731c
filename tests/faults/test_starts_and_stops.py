"""Any order of starting works; whoever is asked to stop finishes what it has in hand."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from scripts.stack.ports import free_port
from scripts.stack.stack import Stack
from tests.acceptance.service import Answer, a_prompt, order, wait_until
from tests.faults.customers import register
from tests.faults.place import Place

UNIQUE = {("jobs", "orderKey"), ("accounts", "login"), ("uploads", "key")}


@dataclass(frozen=True)
class Started:
    job: Answer
    unique: set[tuple[str, str]]
    still_running: list[bool]


def stores_start_last() -> Started:
    """Workers, watcher and web process look for MongoDB and Redis where nothing listens yet."""
    mongo_port, redis_port = free_port(), free_port()
    uris = {"MONGODB_URI": f"mongodb://127.0.0.1:{mongo_port}/imagegw", "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0"}
    early = Stack(env=uris | {"WORKERS": "2"}, processes=("worker", "watcher"), backing=("emulator",), quiet=True, emulator_seconds=0.2)
    with early, started_meanwhile(early, iter((mongo_port, redis_port))) as web:
        with httpx.Client(base_url=web.base_url, timeout=30, trust_env=False) as client:
            customer = register(client)
            job_id = customer.order(a_prompt())
            wait_until(lambda: customer.job(job_id)["completedAt"], 60, "the picture")
            job = customer.job(job_id)
        still_running = [early.process(name).poll() is None for name in ("worker", "watcher")]
        return Started(job, unique_indexes(uris["MONGODB_URI"]), still_running)


@contextlib.contextmanager
def started_meanwhile(early: Stack, ports: Iterator[int]) -> Iterator[Stack]:
    """Start a web process, and the stores only when it has looked for them in vain."""
    web = Stack(env=early.env, processes=("web",), backing=(), quiet=True)
    stores = Stack(env={}, processes=(), backing=("mongo", "redis"), quiet=True, choose_port=lambda: next(ports))
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stacks:
        starting = pool.submit(stacks.enter_context, web)
        looked = (("the database does not answer yet", web, "web"), ("indexes not checked", early, "watcher"))
        wait_until(lambda: all(text in log_of(stack, name) for text, stack, name in looked), 40, "a first look in vain")
        stacks.enter_context(stores)
        yield starting.result(60)


def log_of(stack: Stack, name: str) -> str:
    return stack.log(name) if name in stack.names else ""


def unique_indexes(uri: str) -> set[tuple[str, str]]:
    def found() -> set[tuple[str, str]]:
        return {
            (collection, keys[0][0])
            for collection in database.list_collection_names()
            for index in database[collection].index_information().values()
            if index.get("unique") and len(keys := index["key"]) == 1
        }

    client: MongoClient[Answer] = MongoClient(uri)
    with client:
        database = client.get_default_database()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: found() >= UNIQUE, 30, "the indexes")
        return found()


@pytest.mark.story(play=stores_start_last)
def test_processes_started_before_the_stores_recover_by_themselves(story: Started) -> None:
    assert story.job["status"] == "completed"
    assert story.still_running == [True, True]


@pytest.mark.story(play=stores_start_last)
def test_the_unique_indexes_are_made_however_late_the_database_starts(story: Started) -> None:
    assert story.unique >= UNIQUE


def test_a_web_process_told_to_stop_answers_who_waits_and_the_picture_is_made_all_the_same(place: Place) -> None:
    place.emulator.settings(seconds=2.0)
    prompt = a_prompt()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post_and_wait, place, prompt)
        wait_until(lambda: place.posts(prompt), 30, "the submit")

        place.stack.kill("web", signal.SIGTERM)
        answer = waiting.result(20)
        status = place.stack.process("web").wait(20)
        place.stack.start("web")

    assert (status, answer.status_code, answer.json()["success"]) == (0, 202, True)
    assert place.ended(answer.json()["jobId"])["status"] == "completed"
    assert len(place.posts(prompt)) == 1


def test_workers_told_to_stop_finish_the_submit_they_are_in(place: Place) -> None:
    customer, prompt = place.customer(), a_prompt()
    place.emulator.fault("submit", "slow", seconds=2.0, promptContains=prompt)
    job_id = customer.order(prompt)
    wait_until(lambda: place.posts(prompt), 30, "the submit")

    place.stack.kill("worker", signal.SIGTERM)
    status = place.stack.process("worker").wait(20)
    request = place.document(job_id)["requests"][0]
    place.stack.start("worker")

    assert (status, request["state"]) == (0, "submitted")
    assert place.ended(job_id)["status"] == "completed"
    assert len(place.posts(prompt)) == 1


def test_workers_told_to_stop_finish_the_picture_they_are_fetching(place: Place) -> None:
    customer, prompt = place.customer(), f"{a_prompt()} [emulator: fail=slow_file]"
    job_id = customer.order(prompt)
    wait_until(lambda: any(post["fileFetches"] for post in place.posts(prompt)), 30, "the download")

    place.stack.kill("worker", signal.SIGTERM)
    status = place.stack.process("worker").wait(30)
    document = place.document(job_id)
    place.stack.start("worker")

    assert status == 0
    assert (document["status"], document["requests"][0]["collectAttempts"]) == ("completed", 0)


def test_a_watcher_told_to_stop_hands_its_lease_on_at_once(place: Place) -> None:
    place.emulator.settings(seconds=1.0)
    job_id = place.customer().order(a_prompt())
    wait_until(lambda: place.document(job_id)["requests"][0]["requestId"], 30, "the submit")

    place.stack.kill("watcher", signal.SIGTERM)
    status = place.stack.process("watcher").wait(20)
    place.stack.start("watcher")

    assert status == 0
    assert place.ended(job_id, within_s=10)["status"] == "completed"


def post_and_wait(place: Place, prompt: str) -> Any:
    return httpx.post(f"{place.stack.base_url}/api/images/generate", json=order(prompt), timeout=30, trust_env=False)
