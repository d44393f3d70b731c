"""Models beside fal, new ones, and reading fal's bill, from the operator's side. fal's platform API is a stand-in."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from flask.testing import FlaskClient

from app import create_app
from app.bootstrap import Services
from app.clients.queue import BATCH_QUEUE
from app.domain import clock
from app.domain.api_key import KeyTerms, Scope
from app.domain.audit import Action, AuditFilter, Outcome
from app.domain.errors import AlreadyRunning, InvalidRequest
from app.domain.job import Job
from app.domain.run import SILENT_AFTER, RunKind, RunState
from app.services.operator.runs import MAX_ROWS, Runs
from app.stores.usage import UsageStore
from registry.loader import load_registry
from tests.support.factories import certain, make_facts, make_image, make_job, make_receipt
from tests.support.fal_place import FalPlace
from tests.support.fal_platform import PlatformServer, flux_dev, platform_server
from tests.support.services import Backing, running_services

ENDPOINT = "fal-ai/flux/krea"
NUMBERS = itertools.count(1)
Call = Callable[..., Any]


@pytest.fixture
def fal(fal_place: FalPlace) -> Iterator[PlatformServer]:
    with platform_server(fal_place.tls_dir) as server:
        server.price(ENDPOINT, 0.025, "megapixels")
        server.documents[ENDPOINT] = flux_dev()
        yield server


@pytest.fixture
def served(tmp_path: Path, backing: Backing, fal_place: FalPlace, fal: PlatformServer) -> Iterator[Services]:
    """The services with a folder of the operator's, and fal's platform in the test's hands."""
    env = fal.environment
    with running_services(backing, fal_place) as plain:
        settings = dataclasses.replace(
            plain.settings,
            registry_path=tmp_path,
            fal_api_url=env["FAL_API_URL"],
            fal_openapi_url=env["FAL_OPENAPI_URL"],
            fal_admin_key=env["FAL_ADMIN_KEY"],
        )
        services = Services(settings)
        services.redis.flushall()
        services.readiness.look()
        yield services
        services.close()


@pytest.fixture
def client(served: Services) -> FlaskClient:
    return create_app(served.settings, served).test_client()


@pytest.fixture
def call(served: Services, client: FlaskClient) -> Call:
    headers = {"X-API-Key": served.accounts.make_key("operator", KeyTerms(scopes=(Scope.ADMIN,)))[1]}

    def called(method: str, path: str, status: int, body: Any = None) -> Any:
        answer = client.open(f"/api/admin/{path}", method=method, headers=headers, json=body)
        assert answer.status_code == status, answer.text
        return answer.json if answer.is_json else answer.text

    return called


def stored(services: Services, *, at: datetime | None = None, count: int = 1) -> list[Job]:
    """Write delivered jobs, settled as far as reports go; their requests are r-1, r-2 …"""
    jobs = []
    for _ in range(count):
        moment = at or clock.now() - timedelta(hours=1)
        job = make_job(now=moment, id=clock.new_id())
        job = certain(certain(job.submitting(0, now=moment)).submitted(0, make_receipt(f"r-{next(NUMBERS)}"), now=moment))
        job = certain(job.collected(0, [make_image(0)], make_facts("1"), now=moment + timedelta(seconds=9)))
        assert services.jobs.insert(job)
        UsageStore(services.database).record(job)
        jobs.append(job)
    return jobs


def request_of(job: Job) -> str:
    return certain(job.requests[0].receipt).request_id


# -- models ------------------------------------------------------------------------------------------------------------------------------


def test_models_are_listed_with_price_quality_pace_and_the_last_check(served: Services, call: Call) -> None:
    stored(served)
    served.spend.advance()
    served.durations.add("flux-dev", [1.0, 3.0])

    found = call("GET", "models", 200)

    flux = next(model for model in found["models"] if model["name"] == "flux-dev")
    assert len(found["models"]) == len(served.registry)
    assert (flux["endpoint"], flux["successRate"], flux["p95Seconds"], flux["isOwn"]) == ("fal-ai/flux/dev", 1.0, 3.0, False)
    assert flux["price"].keys() == {"id", "amount", "unit", "from", "source", "checked"}
    assert flux["last30Days"]["charged"] == 0.025
    assert (found["checked"], found["problem"], found["canSave"]) == (None, None, True)


