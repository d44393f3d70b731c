"""What the operator is told of jobs that real processes have carried out."""

from __future__ import annotations

from typing import Any

from app.domain.api_key import KeyTerms, Scope
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Service, a_prompt
from tests.support.fal_calls import wait_until

BUSY_S = 30.0


def test_an_operator_sees_who_spends_what_and_what_failed_within_seconds(service: Service) -> None:
    headers = {"X-API-Key": accounts_of(service).make_key("operator", KeyTerms(scopes=(Scope.ADMIN,)))[1]}

    def told(path: str) -> Any:
        answer = service.client.get(f"/api/admin/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def charged(user: str) -> float | None:
        groups = told("spend?groupBy=user&limit=1000")["groups"]
        return next((group["charged"] for group in groups if group["key"] == user), None)

    user = a_prompt().replace(" ", "-")
    body = {"model": "flux-pro", "inputs": {"prompt": a_prompt()}, "userId": user}
    delivered = service.generate(body)
    refused = service.generate({**body, "inputs": {"prompt": f"{a_prompt()} [emulator: fail=content_policy]"}})

    wait_until(lambda: charged(user) == delivered.json()["cost"], BUSY_S)
    wait_until(lambda: refused.json()["code"] in told("status")["failuresLastHour"], BUSY_S)

    assert (delivered.status_code, refused.status_code) == (201, 500)
    assert refused.json()["code"] in {group["code"] for group in told("failures")["groups"]}
    assert told("status")["watcher"]
    assert "imagegw_failures_last_hour" in service.client.get("/metrics").text
