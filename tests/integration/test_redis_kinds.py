"""Redis as operators set it up: users and passwords, TLS, full, read-only, as a cluster; and what is said of each."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from app import create_app
from app.bootstrap import Services
from app.clients.queue import ASKED_KEY, SHIFT_QUEUE, SUBMIT_QUEUE, TaskQueue
from app.clients.redis import CLUSTER, connect_redis, connect_worker, ping, refuse_cluster
from app.config import BadSettings
from app.domain.errors import QueueUnavailable
from tests.support.emulator import Emulator
from tests.support.fal_place import FalPlace
from tests.support.gateway import Gateway
from tests.support.redis_servers import USER, RedisServer, redis_server, tls_front
from tests.support.services import Backing, running_services, with_parts

ROOT = Path(__file__).resolve().parents[2]
#: Far below `SYNC_WAIT_SECONDS`, for a busy machine.
AT_ONCE_S = 20.0


@pytest.fixture(scope="module")
def secured() -> Iterator[RedisServer]:
    """A server with a password for everybody, the user of the documentation, and one that may only read."""
    reader = "user reader on >word ~* &* +@read +@connection"
    with redis_server("requirepass secret", USER, reader, credentials="gateway:word@") as server:
        yield server


@pytest.fixture
def client() -> Iterator[Callable[[str], Redis]]:
    """Connects by URL, and closes what it connected."""
    made: list[Redis] = []

    def connected(url: str) -> Redis:
        made.append(connect_redis(url))
        return made[-1]

    yield connected
    for redis in made:
        redis.connection_pool.disconnect()


def reason(redis: Redis) -> str:
    with pytest.raises(QueueUnavailable) as refused:
        ping(redis)
    return refused.value.message


# -- users and TLS -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", ["gateway:word@", ":secret@"])
def test_a_user_or_a_password_of_the_address_is_used(secured: RedisServer, client: Callable[[str], Redis], credentials: str) -> None:
    redis = client(f"redis://{credentials}127.0.0.1:{secured.port}/3")

    ping(redis)
    TaskQueue(redis).enqueue_submit("job-1")

    assert TaskQueue(redis).depths()[SUBMIT_QUEUE][0] == 1
    worker = connect_worker(f"redis://{credentials}127.0.0.1:{secured.port}/3")
    assert worker.keys(f"rq:queue:{SHIFT_QUEUE}") if credentials == ":secret@" else worker.ping()
    worker.close()
    redis.delete(f"rq:queue:{SHIFT_QUEUE}", ASKED_KEY, f"imagegw:tasks:{SUBMIT_QUEUE}")


@pytest.mark.parametrize("credentials", ["gateway:wrong@", ":wrong@", "", "nobody:word@", "reader:word@"])
def test_a_user_that_is_not_let_in_or_may_not_write_is_named_as_the_trouble(
    secured: RedisServer, client: Callable[[str], Redis], credentials: str
) -> None:
    assert reason(client(f"redis://{credentials}127.0.0.1:{secured.port}/0")) == "Redis refuses the user of REDIS_URL"


def test_over_tls_the_authority_of_the_address_is_trusted_and_no_other(
    fal_place: FalPlace, client: Callable[[str], Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")  # OpenSSL would trust it too.
    with redis_server() as server, tls_front(server.port, fal_place.tls_dir) as port:
        trusted = client(f"rediss://localhost:{port}/0?ssl_ca_certs={fal_place.bundle}")

        ping(trusted)
        assert reason(client(f"rediss://localhost:{port}/0")) == "Redis does not answer"
        assert reason(client(f"redis://localhost:{port}/0")) == "Redis does not answer"


# -- full, read-only -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def frail() -> Iterator[RedisServer]:
    """A server of the test's own, to be filled or frozen."""
    with redis_server() as server:
        yield server


@pytest.fixture
def frail_services(frail: RedisServer, backing: Backing, fal_place: FalPlace, fal_emulator: Emulator) -> Iterator[Services]:
    with running_services(dataclasses.replace(backing, redis_url=frail.url), fal_place) as services:
        yield services


