"""Deliveries and endpoints as pure rules: the schedule, who is given up, what is told, how it is signed."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.api.schemas.jobs import JobAnswer
from app.clients.storage import LocalStorage
from app.domain.delivery import DELAYS_S, TEST, Delivery, DeliveryStatus, Reply, delivery_id
from app.domain.endpoint import Endpoint, EndpointStatus, EventFilter, Secret, Subject, is_named, valid_secrets, with_new_secret
from app.domain.errors import Misconfigured
from app.services.deliveries.bodies import MAX_TEXT_CHARS, fitting, job_body
from app.services.deliveries.job_events import owners_of
from app.services.deliveries.secrets import Vault
from app.services.deliveries.signing import standard_headers
from app.services.pictures.links import PictureLinks
from tests.support.factories import NOON, after, canceled_job, completed_job, make_job

FAILED = Reply(status_code=500)


def a_delivery(**fields: Any) -> Delivery:
    given = {"id": "msg_1", "owner": "user:1", "type": "job.completed", "body": "{}", "url": "https://example.com", "lane": "lane"}
    return Delivery(**{**given, "created_at": NOON, "next_at": NOON, "log_days": 30, **fields})


def an_endpoint(**fields: Any) -> Endpoint:
    given: dict[str, Any] = {"id": "e", "owner": "user:1", "url": "https://example.com", "events": ("job.*",)}
    return Endpoint(**{**given, "created_at": NOON, "updated_at": NOON, **fields})


def tried(delivery: Delivery, reply: Reply, jitter: float = 0) -> Delivery:
    """Send a delivery once, when it is due."""
    now = delivery.attention_at or NOON
    claimed = delivery.claimed(now=now)
    assert claimed is not None
    written = claimed.attempted(reply, now=now, jitter=jitter)
    assert written is not None
    return written


def pause_s(delivery: Delivery) -> float:
    assert delivery.next_at is not None
    return (delivery.next_at - delivery.attempts[-1].at).total_seconds()


def test_an_id_follows_from_event_and_receiver_and_has_no_dot() -> None:
    ids = {
        delivery_id(*parts) for parts in [("job", "job.completed", "order"), ("job", "job.failed", "order"), ("job", "job.completed", "e")]
    }

    assert len(ids) == 3
    assert delivery_id("job", "job.completed", "order") in ids
    assert all(found.startswith("msg_") and "." not in found and len(found) == 30 for found in ids)


def test_a_failing_receiver_is_tried_eleven_times_in_three_days() -> None:
    delivery, pauses = a_delivery(), []

    while (delivery := tried(delivery, FAILED)).is_open:
        pauses.append(pause_s(delivery))

    assert pauses == list(DELAYS_S)
    assert timedelta(days=3) < timedelta(seconds=sum(pauses)) < timedelta(days=3.5)
    assert (delivery.status, delivery.attempt_count, len(delivery.attempts)) == (DeliveryStatus.FAILED, 11, 11)
    assert delivery.expires_at == delivery.done_at + timedelta(days=30) if delivery.done_at else False


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (FAILED, 5),
        (Reply(status_code=503, retry_after_s=90), 90),
        (Reply(status_code=429, retry_after_s=86_400), 3600),
        (Reply(status_code=503, retry_after_s=-5), 1),
        (Reply(status_code=500, retry_after_s=90), 5),
        (Reply(error="It takes no connection."), 5),
    ],
)
def test_a_busy_receiver_may_say_when_to_try_again_within_an_hour(reply: Reply, expected: float) -> None:
    assert pause_s(tried(a_delivery(), reply)) == expected


def test_jitter_spreads_what_failed_together() -> None:
    assert [pause_s(tried(a_delivery(), FAILED, jitter)) for jitter in (-1, 1)] == [4, 6]


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        (Reply(status_code=204), "job.completed", DeliveryStatus.DELIVERED),
        (Reply(status_code=301), "job.completed", DeliveryStatus.PENDING),
        (Reply(status_code=410), "job.completed", DeliveryStatus.DROPPED),
        (Reply(status_code=500, aborts=True), "job.completed", DeliveryStatus.FAILED),
        (FAILED, TEST, DeliveryStatus.FAILED),
    ],
)
def test_the_answer_decides_what_follows(reply: Reply, kind: str, status: DeliveryStatus) -> None:
    assert tried(a_delivery(type=kind), reply).status is status


def test_one_sends_it_at_a_time_and_whoever_died_is_followed_by_another() -> None:
    claimed = a_delivery().claimed(now=NOON)
    assert claimed is not None

    assert a_delivery(next_at=after(1)).claimed(now=NOON) is None
    assert claimed.claimed(now=after(59)) is None
    assert claimed.claimed(now=after(61)) is not None
    assert claimed.redelivered(now=after(1)) is None


def test_redelivery_begins_anew_under_the_same_id() -> None:
    done = tried(a_delivery(), Reply(status_code=200))

    again = done.redelivered(now=after(60))

    assert again is not None
    assert (again.id, again.tries, again.attempt_count, again.attention_at, again.expires_at) == ("msg_1", 0, 1, after(60), None)


def test_an_endpoint_is_disabled_after_three_days_or_ten_deliveries_in_vain() -> None:
    failing = an_endpoint(failing_since=NOON, failures=9)
    exhausted = an_endpoint(exhausted=9)

    found = [
        failing.failed(exhausted=False, now=NOON + timedelta(days=3)),
        failing.failed(exhausted=False, now=NOON + timedelta(days=2)),
        dataclasses.replace(failing, failures=3).failed(exhausted=False, now=NOON + timedelta(days=9)),
        exhausted.failed(exhausted=True, now=NOON),
        exhausted.failed(exhausted=False, now=NOON),
    ]

    disabled, enabled = EndpointStatus.DISABLED, EndpointStatus.ENABLED
    assert [each and each.status for each in found] == [disabled, enabled, enabled, disabled, enabled]


def test_a_success_forgets_failures_and_is_noted_once_a_minute() -> None:
    well = an_endpoint(failing_since=NOON, failures=3).succeeded(now=after(1))
    assert well is not None

    assert (well.failing_since, well.failures, well.last_success_at) == (None, 0, after(1))
    assert well.succeeded(now=after(30)) is None
    assert well.succeeded(now=after(90)) is not None


@pytest.mark.parametrize(
    ("event", "pattern", "expected"),
    [
        ("job.completed", "job.*", True),
        ("job.completed", "*", True),
        ("job.completed", "job.completed", True),
        ("batch.completed", "job.*", False),
        ("jobless.x", "job.*", False),
    ],
)
def test_a_pattern_names_events(event: str, pattern: str, *, expected: bool) -> None:
    assert is_named(event, pattern) is expected


def test_a_filter_looks_at_model_project_and_metadata() -> None:
    subject = Subject(model="flux-dev", project_id="p", metadata={"n": 3, "final": True})

    assert subject.fits(EventFilter(model="flux-dev", project_id="p", metadata={"n": "3", "final": "true"}))
    assert not subject.fits(EventFilter(model="flux-pro"))
    assert not subject.fits(EventFilter(metadata={"missing": "x"}))


def test_two_secrets_sign_at_most() -> None:
    one, two, three = (Secret(id=name, cipher="", created_at=NOON) for name in "abc")
    day = timedelta(hours=24)

    rotated = with_new_secret(with_new_secret((one,), two, overlap=day, now=NOON), three, overlap=day, now=NOON)

    assert [secret.id for secret in valid_secrets(rotated, now=after(60))] == ["c", "b"]
    assert [secret.id for secret in valid_secrets(rotated, now=NOON + day)] == ["c"]
    assert [secret.id for secret in with_new_secret((one,), two, overlap=timedelta(0), now=NOON)] == ["b"]


def test_signatures_are_those_of_standard_webhooks() -> None:
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    delivery = a_delivery(body='{"type": "job.completed"}')

    headers = standard_headers(delivery, [secret], NOON)

    assert headers["webhook-signature"] == Webhook(secret).sign("msg_1", NOON, delivery.body)


def test_what_is_locked_is_read_by_its_own_key_and_holder_only() -> None:
    vault = Vault("k" * 32)
    cipher = vault.lock("a secret", bound_to="endpoint-1")

    assert vault.unlock(cipher, bound_to="endpoint-1") == "a secret"
    for other, holder in ((vault, "endpoint-2"), (Vault("x" * 32), "endpoint-1"), (Vault(""), "endpoint-1")):
        with pytest.raises(Misconfigured):
            other.unlock(cipher, bound_to=holder)


def test_a_job_is_told_as_it_is_shown(tmp_path: Any) -> None:
    storage = LocalStorage(tmp_path, "http://localhost:5000/files")
    links = PictureLinks(storage=storage, own_url="http://localhost:5000", secret="s", now=lambda: NOON)

    for job in (make_job(), completed_job(requests=(2,), metadata={"a": 1}), canceled_job()):
        told = job_body(job, links, own_url="http://localhost:5000")
        assert told.pop("seq") == job.seq
        assert told.pop("jobUrl") == f"http://localhost:5000/api/jobs/{job.id}"
        assert told == JobAnswer.of(job, links)


def test_what_is_told_stays_below_twenty_kilobytes() -> None:
    long = {"config": {"inputs": {"prompt": "ä" * 5000}, "options": {}}, "metadata": {f"k{n}": "ü" * 500 for n in range(50)}, "images": []}

    told = fitting(long)

    assert len(json.dumps(told)) < 20_000
    assert told["truncated"] is True
    assert fitting({"config": {"inputs": {"prompt": "x" * 3000}}})["config"]["inputs"]["prompt"] == "x" * MAX_TEXT_CHARS
    assert "truncated" not in fitting({"prompt": "short"})


def test_a_job_is_told_to_its_user_its_key_and_the_operator() -> None:
    assert owners_of(make_job(caller_key="k", tokens_per_image=100)) == ("user:user-1", "key:k", "operator")
    assert owners_of(make_job(tokens_per_image=100)) == ("user:user-1", "operator")
    assert owners_of(make_job()) == ("user:user-1", "anonymous", "operator")
