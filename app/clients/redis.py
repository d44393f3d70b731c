"""Connections to Redis or Valkey: one server, or whichever leads by the word of Sentinels. All that uses Redis gets its client here."""

from __future__ import annotations

from typing import Any

from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from app.config import BadSettings
from app.domain.errors import QueueUnavailable
from app.domain.redis_address import RedisAddress, parse_redis_url, redis_problems

#: Two tries of 5 s, each after a handshake that may last as long: a caller knows within half a minute that nobody answers. The library's
#: own ten tries would take minutes on a half-open connection.
_CONNECTION: dict[str, Any] = {
    "socket_connect_timeout": 3,
    "socket_timeout": 5,
    "health_check_interval": 30,
    "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), 1),
}
#: A Sentinel that does not answer at once is passed over, the next one knows as much.
_SENTINEL: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 0)}
#: For what is done without rather than waited for.
HASTY: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 1, "retry": Retry(NoBackoff(), 1)}

#: Two keys in different slots: a server in Cluster mode refuses to write them together, whichever slots it has.
READY_KEYS = ("imagegw:ready", "imagegw:ready:too")
CLUSTER = "Redis runs in Cluster mode, which is not supported: tasks, locks and scripts need all keys on one server"


class LeaderPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the server that leads; callers wait when all are taken."""


def connect_redis(url: str, *, pool: int = 64, **options: Any) -> Redis:
    """Return a client whose pool makes callers wait when it is empty. Opens nothing yet.

    Without BlockingConnectionPool a burst of requests is answered with errors (measured: 144 of 2,000). `options` are a connection's, over
    the service's own; the URL's go before both. Raises BadSettings for a URL that cannot be used.
    """
    blocking = {"max_connections": pool, "timeout": 10}
    return _client(url, BlockingConnectionPool, LeaderPool, {**_CONNECTION, **options, **blocking})


def connect_worker(url: str) -> Redis:
    """Return a client for the one thread that takes tasks: nobody competes for its connections. Opens nothing yet."""
    return _client(url, ConnectionPool, SentinelConnectionPool, _CONNECTION)


def refuse_cluster(url: str) -> None:
    """Raise BadSettings where Redis answers and runs in Cluster mode. One that is away is waited for elsewhere; `ping` then tells."""
    redis = connect_redis(url, pool=1, **HASTY)
    try:
        # Every user may ask this, unlike other commands that tell the mode.
        reply = redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except RedisError:
        return
    finally:
        redis.connection_pool.disconnect()
    pairs = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=False))
    if {bytes(key): value for key, value in pairs.items()}.get(b"mode") == b"cluster":
        raise BadSettings([f"REDIS_URL: {CLUSTER}"])


def ping(redis: Redis) -> None:
    """Raise QueueUnavailable unless Redis takes a write; its message says why it does not."""
    try:
        redis.mset(dict.fromkeys(READY_KEYS, 1))
    except RedisError as exc:
        raise QueueUnavailable(_reason(exc)) from exc


def eviction_policy(redis: Redis) -> str | None:
    """Return what Redis does when it is full; None where it does not tell."""
    try:
        policy = redis.info("memory").get("maxmemory_policy")
    except RedisError:
        return None
    return None if policy is None else str(policy)


def _reason(error: RedisError) -> str:
    """Return why a write failed, for an operator; nothing of what Redis says itself but the first word, its code."""
    if isinstance(error, OutOfMemoryError):
        return "Redis is full and takes no writes"
    if isinstance(error, ReadOnlyError):
        return "Redis is read-only"
    if isinstance(error, (AuthenticationError, NoPermissionError)):
        return "Redis refuses the user of REDIS_URL"
    code = str(error).partition(" ")[0]
    if isinstance(error, ResponseError):
        return CLUSTER if code in ("CROSSSLOT", "MOVED") or "same slot" in str(error) else f"Redis takes no writes ({code})"
    return "Redis does not answer"


def _client(url: str, plain: type[ConnectionPool], leading: type[SentinelConnectionPool], options: dict[str, Any]) -> Redis:
    if problems := redis_problems(url):
        raise BadSettings([f"REDIS_URL: {problem}" for problem in problems])
    address = parse_redis_url(url)
    if not address.sentinels:
        return Redis(connection_pool=plain.from_url(address.url, **options))
    return _leader(address, leading, options)


def _leader(address: RedisAddress, pool: type[SentinelConnectionPool], options: dict[str, Any]) -> Redis:
    """Return a client of the server that leads. A user name and password are the servers'; Sentinels may have their own."""
    server = parse_url(address.url)  # type: ignore[no-untyped-call]
    server.pop("host")
    with_tls = server.pop("connection_class", None) is SSLConnection
    tls = {"ssl": True, **{name: value for name, value in server.items() if name.startswith("ssl_")}} if with_tls else {}
    sentinel_options = {**_SENTINEL, **tls, **address.sentinel_credentials}
    sentinel = Sentinel(address.sentinels, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    return Redis(connection_pool=pool(address.service, sentinel, **{**options, **server, "ssl": with_tls}))