def fill(services: Services) -> None:
    services.redis.config_set("maxmemory", "1")


def freeze(services: Services) -> None:
    services.redis.replicaof("127.0.0.1", "9")


def mend(services: Services) -> None:
    services.redis.replicaof("NO", "ONE")
    services.redis.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(fill, "Redis is full and takes no writes"), (freeze, "Redis is read-only")],
)
def test_a_redis_that_takes_no_writes_is_not_ready_and_an_order_stands_and_says_so_at_once(
    frail_services: Services, fal_emulator: Emulator, trouble: Callable[[Services], None], told: str
) -> None:
    services = with_parts(frail_services, settings=dataclasses.replace(frail_services.settings, allow_anonymous=True))
    app = create_app(services.settings, services)
    gateway = Gateway(services, fal_emulator)
    body = {"model": "flux-dev", "inputs": {"prompt": "a lighthouse"}, "userId": "user-1"}
    trouble(services)

    began = time.monotonic()
    ready = app.test_client().get("/readyz")
    answer = app.test_client().post("/api/images/generate", json=body, headers={"Idempotency-Key": "one"})
    took_s = time.monotonic() - began
    again = app.test_client().post("/api/images/generate", json=body, headers={"Idempotency-Key": "one"})

    assert (ready.status_code, ready.json["checks"]["redis"]) == (503, told)
    assert (answer.status_code, answer.json["status"], answer.json["success"]) == (202, "pending", True)
    assert "queue is away" in answer.json["message"]
    assert took_s < AT_ONCE_S
    assert (again.status_code, again.json["jobId"], again.headers["Idempotent-Replayed"]) == (202, answer.json["jobId"], "true")

    mend(services)
    assert app.test_client().get("/readyz").json["checks"]["redis"] == "ok"
    job = gateway.wait(gateway.job(answer.json["jobId"]), 60)
    services.recovery.sweep()
    assert ("submit", [job.id]) in gateway.tasks()


def test_a_redis_that_cannot_save_is_named_by_its_own_word(frail: RedisServer, client: Callable[[str], Redis]) -> None:
    redis = client(frail.url)
    redis.config_set("min-replicas-to-write", "3")

    assert reason(redis) == "Redis takes no writes (NOREPLICAS)"


def test_a_redis_that_is_away_does_not_answer(client: Callable[[str], Redis]) -> None:
    assert reason(client("redis://127.0.0.1:9/0")) == "Redis does not answer"


# -- Cluster mode --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    """A cluster of one, with all slots."""
    with redis_server("cluster-enabled yes") as server, Redis(port=server.port) as redis:
        redis.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        while redis.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            time.sleep(0.05)
        yield server


def test_cluster_mode_is_told_by_readiness_too(cluster: RedisServer, client: Callable[[str], Redis]) -> None:
    assert reason(client(cluster.url)) == CLUSTER


@pytest.mark.parametrize("process", ["app", "workers", "workers.watcher"])
def test_each_process_refuses_cluster_mode_at_its_start_by_name(cluster: RedisServer, process: str, tmp_path: Path) -> None:
    settings = {
        "PATH": os.environ["PATH"],
        "MONGODB_URI": "mongodb://127.0.0.1:9/test_nowhere",
        "REDIS_URL": cluster.url,
        "STORAGE_URL": tmp_path.as_uri(),
        "FAL_KEY": "test",
        "JWT_SECRET": "x" * 32,
        "PORT": "0",
    }

    ended = subprocess.run([sys.executable, "-m", process], env=settings, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 2
    assert "REDIS_URL: Redis runs in Cluster mode, which is not supported" in ended.stderr


@pytest.mark.parametrize("kind", ["plain", "away"])
def test_what_is_no_cluster_or_does_not_answer_is_not_refused(secured: RedisServer, kind: str) -> None:
    refuse_cluster(secured.url if kind == "plain" else "redis://127.0.0.1:9/0")


def test_an_address_that_cannot_be_used_makes_no_client() -> None:
    with pytest.raises(BadSettings, match="REDIS_URL: 'pool' is no option"):
        connect_redis("redis://localhost?pool=3")
