"""What administrators are told of the service's state, of spend and of failures, by the API."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import attrs
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.bootstrap import Services
from app.clients.lease import Lease
from app.clients.metrics import FAL_REQUESTS, WEBHOOKS_OLDEST_S, WEBHOOKS_WAITING
from app.clients.redis import connect_redis
from app.domain import budget, clock
from app.domain.api_key import KeyTerms, Scope
from app.domain.costs import ActualCost, CostSource
from app.domain.fal_request import Failure
from app.domain.job import Job
from app.domain.spend import Figures
from app.services.operator.forecast import Forecasts
from app.services.operator.now import Live, Pause, QueueState
from app.services.operator.warnings import OPERATIONS, warnings_of
from app.stores.budgets import BudgetStore
from app.stores.database import connect
from app.stores.spend import SpendStore
from app.stores.usage import UsageStore
from tests.support.factories import NOON, certain, completed_job, make_job, submitted_job
from tests.support.services import with_parts

UNIT = 0.025
Get = Callable[..., Any]
Settle = Callable[..., Job]
SOUND = Live(queues=[], pauses=[], leader="host:1", fal_requests={}, webhooks_waiting=0, webhooks_oldest_s=0.0, ledger_imbalance=0)


@pytest.fixture
def served(services: Services) -> Services:
    """The services, with a status that nobody has looked at yet, and an account whose limit is known."""
    return with_parts(services, status_now=attrs.evolve(services.status_now, fal_limit=40))


@pytest.fixture
def client(served: Services) -> FlaskClient:
    return create_app(served.settings, served).test_client()


@pytest.fixture
def get(served: Services, client: FlaskClient) -> Get:
    headers = {"X-API-Key": served.accounts.make_key("operator", KeyTerms(scopes=(Scope.ADMIN,)))[1]}

    def got(path: str, status: int = 200) -> Any:
        answer = client.get(f"/api/admin/{path}", headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json if answer.is_json else answer.text

    return got


@pytest.fixture
def settle(served: Services) -> Settle:
    def settled(job: Job | None = None, **fields: Any) -> Job:
        job = dataclasses.replace(job or completed_job(), **{"id": clock.new_id(), "completed_at": clock.now(), **fields})
        UsageStore(served.database).record(job)
        served.spend.advance()
        return job

    return settled


def failed(message: str = "no", code: str = "generation_failed") -> Job:
    return certain(submitted_job().request_failed(0, Failure(code, message), now=NOON + timedelta(seconds=4)))


def test_the_status_tells_what_is_in_flight_waits_failed_and_was_spent(served: Services, get: Get, settle: Settle) -> None:
    served.jobs.insert(make_job())
    served.queue.enqueue_submit("a-job")
    Lease(served.redis).renew()
    for name, value, labels in ((FAL_REQUESTS, 3, {"state": "running"}), (FAL_REQUESTS, 5, {"state": "queued"}), (WEBHOOKS_WAITING, 2, {})):
        served.metrics.set(name, value, **labels)
    served.durations.add("flux-dev", [1.0, 2.0, 3.0, 10.0])
    settle()
    settle(completed_at=clock.now() - timedelta(days=7))
    settle(failed("no", "provider_locked"), actual=ActualCost(7_000, CostSource.UNITS))

    status = get("status")

    assert status["inFlight"] == {"pending": 1, "processing": 0}
    assert status["fal"] == {"running": 3, "queued": 5, "limit": 40}
    assert {queue["name"]: queue["depth"] for queue in status["queues"]}["image-generation"] == 1
    assert status["watcher"].count(":") == 1
    assert (status["webhooks"]["waiting"], status["failuresLastHour"]) == (2, {"provider_locked": 1})
    assert status["models"] == [{"model": "flux-dev", "p50Seconds": 3.0, "p95Seconds": 10.0, "samples": 4}]
    assert (status["spend"]["today"]["charged"], status["spend"]["today"]["lost"]) == (UNIT, 0.007)
    assert status["spend"]["sameWeekday"]["jobs"] == 1
    assert status["warnings"] == []


def test_the_status_and_the_metrics_tell_the_same(served: Services, client: FlaskClient, get: Get, settle: Settle) -> None:
    served.jobs.insert(make_job())
    served.queue.enqueue_submit("a-job")
    served.breaker.open("provider_locked", 30)
    served.breaker.open("provider_unavailable", 30, "fal-ai/flux/dev")
    Lease(served.redis).renew()
    served.metrics.set(FAL_REQUESTS, 3, state="running")
    served.metrics.set(WEBHOOKS_OLDEST_S, 12)
    served.durations.add("flux-dev", [1.0, 2.0, 10.0])
    settle()
    settle(failed("no", 'a "code"'))

    status = get("status")
    families = text_string_to_metric_families(client.get("/metrics").text)
    told = {(sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples}

    assert told["imagegw_jobs_in_flight", "pending"] == status["inFlight"]["pending"] == 1
    assert told[FAL_REQUESTS, "running"] == status["fal"]["running"]
    assert told[("imagegw_fal_limit",)] == status["fal"]["limit"]
    assert told[("imagegw_watcher_leads",)] == 1
    for queue in status["queues"]:
        assert told["imagegw_queue_depth", queue["name"]] == queue["depth"]
    assert {pause["endpoint"] for pause in status["pauses"]} == {None, "fal-ai/flux/dev"}
    assert told[("imagegw_provider_paused",)] == told["imagegw_endpoint_paused", "fal-ai/flux/dev"] == 1
    assert told[("imagegw_webhook_oldest_seconds",)] == status["webhooks"]["oldestSeconds"] == 12
    assert told["imagegw_failures_last_hour", 'a "code"'] == status["failuresLastHour"]['a "code"']
    assert told["imagegw_model_seconds", "0.95", "flux-dev"] == status["models"][0]["p95Seconds"]
    for figure in ("charged", "paid", "lost"):
        assert told["imagegw_spend_today_usd", figure] == status["spend"]["today"][figure]
        assert told["imagegw_spend_month_usd", figure] == status["spend"]["month"][figure]


def test_without_stores_the_status_says_so_and_what_it_knows(served: Services) -> None:
    nowhere = connect("mongodb://127.0.0.1:9/x?serverSelectionTimeoutMS=50")
    with nowhere.client:
        spend = attrs.evolve(served.spend, sums=SpendStore(nowhere))
        away = attrs.evolve(served.status_now, redis=connect_redis("redis://127.0.0.1:9/0"), spend=spend)

        assert (away.kept(), away.live([]).leader) == (None, None)
    assert [warning.what for warning in warnings_of(away.live([]), None)] == ["The database does not answer", "No watcher is at work"]


def test_every_warning_says_what_to_do_and_leads_to_a_paragraph() -> None:
    troubles = dataclasses.replace(
        SOUND,
        pauses=[Pause(None, "provider_locked"), Pause("fal-ai/flux/dev", "anything_new")],
        queues=[QueueState("image-collection", 3, 61.0), QueueState("image-batch", 0, 0.0)],
        webhooks_waiting=2,
        webhooks_oldest_s=700.0,
        ledger_imbalance=1,
        leader=None,
    )

    warnings = warnings_of(troubles, None, model_files="x.toml: no")

    assert [warning.what for warning in warnings] == [
        "Submits are paused: provider_locked",
        "Submits to fal-ai/flux/dev are paused: anything_new",
        "The database does not answer",
        "No watcher is at work",
        "The ledger of 1 accounts does not add up",
        "The oldest task of image-collection waits for 61 s",
        "2 webhooks wait, the oldest for 12 minutes",
        "The model files cannot be read: x.toml: no",
    ]
    assert all(warning.advice.endswith(".") and warning.link.startswith(f"{OPERATIONS}#") for warning in warnings)
    assert warnings_of(SOUND, None)[0].what == "The database does not answer"


def test_spend_is_shown_by_each_of_its_groupings(get: Get, settle: Settle) -> None:
    settle(user_id="ada", caller_key="k1", project_id="spring")
    settle(user_id="grace", completed_at=clock.now() - timedelta(days=1))

    by_user, by_day, both = (get(f"spend?groupBy={by}") for by in ("user", "day", "day,model"))

    assert {group["key"]: group["charged"] for group in by_user["groups"]} == {"ada": UNIT, "grace": UNIT}
    assert by_user["totals"]["jobs"] == 2
    assert (by_user["from"], by_user["to"]) == tuple(f"{clock.now() - timedelta(days=back):%Y-%m-%d}" for back in (30, -1))
    assert [group["day"] for group in by_day["groups"]] == [f"{clock.now() - timedelta(days=back):%Y-%m-%d}" for back in (1, 0)]
    assert [(group["day"] is not None, group["key"]) for group in both["groups"]] == [(True, "flux-dev")] * 2
    assert {group["key"] for by in ("key", "project") for group in get(f"spend?groupBy={by}")["groups"]} == {"k1", "spring", None}
    limited = get("spend?groupBy=user&limit=1")
    assert (len(limited["groups"]), limited["leftOut"], limited["others"]["charged"]) == (1, 1, UNIT)


def test_failures_are_shown_with_what_they_cost_and_an_example(get: Get, settle: Settle) -> None:
    settle(failed("took 3 s"), actual=ActualCost(7_000, CostSource.UNITS))
    last = settle(failed("took 12 s"))
    settle(failed("no", "provider_locked"))

    found = get("failures?groupBy=code,message")

    assert (found["count"], found["lost"], found["leftOut"]) == (3, 0.007, 0)
    assert found["groups"][0] == {
        "code": "generation_failed",
        "model": "",
        "message": "took <n> s",
        "count": 2,
        "lost": 0.007,
        "first": found["groups"][0]["first"],
        "last": found["groups"][0]["last"],
        "jobId": last.id,
    }
    assert [(group["code"], group["model"]) for group in get("failures?limit=1")["groups"]] == [("generation_failed", "flux-dev")]


def test_every_table_can_be_exported_and_adds_up(get: Get, settle: Settle) -> None:
    for number in range(3):
        settle(user_id=f"=user-{number}")
    settle(failed())

    rows = list(csv.DictReader(io.StringIO(get("spend/export?groupBy=day,user&format=csv"))))
    lines = [json.loads(line) for line in get("spend/export?groupBy=user&format=ndjson").splitlines()]
    failures = [json.loads(line) for line in get("failures/export?groupBy=message&format=ndjson").splitlines()]

    assert sum(float(row["charged"]) for row in rows) == pytest.approx(3 * UNIT)
    assert {row["key"] for row in rows} == {"'=user-0", "'=user-1", "'=user-2", "user-1"}
    assert sum(line["jobs"] for line in lines) == 4
    assert [(line["message"], line["count"]) for line in failures] == [("no", 1)]


FORGED = (
    "spend?groupBy=status",
    "spend?groupBy=day,day",
    "spend?groupBy=model,day",
    "spend?groupBy[$ne]=model",
    "spend?groupBy=model%0A",
    "spend?groupBy=model&groupBy=user",
    "spend?from=2000-01-01&to=8000-01-01",
    "spend?from=2026-02-01&to=2026-01-01",
    "spend?from=8000-01-01",
    "spend?limit=100000",
    "failures?groupBy=code,password",
    "failures?groupBy=",
    "failures?groupBy=$code",
    "failures/export?format=xml",
    "failures?from=yesterday",
)


def test_forged_questions_are_clear_errors(get: Get) -> None:
    for path in FORGED:
        answer = get(path, 400)

        assert answer["code"] == "invalid_request", path
        assert answer["errors"][0]["pointer"].startswith("/"), path


def test_the_forecast_goes_on_as_the_last_seven_whole_days(served: Services, get: Get) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for day in (1, 13, 14, 19, 20):
        ended = {"completed_at": datetime(2026, 11, day, 1, tzinfo=UTC), "charged_micros": 7_000_000}
        UsageStore(served.database).record(dataclasses.replace(completed_job(), id=clock.new_id(), caller_key="k", **ended))
    served.spend.advance()
    budgets = BudgetStore(served.database)
    for budget_id, limit in ((budget.of_user("user-1"), 20_000_000), (budget.of_key("k"), 500_000_000), (budget.GLOBAL, 0)):
        budgets.set_limit(budget_id, limit, month="2026-11")
    spend = attrs.evolve(served.spend, now=lambda: now)

    found = Forecasts(spend=spend, budgets=budgets, now=lambda: now).forecast()

    assert (found.month, found.days_left) == ("2026-11", 10.5)
    assert (found.charged.spent, found.charged.per_day, found.charged.expected) == (35_000_000, 3_000_000, 66_500_000)
    assert [(outlook.budget_id, outlook.full_on) for outlook in found.budgets] == [
        ("global", date(2026, 11, 20)),
        ("user:user-1", date(2026, 11, 26)),
        ("key:k", None),
    ]
    assert get("spend/forecast").keys() == {"month", "daysLeft", "charged", "paid", "budgets"}


def test_sums_of_figures_are_figures() -> None:
    one, other = Figures(jobs=2, charged=5, paid=7), Figures(jobs=1, charged=1, paid=2)

    assert one - other + other == one
    assert (one.margin, one.success_rate, Figures(completed=3, failed=1).success_rate) == (-2, None, 0.75)
