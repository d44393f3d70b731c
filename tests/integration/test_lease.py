from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from redis.exceptions import RedisError

from app.clients.lease import KEY, LEASE_S, Lease
from app.clients.redis import connect_redis
from tests.support.fal_calls import wait_until


def test_one_of_many_holds_the_lease(redis: Redis) -> None:
    leases = [Lease(redis) for _ in range(20)]

    with ThreadPoolExecutor(20) as threads:
        held = list(threads.map(Lease.renew, leases))

    assert held.count(True) == 1


def test_the_holder_keeps_it_and_its_time_begins_anew(redis: Redis) -> None:
    holder, other = Lease(redis), Lease(redis)
    holder.renew()
    redis.expire(KEY, 2)

    assert (holder.renew(), other.renew()) == (True, False)
    assert LEASE_S - 2 <= redis.ttl(KEY) <= LEASE_S


def test_a_dead_holder_is_followed_when_its_time_is_up(redis: Redis) -> None:
    dead, next_one = Lease(redis), Lease(redis)
    dead.renew()
    redis.pexpire(KEY, 1)
    wait_until(lambda: not redis.exists(KEY))

    assert next_one.renew()
    assert not dead.renew()


def test_a_released_lease_is_free_at_once_and_only_its_holder_releases_it(redis: Redis) -> None:
    holder, other = Lease(redis), Lease(redis)
    holder.renew()

    other.release()
    assert not other.renew()

    holder.release()
    assert other.renew()


def test_without_redis_everybody_watches_on() -> None:
    away = connect_redis("redis://127.0.0.1:9/0")

    assert Lease(away).renew()
    with pytest.raises(RedisError):
        Lease(away).release()


def test_it_is_renewed_well_before_it_ends() -> None:
    assert Lease.renew_every_s * 3 <= LEASE_S