def test_a_check_compares_every_model_with_fal(served: Services, call: Call, fal: PlatformServer) -> None:
    fal.price("fal-ai/flux/dev", 0.5, "megapixels")
    fal.documents["fal-ai/flux/dev"] = flux_dev()

    began = call("POST", "models/check", 202)
    served.runs.go_on(RunKind.MODELS)
    found = call("GET", "models", 200)

    models = {model["name"]: model for model in found["models"]}
    assert began["state"] == "running"
    assert (found["checked"]["state"], found["checked"]["done"]) == ("done", len(served.registry))
    assert {
        "model": "flux-dev",
        "where": "price",
        "ours": models["flux-dev"]["drift"][0]["ours"],
        "fals": "0.5 USD / megapixels",
    } in models["flux-dev"]["drift"]
    assert (models["flux-dev"]["isGone"], models["flux-pro"]["isGone"]) == (False, True)


def test_an_import_is_a_preview_until_it_is_saved(served: Services, call: Call, tmp_path: Path) -> None:
    looked_at = call("POST", "models/import", 200, {"endpoint": ENDPOINT})
    before = list(tmp_path.iterdir())
    saved = call("POST", "models/import", 200, {"endpoint": ENDPOINT, "save": True})
    again = call("POST", "models/import", 200, {"endpoint": ENDPOINT})

    assert (looked_at["saved"], looked_at["proposal"]["problems"], before) == (False, [], [])
    assert saved["saved"]
    assert (tmp_path / "flux-krea.toml").read_text() == saved["proposal"]["text"] == looked_at["proposal"]["text"]
    assert [path.name for path in tmp_path.iterdir()] == ["flux-krea.toml"]
    assert served.registry.get("flux-krea") is not None
    assert again["proposal"]["problems"] == ["There is a model 'flux-krea' already: choose another name."]
    entries = served.audit.page(AuditFilter(), before_id=None, limit=10)
    assert [(entry.action, entry.outcome) for entry in entries] == [
        (Action.MODEL_IMPORT, Outcome.DONE),
        (Action.MODEL_SAVE, Outcome.DONE),
        (Action.MODEL_IMPORT, Outcome.DONE),
    ]


REFUSED_IMPORTS: list[tuple[Any, str]] = [
    ({"endpoint": "../../etc/passwd"}, "/endpoint"),
    ({"endpoint": "fal-ai/../flux"}, "/endpoint"),
    ({"endpoint": "fal-ai//flux"}, "/endpoint"),
    ({"endpoint": "https://fal.ai/models/x"}, "/endpoint"),
    ({"endpoint": "fal-ai/flux?x=1"}, "/endpoint"),
    ({"endpoint": "flux"}, "/endpoint"),
    ({"endpoint": "fal-ai/" + "x" * 400}, "/endpoint"),
    ({"endpoint": 7}, "/endpoint"),
    ({}, "/endpoint"),
    ({"endpoint": ENDPOINT, "name": "../evil"}, "/name"),
    ({"endpoint": ENDPOINT, "name": "a/b"}, "/name"),
    ({"endpoint": ENDPOINT, "name": "openai", "save": True}, "/name"),
    ({"endpoint": ENDPOINT, "costPerImage": "NaN"}, "/costPerImage"),
    ({"endpoint": ENDPOINT, "costPerImage": -1}, "/costPerImage"),
    ({"endpoint": ENDPOINT, "save": "yes"}, "/save"),
    ({"endpoint": ENDPOINT, "name": "flux-dev", "save": True}, "/save"),
    ({"endpoint": ENDPOINT, "path": "/tmp"}, "/path"),
]


