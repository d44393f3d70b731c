"""`python -m app doctor`: whether these settings lead to a service that works, and what to do where they do not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import click
import httpx

from app.bootstrap import Services, open_platform, open_registry
from app.clients import redis as redis_connection
from app.config import BadSettings, Settings
from app.domain import clock
from app.domain.errors import GatewayError, ProviderBadKey, StoreNotReady
from app.operator.running import settings
from app.stores.database import server_facts
from registry.loader import Registry, RegistryError

TIMEOUT_S = 5.0
#: Clocks that differ by more make signatures and tokens look forged or old; by a little, only logs are confusing.
CLOCK_BAD_S, CLOCK_NOTE_S = 60.0, 5.0


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    BAD = "BAD"


@dataclass(frozen=True)
class Finding:
    state: State
    what: str
    text: str
    remedy: str = ""


Check = Callable[[Services], Iterator[Finding]]


@click.command()
def doctor() -> None:
    """Check settings, stores, bucket, fal's key, the clock and webhooks, each with what to do; exit 1 where something is wrong."""
    count = 0
    for finding in _findings():
        click.echo(f"{finding.state:<5} {finding.what:<9} {finding.text}")
        if finding.remedy:
            click.echo(f"{'':<15} -> {finding.remedy}")
        count += finding.state is State.BAD
    click.echo("Nothing is wrong" if not count else f"{count} wrong")
    if count:
        raise click.exceptions.Exit(1)


def _findings() -> Iterator[Finding]:
    try:
        chosen = settings()
        models = open_registry(chosen)
    except BadSettings as exc:
        yield from (Finding(State.BAD, "settings", problem, "see docs/settings.md") for problem in str(exc).splitlines())
        return
    except RegistryError as exc:
        yield Finding(State.BAD, "models", str(exc), "see docs/adding-a-model.md")
        return
    yield Finding(State.OK, "settings", f"can be read; APP_ENV is {chosen.app_env}")
    yield Finding(State.OK, "models", f"{len(list(models))} model files")
    with contextlib.closing(Services(chosen)) as services:
        for check in (_database, _redis, _bucket, _fal_keys, _clock, _webhooks):
            yield from check(services)


def _database(services: Services) -> Iterator[Finding]:
    try:
        services.readiness.prove()
        facts = server_facts(services.database)
    except BadSettings as exc:
        yield Finding(State.BAD, "database", str(exc), "see docs/stores.md")
        return
    except GatewayError as exc:
        yield Finding(State.BAD, "database", exc.message, "start it, or mend MONGODB_URI; see docs/stores.md")
        return
    yield Finding(State.OK, "database", f"MongoDB {facts.version} answers, and of two changes at once one wins")
    confirmed = "changes are confirmed by a majority and its journal"
    if facts.replica_set:
        yield Finding(State.OK, "writes", f"{confirmed}; replica set {facts.replica_set}")
    else:
        remedy = "in production a replica set with backups: see docs/stores.md"
        yield Finding(State.NOTE, "writes", f"{confirmed}, of one server without a replica set: with its disk all jobs are lost", remedy)
    try:
        services.readiness.look()
        yield Finding(State.OK, "indexes", "are all there")
    except StoreNotReady as exc:
        yield Finding(State.BAD, "indexes", exc.message, "see docs/stores.md")


def _redis(services: Services) -> Iterator[Finding]:
    try:
        redis_connection.ping(services.redis)
    except (BadSettings, GatewayError) as exc:
        yield Finding(State.BAD, "redis", str(exc), "start it, or mend REDIS_URL; see docs/stores.md")
        return
    yield Finding(State.OK, "redis", "takes writes")
    policy = redis_connection.eviction_policy(services.redis)
    if policy not in (None, "noeviction"):
        yield Finding(State.NOTE, "redis", f"maxmemory-policy is {policy}: tasks may be thrown away", "set it to noeviction")


def _bucket(services: Services) -> Iterator[Finding]:
    place = services.settings.storage_url
    try:
        services.storage.ping()
    except GatewayError as exc:
        remedy = "check STORAGE_URL, the folder's owner or the bucket's policy, and AWS_*; see docs/stores.md"
        yield Finding(State.BAD, "bucket", f"{place}: {exc.message}", remedy)
        return
    yield Finding(State.OK, "bucket", f"{place}: objects are written, read and deleted")


def _fal_keys(services: Services) -> Iterator[Finding]:
    keys = {"FAL_KEY": services.settings.fal_key, "FAL_ADMIN_KEY": services.settings.fal_admin_key}
    for name, key in keys.items():
        if key:
            yield _fal_key(name, replace(services.settings, fal_admin_key=key), services.registry)


def _fal_key(name: str, chosen: Settings, models: Registry) -> Finding:
    endpoint = next(iter(models)).fal_endpoint
    try:
        open_platform(chosen).prices([endpoint])
    except ProviderBadKey as exc:
        return Finding(State.BAD, "fal", f"{name}: {exc.message}", f"make a key at fal.ai/dashboard/keys and set {name}")
    except GatewayError as exc:
        return Finding(State.BAD, "fal", f"{name}: {exc.message}", f"can this machine reach {chosen.fal_api_url}? See status.fal.ai")
    return Finding(State.OK, "fal", f"{name} is taken")


def _clock(services: Services) -> Iterator[Finding]:
    clocks: dict[str, Callable[[], datetime]] = {
        "MongoDB's": lambda: server_facts(services.database).now,
        "fal's": lambda: _time_of(services.settings.fal_api_url),
    }
    for whose, read in clocks.items():
        with contextlib.suppress(GatewayError, httpx.HTTPError, ValueError):  # Who does not answer is told of elsewhere.
            yield _clock_beside(whose, (clock.now() - read()).total_seconds())


def _time_of(url: str) -> datetime:
    """Return what the server says the time is. Raises ValueError where it does not."""
    date = httpx.head(url, timeout=TIMEOUT_S).headers.get("Date", "")
    return parsedate_to_datetime(date).astimezone(UTC)


def _clock_beside(whose: str, ahead_s: float) -> Finding:
    differs = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {whose}"
    remedy = "set the clock, and keep it by NTP: signatures and tokens would look old or forged"
    if abs(ahead_s) > CLOCK_BAD_S:
        return Finding(State.BAD, "clock", differs, remedy)
    if abs(ahead_s) > CLOCK_NOTE_S:
        return Finding(State.NOTE, "clock", differs, remedy)
    return Finding(State.OK, "clock", f"agrees with {whose}")


def _webhooks(services: Services) -> Iterator[Finding]:
    url = services.settings.public_url
    if not url:
        yield Finding(
            State.NOTE, "webhooks", "fal's are not used: results are polled for", "set PUBLIC_URL where fal can reach this service"
        )
        return
    remedy = f"fal must reach {url}/webhooks/fal from the internet: check DNS, TLS and the proxy, and that the web process runs"
    try:
        answer: Any = httpx.get(f"{url}/healthz", timeout=TIMEOUT_S)
        is_ours = answer.status_code == 200 and answer.json() == {"status": "ok"}
    except (httpx.HTTPError, ValueError) as exc:
        yield Finding(State.BAD, "webhooks", f"{url} does not answer from here: {exc or type(exc).__name__}", remedy)
        return
    if is_ours:
        yield Finding(State.OK, "webhooks", f"{url} leads here, seen from this machine")
    else:
        yield Finding(State.BAD, "webhooks", f"{url} answers {answer.status_code}, and not as this service does", remedy)
