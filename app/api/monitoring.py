"""What an operator's machines ask: is the process alive, can it work, and its figures. Nothing here needs a credential."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Blueprint, Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.api.http import services
from app.api.http.access import open_to_all
from app.api.http.deferred import Deferred
from app.bootstrap import Services
from app.clients import redis as redis_connection
from app.clients.fal.breaker import ACCOUNT
from app.clients.metrics import BOUNDS, FAL_REQUESTS, LEDGER_IMBALANCE, WEBHOOKS_OLDEST_S, WEBHOOKS_WAITING, Sample
from app.domain.errors import GatewayError
from app.domain.pricing import usd
from app.services.fulfilment.stages import STAGE_SECONDS
from app.services.operator.now import Kept, Live

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@open_to_all
def alive() -> Response:
    """Answer 200 without touching anything."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
@open_to_all
def ready() -> Response:
    """Answer 200 where every store can be worked with, else 503; trouble at fal degrades, but jobs wait for it and are accepted."""
    checks = {
        "mongo": _check(services().readiness.check),
        "redis": _check(lambda: redis_connection.ping(services().redis)),
        "storage": _check(services().storage.ping),
    }
    body = {"checks": checks, "details": {"provider": _provider(services().breaker.pauses())}}
    response = jsonify(body)
    response.status_code = 200 if all(check == "ok" for check in checks.values()) else 503
    return response


def _provider(pauses: Mapping[str, str]) -> str:
    """Say what pauses and why: the reason alone for the whole account, else with each endpoint's name."""
    if not pauses:
        return "ok"
    reasons = [reason if name == ACCOUNT else f"{reason} ({name})" for name, reason in pauses.items()]
    return f"submits are paused: {', '.join(reasons)}"


def _check(ping: Callable[[], None]) -> str:
    try:
        ping()
    except GatewayError as exc:
        return exc.message
    return "ok"


COUNTERS = {
    "imagegw_jobs_total": "Jobs that ended.",
    "imagegw_provider_requests_total": "Submits to fal and how they went.",
    "imagegw_provider_cost_usd_total": "What completed jobs cost the operator, as far as it was known at their end.",
    "imagegw_task_errors_total": "Tasks at which our own code failed, and whether the request was tried again or given up.",
    "imagegw_webhook_deliveries_total": "Calls of fal's webhooks.",
    "imagegw_webhooks_sent_total": "Attempts to deliver a webhook of ours and what came of them.",
    "imagegw_events_replayed_total": "Events sent again to reconnecting clients.",
}
GAUGES = {
    LEDGER_IMBALANCE: "Accounts whose ledger does not add up; must be 0.",
    WEBHOOKS_WAITING: "Webhooks of ours that are to be delivered yet.",
    WEBHOOKS_OLDEST_S: "How long the oldest of them waits.",
}
HISTOGRAMS = {
    STAGE_SECONDS: "How long a generation spends in each stage.",
    "imagegw_webhook_latency_seconds": "How long receivers of our webhooks take to answer.",
}


def init_app(app: Flask, known: Services) -> None:
    registry = CollectorRegistry()
    requests = Counter("imagegw_http_requests", "HTTP requests.", ["method", "route", "status"], registry=registry)
    durations = Histogram("imagegw_http_request_duration_seconds", "HTTP requests.", ["method", "route"], registry=registry)
    registry.register(_Shared(known))

    def observe(response: Response) -> Response:
        if isinstance(response, Deferred):
            return response  # Its answer comes here too.
        # The rule and not the path: ids must not become labels.
        route = request.url_rule.rule if request.url_rule else "unknown"
        requests.labels(request.method, route, str(response.status_code)).inc()
        durations.labels(request.method, route).observe(max(0.0, g.get("seconds", 0.0)))
        return response

    app.after_request_funcs.setdefault(None, []).insert(0, observe)
    app.add_url_rule("/metrics", "metrics", open_to_all(lambda: Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)))