def test_what_cannot_be_an_endpoint_or_a_name_is_refused_and_nothing_is_written(call: Call, tmp_path: Path) -> None:
    for body, told in REFUSED_IMPORTS:
        answer = call("POST", "models/import", 400, body)

        assert [error["pointer"] for error in answer["errors"]][:1] == [told], body
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_fal_does_not_know_or_prices_otherwise_is_told(call: Call, fal: PlatformServer) -> None:
    fal.documents["fal-ai/by/seconds"] = flux_dev()
    fal.price("fal-ai/by/seconds", 0.1, "seconds")

    unknown = call("POST", "models/import", 404, {"endpoint": "fal-ai/no/such"})
    priced = call("POST", "models/import", 400, {"endpoint": "fal-ai/by/seconds"})
    decided = call("POST", "models/import", 200, {"endpoint": "fal-ai/by/seconds", "costPerImage": 0.05})

    assert unknown["code"] == "not_found"
    assert "costPerImage" in priced["message"]
    assert "amount = 0.05" in decided["proposal"]["text"]


def test_without_a_folder_that_can_be_written_an_import_is_only_looked_at(served: Services, tmp_path: Path) -> None:
    nowhere = attrs.evolve(served.model_saving, model_files=attrs.evolve(served.model_files, folder=tmp_path / "missing"))
    proposal = served.model_saving.propose(ENDPOINT, name=None, per_image=None)

    with pytest.raises(InvalidRequest, match="REGISTRY_PATH"):
        nowhere.save(proposal)

    assert not nowhere.can_save


def test_beside_a_broken_file_nothing_is_saved(served: Services, call: Call, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("not TOML [")
    served.model_files.look(at_once=True)

    answer = call("POST", "models/import", 400, {"endpoint": ENDPOINT, "save": True})

    assert "broken.toml" in answer["message"]
    assert "broken.toml" in call("GET", "models", 200)["problem"]
    assert [path.name for path in tmp_path.iterdir()] == ["broken.toml"]


def test_of_many_who_save_a_model_one_does(served: Services, tmp_path: Path) -> None:
    proposal = served.model_saving.propose(ENDPOINT, name=None, per_image=None)

    def save(_: int) -> bool:
        try:
            served.model_saving.save(proposal)
        except InvalidRequest:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(save, range(8)))

    assert saved.count(True) == 1
    assert len(load_registry(tmp_path)) == 1


# -- fal's bill --------------------------------------------------------------------------------------------------------------------------


def test_the_bill_is_read_in_the_background_and_its_drift_told(served: Services, call: Call, fal: PlatformServer) -> None:
    right, wrong, unbilled = stored(served, count=3)
    for job, nano in ((right, 25_000_000), (wrong, 30_000_000)):
        fal.bill(request_of(job), nano, at=clock.rfc3339(clock.now()))
    served.spend.advance()

    began = call("POST", "costs/reconcile", 202, {})
    refused = call("POST", "costs/reconcile", 409, {})
    served.runs.go_on(RunKind.COSTS)
    run = call("GET", "costs/reconcile", 200)["run"]
    served.spend.advance()
    spend = call("GET", "spend?groupBy=day", 200)["totals"]
    rows = list(csv.DictReader(io.StringIO(call("GET", "costs/drift/export?format=csv", 200))))

    assert (began["state"], began["done"], refused["code"]) == ("running", 0, "already_running")
    assert (run["state"], run["done"], run["total"], run["invoicedJobs"], run["disagreeing"], run["missing"]) == ("done", 3, 3, 2, 1, 1)
    assert (run["quoted"], run["invoiced"]) == (0.05, 0.055)
    assert [(row["jobId"], row["drift"], row["missing"]) for row in run["drift"]] == [
        (wrong.id, 0.005, []),
        (unbilled.id, None, [request_of(unbilled)]),
    ]
    assert (spend["billed"], spend["billedJobs"], spend["drift"]) == (0.055, 2, 0.005)
    assert [row["jobId"] for row in rows] == [wrong.id, unbilled.id]
    assert call("POST", "costs/reconcile", 202, {})["state"] == "running"


