"""Log-ins under attack: the guesser is stopped, the owner gets in, and nobody else notices."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.acceptance.people import PASSWORD, accounts_of
from tests.acceptance.service import Service, running_service

QUICK_S = 3.0


@pytest.fixture(scope="module")
def proxied_service() -> Iterator[Service]:
    with running_service(TRUSTED_PROXIES="127.0.0.0/8", RATE_LIMIT_LOGIN="100000/minute") as service:
        yield service


@pytest.fixture
def service(proxied_service: Service) -> Service:
    proxied_service.calm()
    return proxied_service


@pytest.fixture
def email(service: Service) -> str:
    email = f"ada-{uuid.uuid4().hex[:12]}@example.com"
    accounts_of(service).register(email, PASSWORD)
    return email


def login(service: Service, email: str, password: str, address: str) -> httpx.Response:
    body = {"email": email, "password": password}
    return service.client.post("/api/auth/login", json=body, headers={"X-Forwarded-For": address})


def test_who_guesses_from_one_address_is_stopped_and_the_owner_gets_in(service: Service, email: str) -> None:
    guesses = [login(service, email, f"wrong {number}", "198.51.100.1").status_code for number in range(15)]

    assert guesses == [401] * 10 + [429] * 5
    assert int(login(service, email, "wrong", "198.51.100.1").headers["retry-after"]) > 0
    assert login(service, email, PASSWORD, "198.51.100.2").status_code == 200


def test_who_guesses_from_many_addresses_has_one_try_from_each_and_the_owner_gets_in(service: Service, email: str) -> None:
    for number in range(50):
        assert login(service, email, "wrong", f"203.0.113.{number}").status_code == 401

    tries = [login(service, email, "wrong", f"198.51.100.{number}").status_code for number in (1, 1, 2, 2)]
    assert tries == [401, 429, 401, 429]
    assert login(service, email, PASSWORD, "192.0.2.1").status_code == 200


def test_being_right_often_is_no_guessing(service: Service, email: str) -> None:
    assert {login(service, email, PASSWORD, "198.51.100.1").status_code for _ in range(15)} == {200}


def test_without_redis_guesses_are_counted_all_the_same(service: Service, email: str) -> None:
    service.stack.child("redis").kill()
    try:
        guesses = [login(service, email, f"wrong {number}", "198.51.100.9").status_code for number in range(14)]
    finally:
        service.stack.start("redis")

    assert guesses == [401] * 10 + [429] * 4


def test_many_log_ins_at_once_hold_nobody_up_and_are_told_to_come_again(service: Service) -> None:
    def guess(number: int) -> httpx.Response:
        body = {"email": f"nobody-{number}@example.com", "password": "wrong"}
        return httpx.post(f"{service.client.base_url}/api/auth/login", json=body, timeout=60, trust_env=False)

    with ThreadPoolExecutor(150) as pool:
        posts = [pool.submit(guess, number) for number in range(150)]
        waits = []
        while not all(post.done() for post in posts):
            began = time.monotonic()
            service.client.get("/healthz")
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
        answers = [post.result() for post in posts]

    assert {answer.status_code for answer in answers} <= {401, 503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 503)
    assert sorted(waits)[len(waits) * 95 // 100] < QUICK_S