class _Shared(Collector):
    """What the service's own look at itself says: counts of all processes, queues, pauses, and what is in flight, failed and spent."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        samples = self._services.status_now.samples()
        by_name: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            by_name[sample.name].append(sample)
        for name, text in COUNTERS.items():
            yield _counter(name, text, by_name[name])
        for name, text in GAUGES.items():
            yield _gauge(name, text, by_name[name])
        for name, text in HISTOGRAMS.items():
            yield _histogram(name, text, by_name)
        yield from _live(self._services.status_now.live(samples), self._services.status_now.fal_limit)
        unread = self._services.model_files.problem is not None
        yield _family("imagegw_model_files_unread", "1 while this process cannot read the model files as they are now.", {(): unread})
        if kept := self._services.status_now.kept():
            yield from _kept(kept)


def _live(live: Live, fal_limit: int | None) -> Iterator[Metric]:
    yield _family("imagegw_queue_depth", "Tasks waiting for a worker.", {(each.name,): each.depth for each in live.queues}, "queue")
    ages = {(each.name,): each.oldest_s for each in live.queues}
    yield _family("imagegw_queue_oldest_age_seconds", "How long the oldest task waits.", ages, "queue")
    paused = {pause.endpoint for pause in live.pauses}
    yield _family("imagegw_provider_paused", "1 while all submits to fal are paused.", {(): None in paused})
    endpoints = {(endpoint,): 1 for endpoint in paused if endpoint is not None}
    yield _family("imagegw_endpoint_paused", "1 while submits to one of fal's endpoints are paused.", endpoints, "endpoint")
    yield _family("imagegw_watcher_leads", "1 while a watcher is at work.", {(): live.leader is not None})
    requests = {(state,): count for state, count in live.fal_requests.items()}
    yield _family(FAL_REQUESTS, "Requests that fal paints (running) or has in its queue (queued).", requests, "state")
    if fal_limit is not None:
        yield _family("imagegw_fal_limit", "How many requests fal paints at a time, as the settings say.", {(): fal_limit})


def _kept(kept: Kept) -> Iterator[Metric]:
    yield _family("imagegw_jobs_in_flight", "Jobs that have not ended.", {(s.value,): n for s, n in kept.in_flight.items()}, "status")
    failed = {(code,): count for code, count in kept.failed.items()}
    yield _family("imagegw_failures_last_hour", "Jobs that failed within the last hour.", failed, "code")
    paces = {(p.model, q): s for p in kept.paces for q, s in (("0.5", p.p50_s), ("0.95", p.p95_s))}
    yield _family("imagegw_model_seconds", "How long fal took for a model's latest generations.", paces, "model", "quantile")
    for name, figures in (("today", kept.today), ("month", kept.month)):
        sums = {("charged",): usd(figures.charged), ("paid",): usd(figures.paid), ("lost",): usd(figures.lost)}
        yield _family(f"imagegw_spend_{name}_usd", f"What jobs that ended come to: {name}, in UTC.", sums, "figure")


def _family(name: str, text: str, values: Mapping[Any, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for found, value in values.items():
        family.add_metric(list(found), float(value))
    return family


def _labels_of(samples: list[Sample]) -> list[str]:
    return sorted({label for sample in samples for label in sample.labels})


def _counter(name: str, text: str, samples: list[Sample]) -> Metric:
    labels = _labels_of(samples)
    family = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
    for sample in samples:
        family.add_metric([sample.labels.get(label, "") for label in labels], sample.value)
    return family


def _gauge(name: str, text: str, samples: list[Sample]) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], samples[0].value if samples else 0.0)
    return family


def _histogram(name: str, text: str, by_name: dict[str, list[Sample]]) -> Metric:
    labels = [label for label in _labels_of(by_name[f"{name}_bucket"]) if label != "le"]
    family = HistogramMetricFamily(name, text, labels=labels)
    buckets: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for sample in by_name[f"{name}_bucket"]:
        buckets[tuple(sample.labels[label] for label in labels)][sample.labels["le"]] = sample.value
    sums = {tuple(s.labels[label] for label in labels): s.value for s in by_name[f"{name}_sum"]}
    for key, found in buckets.items():
        totals = itertools.accumulate(found.get(bound, 0.0) for bound in BOUNDS)
        family.add_metric(list(key), list(zip(BOUNDS, totals, strict=True)), sums.get(key, 0.0))
    return family