def test_a_bill_that_fal_does_not_show_ends_the_run_with_its_reason(served: Services, call: Call, fal: PlatformServer) -> None:
    stored(served)
    fal.refusals = [(403, {"error": {"message": "Admin API key required"}})]

    call("POST", "costs/reconcile", 202, {"since": "2026-01-01"})
    served.runs.go_on(RunKind.COSTS)

    run = call("GET", "costs/reconcile", 200)["run"]
    assert (run["state"], "FAL_ADMIN_KEY" in run["message"]) == ("failed", True)


def test_a_run_whose_worker_died_goes_on_where_it_was(served: Services, fal: PlatformServer) -> None:
    jobs = stored(served, count=120)
    for job in jobs:
        fal.bill(request_of(job), 25_000_000, at=clock.rfc3339(clock.now()))
    served.runs.start(RunKind.COSTS, "user:ada")
    dying = attrs.evolve(served.runs, piece_s=-1.0, save_every_s=0.0)

    pieces = 0
    while certain(served.runs.latest(RunKind.COSTS)).state is RunState.RUNNING:
        dying.go_on(RunKind.COSTS)
        pieces += 1

    run = certain(served.runs.latest(RunKind.COSTS))
    assert pieces >= 3
    assert (run.done, run.sums["jobs"], run.sums["invoicedJobs"], run.sums["invoiced"]) == (120, 120, 120, 120 * 25_000)


def test_a_run_of_which_nothing_was_heard_is_asked_for_again_and_may_be_begun_anew(served: Services) -> None:
    served.runs.start(RunKind.COSTS, "user:ada")
    served.redis.flushall()
    later: Runs = attrs.evolve(served.runs, now=lambda: clock.now() + SILENT_AFTER + timedelta(seconds=1))

    served.runs.sweep()
    quiet = len(served.queue.waiting(BATCH_QUEUE))
    later.sweep()

    assert (quiet, len(served.queue.waiting(BATCH_QUEUE))) == (0, 1)
    with pytest.raises(AlreadyRunning):
        served.runs.start(RunKind.COSTS, "user:grace")
    assert later.start(RunKind.COSTS, "user:grace").actor == "user:grace"


def test_only_one_of_many_begins_a_run(served: Services) -> None:
    def begin(_: int) -> bool:
        try:
            served.runs.start(RunKind.MODELS, "user:ada")
        except AlreadyRunning:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(begin, range(8))).count(True) == 1


def test_a_period_that_cannot_be_looked_at_begins_no_run(served: Services, call: Call) -> None:
    turned = {"since": "2026-02-01", "until": "2026-01-01"}
    for body in ({"since": "2000-01-01"}, turned, {"since": "8000-01-01"}, {"since": "x"}, {"until": 7}, {"all": 1}):
        call("POST", "costs/reconcile", 400, body)

    assert served.runs.latest(RunKind.COSTS) is None


def test_a_run_keeps_the_jobs_that_differ_most(served: Services, fal: PlatformServer) -> None:
    jobs = stored(served, count=60)
    for number, job in enumerate(jobs):
        fal.bill(request_of(job), 25_000_000 + number * 1_000_000, at=clock.rfc3339(clock.now()))
    served.runs.start(RunKind.COSTS, "user:ada")

    served.runs.go_on(RunKind.COSTS)

    run = certain(served.runs.latest(RunKind.COSTS))
    assert [row["drift"] for row in run.rows[:2]] == [59_000, 58_000]
    assert (len(run.rows) <= MAX_ROWS, run.left_out) == (True, 0)


def test_before_the_first_run_there_is_none(call: Call) -> None:
    assert call("GET", "costs/reconcile", 200) == {"run": None}
    assert call("GET", "costs/drift/export?format=ndjson", 200) == ""
