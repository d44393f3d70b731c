"""Counts and durations of several processes, from the first one until Prometheus reads them."""

from __future__ import annotations

import itertools
import math
import threading

import pytest
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from app import create_app
from app.bootstrap import Services
from app.clients.metrics import BOUNDS, BUCKETS_S, FLUSH_S, KEY, Metrics, Sample
from app.clients.redis import connect_redis
from app.services.fulfilment.stages import STAGE_SECONDS, Stage, StageTimes
from tests.support.fal_calls import wait_until

JOBS = "imagegw_jobs_total"
NEVER_S = 3600.0
Labels = dict[str, str]


@pytest.fixture(autouse=True)
def nothing_counted(wired: Services, redis: Redis) -> None:
    """What the tests before have counted may still be waiting to be written."""
    wired.metrics.flush()
    redis.delete(KEY)


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services.settings, services).test_client()


def gathered(metrics: Metrics, name: str = JOBS) -> list[tuple[Labels, float]]:
    return [(dict(sample.labels), sample.value) for sample in metrics.samples() if sample.name == name]


def scraped(client: FlaskClient) -> dict[str, Metric]:
    """Return what Prometheus reads, by family. Raises ValueError for what it could not parse."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def buckets_of(family: Metric, **labels: str) -> dict[str, float]:
    """Return the buckets of one histogram by their bound, in the order of the answer."""
    found = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    return {s.labels["le"]: s.value for s in found if {k: v for k, v in s.labels.items() if k != "le"} == labels}


def value_of(family: Metric, suffix: str, **labels: str) -> float:
    (found,) = [s.value for s in family.samples if s.name == family.name + suffix and s.labels == labels]
    return found


def test_the_counts_of_two_processes_add_up(redis: Redis) -> None:
    one, other = Metrics(redis, flush_s=NEVER_S), Metrics(redis, flush_s=NEVER_S)
    one.count(JOBS, model="flux", status="completed")
    one.count(JOBS, 2, model="flux", status="completed")
    other.count(JOBS, status="completed", model="flux")
    other.count(JOBS, 0.5, model="flux", status="failed")

    one.flush()
    other.flush()

    assert gathered(Metrics(redis)) == [({"model": "flux", "status": "completed"}, 4), ({"model": "flux", "status": "failed"}, 0.5)]


def test_counts_are_written_by_themselves_within_about_a_second(redis: Redis) -> None:
    metrics = Metrics(redis)

    metrics.count(JOBS)

    assert not redis.exists(KEY)
    wait_until(lambda: redis.exists(KEY), FLUSH_S + 3)
    metrics.count(JOBS)
    wait_until(lambda: b"2" in redis.hvals(KEY), FLUSH_S + 3)


def test_nothing_is_counted_twice_or_lost_while_many_count(redis: Redis) -> None:
    metrics = Metrics(redis, flush_s=0.01)

    def count() -> None:
        for _ in range(200):
            metrics.record(counts=[Sample(JOBS, {}, 1)], seconds=[Sample(STAGE_SECONDS, {}, 0.25)])

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # What a thread has taken out to write is not in Redis at once.
    wait_until(lambda: gathered(metrics) == [({}, 1600)])
    assert gathered(metrics, f"{STAGE_SECONDS}_bucket") == [({"le": "0.25"}, 1600)]
    assert gathered(metrics, f"{STAGE_SECONDS}_sum") == [({}, 400)]


def test_a_process_with_nothing_to_write_has_no_thread_for_it(redis: Redis) -> None:
    before = threading.active_count()
    metrics = Metrics(redis, flush_s=0.02)

    metrics.count(JOBS)
    wait_until(lambda: redis.exists(KEY))

    wait_until(lambda: threading.active_count() <= before)


def test_without_redis_nothing_fails() -> None:
    metrics = Metrics(connect_redis("redis://127.0.0.1:9/0"), flush_s=NEVER_S)

    metrics.count(JOBS, model="flux")
    metrics.record(seconds=[Sample(STAGE_SECONDS, {"model": "flux", "stage": "fal"}, 1.0)])
    metrics.flush()
    metrics.set("imagegw_ledger_imbalance", 0)

    assert list(metrics.samples()) == []


def test_prometheus_reads_the_durations_of_all_processes_as_one_histogram(client: FlaskClient, redis: Redis) -> None:
    web, worker = StageTimes(first := Metrics(redis)), StageTimes(second := Metrics(redis))
    seconds = [0.001, 0.03, 0.03, 7.0, 2000.0]
    for one, value in zip(itertools.cycle((web, worker)), seconds, strict=False):
        one.took("flux-dev", Stage.FAL, value)
    worker.took("flux-pro", Stage.FAL, 0.3)
    first.flush()
    second.flush()

    family = scraped(client)[STAGE_SECONDS]

    labels = {"model": "flux-dev", "stage": "fal"}
    expected = {bound: sum(value <= float(bound) for value in seconds) for bound in BOUNDS}
    buckets = buckets_of(family, **labels)
    assert family.type == "histogram"
    assert {float(bound): count for bound, count in buckets.items()} == {float(bound): count for bound, count in expected.items()}
    assert [float(bound) for bound in buckets] == [*BUCKETS_S, math.inf]
    assert value_of(family, "_count", **labels) == buckets["+Inf"] == 5
    assert value_of(family, "_sum", **labels) == pytest.approx(sum(seconds))
    assert value_of(family, "_count", model="flux-pro", stage="fal") == 1


@pytest.mark.parametrize("bound", BUCKETS_S)
def test_a_duration_on_a_bound_falls_into_that_bucket(client: FlaskClient, redis: Redis, bound: float) -> None:
    StageTimes(metrics := Metrics(redis)).took("flux-dev", Stage.QUEUE, bound)
    metrics.flush()

    buckets = buckets_of(scraped(client)[STAGE_SECONDS], model="flux-dev", stage="queue")

    assert {float(le) for le, count in buckets.items() if count} == {each for each in (*BUCKETS_S, math.inf) if each >= bound}


def test_clocks_that_disagree_count_as_no_time(client: FlaskClient, redis: Redis) -> None:
    StageTimes(metrics := Metrics(redis)).took("flux-dev", Stage.NOTICE, -0.4)
    metrics.flush()

    family = scraped(client)[STAGE_SECONDS]

    assert value_of(family, "_sum", model="flux-dev", stage="notice") == 0
    assert buckets_of(family, model="flux-dev", stage="notice")["0.005"] == 1


def test_a_web_process_shows_its_own_counts_at_once(client: FlaskClient, services: Services) -> None:
    services.metrics.count(JOBS, model="flux-dev", status="completed")

    families = scraped(client)

    assert value_of(families["imagegw_jobs"], "_total", model="flux-dev", status="completed") == 1
    assert families["imagegw_jobs"].type == "counter"


def test_counts_that_nobody_made_yet_are_no_reason_to_fail(client: FlaskClient) -> None:
    families = scraped(client)

    assert families[STAGE_SECONDS].samples == []
    assert value_of(families["imagegw_ledger_imbalance"], "") == 0


def test_any_label_comes_back_as_it_was(client: FlaskClient, redis: Redis) -> None:
    model = 'a "model" of José\\n, {le="1"}\nand more'
    StageTimes(metrics := Metrics(redis)).took(model, Stage.STORE, 1.5)
    metrics.flush()

    family = scraped(client)[STAGE_SECONDS]

    assert value_of(family, "_sum", model=model, stage="store") == 1.5
