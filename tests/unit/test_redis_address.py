"""Every form of REDIS_URL that is documented, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.redis_address import parse_redis_url, redis_problems

SENTINELS = "redis+sentinel://app:pass%2Fword@one:26379,two,[::1]:26380"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://localhost",
        "redis://:pass%40word@cache:6379/15",
        "rediss://app:password@cache:6380/0?ssl_cert_reqs=required&ssl_check_hostname=false",
        "redis://[::1]:6379/0?db=3&socket_timeout=2.5&health_check_interval=10&protocol=2&client_name=gateway",
        "unix:///run/redis/redis.sock?db=1",
        "unix://app:password@/run/redis/redis.sock",
        f"{SENTINELS}/mymaster/2",
        f"{SENTINELS}/mymaster?sentinel_username=guard&sentinel_password=word",
        "rediss+sentinel://one:26379/0/mymaster?ssl_check_hostname=no",
    ],
)
def test_an_address_of_a_documented_form_has_no_problem(url: str) -> None:
    assert redis_problems(url) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:6379", "starts with redis://"),
        ("http://cache:6379", "starts with redis://"),
        ("redis:/cache", "starts with redis://"),
        ("redis+cluster://cache:6379", "starts with redis://"),
        ("redis://", "host or host:port"),
        ("redis://cache:port/0", "host or host:port"),
        ("redis://cache:0/0", "host or host:port"),
        ("redis://cache:70000", "host or host:port"),
        ("redis://one:6379,two:6379/0", "host or host:port"),
        ("redis://cache/first", "a database's number"),
        ("redis://cache/0/1", "a database's number"),
        ("redis://:hunter2/3@cache", "percent-encoded"),
        ("redis://:hunter2@3@cache", "percent-encoded"),
        ("redis://:hunter2#3@cache", "percent-encoded"),
        ("redis://a:hunter2:3@cache", "percent-encoded"),
        ("redis://:hunter2%3@cache", "percent-encoded"),
        ("unix://", "name the socket"),
        ("redis://cache?pool=3", "'pool' is no option; there are db,"),
        ("redis://cache?sentinel_password=hunter2", "'sentinel_password' is no option"),
        ("redis://cache?socket_timeout=hunter2", "socket_timeout"),
        ("redis://cache?db=x", "what db is set to"),
        ("redis://cache?db", "what db is set to"),
        ("rediss://cache?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
        ("redis://cache?ssl_check_hostname=false", "does not start with rediss"),
        ("rediss://cache?ssl_ca_certs=/no/such/ca.pem", "a file that is not there"),
        ("redis+sentinel://one:26379", "the name of their service"),
        ("redis+sentinel://one:26379/0", "the name of their service"),
        ("redis+sentinel://one:26379/mymaster/first", "a database's number"),
        ("redis+sentinel://one:26379,/mymaster", "host:port,host:port"),
        ("redis+sentinel:///mymaster", "host:port,host:port"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(url: str, told: str) -> None:
    problems = redis_problems(url)

    assert told in "; ".join(problems)
    assert "hunter2" not in "; ".join(problems)


def test_a_certificate_that_is_there_is_taken(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()

    assert redis_problems(f"rediss://cache?ssl_ca_certs={tmp_path}/ca.pem") == []


def test_a_server_is_left_to_redis_py_as_it_stands() -> None:
    url = "rediss://app:password@cache:6380/0?ssl_cert_reqs=none"

    assert parse_redis_url(url).url == url


def test_sentinels_their_service_and_their_own_password_are_told_apart_from_the_servers() -> None:
    address = parse_redis_url(f"{SENTINELS}/mymaster/2?sentinel_password=guarded&socket_timeout=2")

    assert address.sentinels == (("one", 26379), ("two", 26379), ("::1", 26380))
    assert (address.service, address.sentinel_credentials) == ("mymaster", {"password": "guarded"})
    assert address.url == "redis://app:pass%2Fword@leader/2?socket_timeout=2"
    assert "word" not in repr(address)


@pytest.mark.parametrize("path", ["/mymaster/3", "/3/mymaster"])
def test_the_service_may_stand_before_or_after_the_databases_number(path: str) -> None:
    address = parse_redis_url(f"rediss+sentinel://one{path}")

    assert (address.service, address.url) == ("mymaster", "rediss://leader/3")
