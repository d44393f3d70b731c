"""Everybody's webhooks in the hands of an operator: found, the failing ones alone, stopped, sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.api.application import build
from app.bootstrap import Services
from app.domain import clock
from app.domain.api_key import KeyTerms, Scope
from app.domain.audit import AuditFilter
from app.domain.delivery import DeliveryStatus
from app.domain.endpoint import EndpointStatus
from tests.support.deliveries import a_delivery, an_endpoint

Call = Callable[..., Any]


@pytest.fixture
def call(services: Services) -> Call:
    client = build(services.settings, services).test_client()
    headers = {"X-API-Key": services.accounts.make_key("operator", KeyTerms(scopes=(Scope.ADMIN,)))[1]}

    def called(method: str, path: str, status: int, body: Any = None) -> Any:
        answer = client.open(f"/api/admin/{path}", method=method, headers=headers, json=body)
        assert answer.status_code == status, answer.text
        return answer.json

    return called


def test_everybodys_webhooks_are_listed_page_by_page_and_the_failing_ones_alone(services: Services, call: Call) -> None:
    sound, failing = an_endpoint(owner="user:ada"), an_endpoint(owner="key:0f3a", failing_since=clock.now(), failures=3)
    for each in (sound, failing):
        services.endpoint_store.insert(each)

    first = call("GET", "webhooks?limit=1", 200)
    second = call("GET", f"webhooks?limit=1&cursor={first['cursor']['next']}", 200)
    alone = call("GET", "webhooks?failing=true", 200)["webhooks"]

    assert {each["owner"] for each in first["webhooks"] + second["webhooks"]} == {"user:ada", "key:0f3a"}
    assert [(each["id"], each["consecutiveFailures"]) for each in alone] == [(failing.id, 3)]
    assert call("GET", f"webhooks/{sound.id}", 200)["url"] == sound.url


def test_an_operator_sends_again_what_was_given_up_and_stops_a_webhook_and_all_of_it_is_written_down(
    services: Services, call: Call
) -> None:
    endpoint = an_endpoint(owner="user:ada")
    failed, delivered = (a_delivery(endpoint, status=status) for status in (DeliveryStatus.FAILED, DeliveryStatus.DELIVERED))
    services.endpoint_store.insert(endpoint)
    services.delivery_store.insert_all([failed, delivered])

    listed = call("GET", f"webhooks/{endpoint.id}/deliveries?status=failed", 200)["deliveries"]
    body = call("GET", f"deliveries/{failed.id}", 200)["body"]
    recovered = call("POST", f"webhooks/{endpoint.id}/recover", 202, {"since": "2026-01-01T00:00:00Z"})
    again = call("POST", f"deliveries/{delivered.id}/redeliver", 202)
    stopped = call("POST", f"webhooks/{endpoint.id}/disable", 200)

    assert [each["id"] for each in listed] == [failed.id]
    assert (body, recovered, again["status"]) == ("{}", {"requeued": 1}, "pending")
    assert (stopped["status"], stopped["disabledReason"]) == (EndpointStatus.DISABLED, "disabled by the operator")
    actions = {entry.action: entry.outcome for entry in services.audit.all(AuditFilter())}
    assert {action.value: outcome for action, outcome in actions.items()} == dict.fromkeys(
        ("webhook.recover", "webhook.redeliver", "webhook.disable"), "done"
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", f"webhooks/{name}", 404) for name in ("nonsense", "01a1fbb9-ae97-7d10-b7a4-5c6d7e8f9012")),
        ("POST", "webhooks/nonsense/disable", 404),
        ("GET", "deliveries/msg_none", 404),
        ("POST", "deliveries/msg_none/redeliver", 404),
        ("GET", "webhooks?cursor=forged", 400),
        ("GET", "webhooks?failing=perhaps", 400),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_said_and_nothing_is_written_down(
    services: Services, call: Call, method: str, path: str, status: int
) -> None:
    call(method, path, status)

    assert list(services.audit.all(AuditFilter())) == []
