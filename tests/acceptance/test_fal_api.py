"""fal's own API as its clients call it, with plain HTTP: what is asked of it, and what it answers."""

from __future__ import annotations

import base64
import json

import pytest

from tests.acceptance.service import Service, a_prompt
from tests.support.fal_client import EDIT, FLUX, FLUX_APP, SMALL, Fal, a_picture

DEV = "fal-ai/flux/dev"


@pytest.fixture
def fal(service: Service) -> Fal:
    return Fal(service)


def test_a_submit_is_answered_with_the_addresses_that_fals_clients_follow(service: Service, fal: Fal) -> None:
    answer = fal.submit({"prompt": a_prompt(), **SMALL})

    body = answer.json()
    base = f"{service.stack.base_url}/fal/queue/{FLUX_APP}/requests/{body['request_id']}"
    assert answer.status_code == 200
    assert body == {
        "status": "IN_QUEUE",
        "request_id": body["request_id"],
        "queue_position": 0,
        "response_url": base,
        "status_url": f"{base}/status",
        "cancel_url": f"{base}/cancel",
        "logs": None,
        "metrics": {},
        "gateway_request_id": body["request_id"],
    }
    assert answer.headers["x-fal-request-id"] == body["request_id"]
    assert service.document(body["request_id"])["userId"] == f"key:{fal.key.id}"


def test_a_request_is_followed_to_its_output(service: Service, fal: Fal) -> None:
    request_id = fal.submitted()

    ended = fal.ended(request_id)
    with_logs = fal.request(request_id, "/status?logs=true").json()
    results = [fal.request(request_id), fal.request(request_id, "/response")]

    assert ended["logs"] is None
    assert ended["metrics"]["inference_time"] > 0
    assert "error" not in ended
    assert {"message", "timestamp", "level", "source"} == with_logs["logs"][0].keys()
    for result in results:
        assert (result.status_code, result.headers["x-fal-request-id"]) == (200, request_id)
        picture = result.json()["images"][0]
        assert service.client.get(picture["url"]).status_code == 200
        assert (picture["width"], picture["height"]) == (512, 512)


def test_an_output_keeps_what_the_model_said_and_only_our_links(service: Service, fal: Fal) -> None:
    prompt = a_prompt()
    seed = 2**63 + 5

    flux = fal.run({"prompt": prompt, "num_images": 6, "seed": seed, **SMALL}, DEV).json()
    edited = fal.run({"prompt": prompt, "image_urls": [as_data_uri()]}, EDIT).json()
    swapped = fal.run({"base_image_url": as_data_uri(), "swap_image_url": as_data_uri()}, "fal-ai/face-swap").json()

    assert len(flux["images"]) == len(flux["has_nsfw_concepts"]) == 6
    assert (flux["seed"], flux["prompt"], flux["timings"].keys()) == (seed, prompt, {"inference"})
    assert len(service.posts(prompt)) == 3  # 4 and 2 of the one, 1 of the other.
    assert isinstance(edited["description"], str)
    assert swapped["image"]["content_type"].startswith("image/")
    for output in (flux, edited, swapped):
        links = [part for part in json.dumps(output).split('"') if part.startswith("http")]
        assert links
        assert all(service.client.get(link).headers["content-type"].startswith("image/") for link in links)
        assert not [link for link in links if service.emulator.host in link]


def test_an_endpoint_is_known_by_its_other_id_too(service: Service, fal: Fal) -> None:
    answer = fal.run({"prompt": a_prompt(), **SMALL}, "fal-ai/flux-1/dev")

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
    assert service.document(answer.headers["x-fal-request-id"])["call"]["endpoint"] == DEV


def test_a_run_waits_for_the_output(service: Service, fal: Fal) -> None:
    answer = fal.run({"prompt": a_prompt(), **SMALL})

    assert answer.status_code == 200, answer.text
    assert service.client.get(answer.json()["images"][0]["url"]).status_code == 200
    assert service.document(answer.headers["x-fal-request-id"])["status"] == "completed"


def test_a_stream_has_the_output_as_its_one_event(fal: Fal) -> None:
    answer = fal.ask("POST", f"/fal/{FLUX}/stream", json={"prompt": a_prompt(), **SMALL}, headers={"Accept": "text/event-stream"})

    name, _, data = answer.text.strip().partition(": ")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (name, len(json.loads(data)["images"])) == ("data", 1)


def test_the_state_is_streamed_until_the_request_has_ended(fal: Fal) -> None:
    request_id = fal.submitted()

    answer = fal.request(request_id, "/status/stream?logs=1")

    states = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [state["status"] for state in states][-1] == "COMPLETED"
    assert {state["request_id"] for state in states} == {request_id}


def test_a_state_is_held_while_nothing_happens_so_that_polls_without_a_pause_are_few(service: Service, fal: Fal) -> None:
    service.emulator.settings(seconds=2)
    request_id, polls = fal.submitted(), 1

    while (answer := fal.request(request_id, "/status")).status_code == 202:
        polls += 1

    assert answer.json()["status"] == "COMPLETED"
    assert polls < 20  # Answered at once they would be hundreds, and on a slow machine they are only fewer.


def test_what_goes_on_has_no_output_yet(service: Service, fal: Fal) -> None:
    service.emulator.settings(queueSeconds=30)
    request_id = fal.submitted()

    answer = fal.request(request_id)

    assert (answer.status_code, answer.json()["detail"]) == (400, "Request is still in progress")
    fal.request(request_id, "/cancel", "PUT")


def test_a_cancelled_request_is_499_and_cannot_be_cancelled_again(service: Service, fal: Fal) -> None:
    service.emulator.settings(queueSeconds=30)
    request_id = fal.submitted()

    cancelled = fal.request(request_id, "/cancel", "PUT")
    ended = fal.ended(request_id)
    result = fal.request(request_id)
    again = fal.request(request_id, "/cancel", "PUT")

    assert (cancelled.status_code, cancelled.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert ended["error_type"] == "client_cancelled"
    assert (result.status_code, result.json()["error_type"]) == (499, "client_cancelled")
    assert (again.status_code, again.json()["status"]) == (400, "ALREADY_COMPLETED")


def test_a_run_that_its_caller_gives_up_is_504_and_not_bought_if_fal_had_not_begun(service: Service, fal: Fal) -> None:
    service.emulator.settings(queueSeconds=30)

    answer = fal.run({"prompt": a_prompt(), **SMALL}, **{"X-Fal-Request-Timeout": "1.0"})

    request_id = answer.headers["x-fal-request-id"]
    assert (answer.status_code, answer.headers["x-fal-request-timeout-type"]) == (504, "user")
    assert request_id in answer.json()["detail"]
    assert fal.ended(request_id)["error_type"] == "client_cancelled"


def test_a_refused_request_is_told_with_fals_own_status_and_words(service: Service, fal: Fal) -> None:
    service.emulator.outcome("content_policy")
    request_id = fal.submitted()

    ended = fal.ended(request_id)
    result = fal.request(request_id)
    service.emulator.outcome("content_policy")
    run = fal.run({"prompt": a_prompt(), **SMALL})

    assert (ended["error_type"], bool(ended["error"])) == ("content_policy_violation", True)
    for answer in (result, run):
        assert (answer.status_code, answer.headers["x-fal-error-type"]) == (422, "content_policy_violation")
        assert answer.headers["x-fal-retryable"] == "false"
        assert answer.json()["detail"][0].keys() == {"loc", "msg", "type"}


def test_words_of_fals_that_no_header_can_hold_do_not_break_the_answer_off(service: Service, fal: Fal) -> None:
    made, refused = fal.submitted(), fal.submitted(f"{a_prompt()} [emulator: fail=content_policy]")
    fal.ended(made)
    fal.ended(refused)
    service.database["jobs"].update_one({"_id": made}, {"$set": {"requests.0.billableUnits": "\u20ac 1"}})
    service.database["jobs"].update_one({"_id": refused}, {"$set": {"error.details.falErrorType": "\u0442\u0438\u043f"}})

    picture, refusal = fal.request(made), fal.request(refused)

    assert (picture.status_code, picture.headers["x-fal-billable-units"]) == (200, "? 1")
    assert (refusal.status_code, refusal.headers["x-fal-error-type"]) == (422, "???")
    assert refusal.json()["error_type"] == "\u0442\u0438\u043f"


def test_an_idempotency_key_buys_once(service: Service, fal: Fal) -> None:
    prompt = a_prompt()

    first, second = (fal.submit({"prompt": prompt, **SMALL}, **{"Idempotency-Key": prompt}) for _ in range(2))
    other = fal.submit({"prompt": a_prompt(), **SMALL}, **{"Idempotency-Key": prompt})
    fal.ended(first.json()["request_id"])

    assert first.json()["request_id"] == second.json()["request_id"]
    assert second.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert len(service.posts(prompt)) == 1


def test_what_the_model_does_not_know_is_left_out_and_named(service: Service, fal: Fal) -> None:
    arguments = {"prompt": a_prompt(), "strength": 0.5, "sync_mode": True, "seed": None, "wéird": 1, **SMALL}

    answer = fal.submit(arguments, f"{FLUX}?fal_beta=1", **{"X-Fal-Store-IO": "0"})

    request_id = answer.json()["request_id"]
    fal.ended(request_id)
    assert answer.headers["x-gateway-ignored"] == "strength, sync_mode, w%C3%A9ird, fal_beta, X-Fal-Store-IO"
    assert set(service.posts(arguments["prompt"])[0]["arguments"]) == {"prompt", "image_size", "num_images"}


def as_data_uri() -> str:

    return f"data:image/png;base64,{base64.b64encode(a_picture()).decode()}"


def test_what_fal_heeds_beside_the_arguments_is_passed_on(service: Service, fal: Fal) -> None:
    prompt = a_prompt()
    wishes = {"X-Fal-Runner-Hint": "lora-7", "X-Fal-Queue-Priority": "low", "X-Fal-Request-Timeout": "30.0"}

    answer = fal.submit({"prompt": prompt, **SMALL}, **wishes)

    fal.ended(answer.json()["request_id"])
    passed_on = service.posts(prompt)[0]["headers"]
    assert passed_on == {name.lower(): value for name, value in wishes.items()}
    assert "x-gateway-ignored" not in answer.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Fal-Queue-Priority", "urgent"),
        ("X-Fal-Runner-Hint", "a" * 201),
        ("X-Fal-Request-Timeout", "-1"),
        ("X-Fal-Request-Timeout", "nan"),
    ],
)
def test_what_fal_would_make_nothing_of_is_refused_by_its_name(service: Service, fal: Fal, name: str, value: str) -> None:
    before = service.footprint()

    answer = fal.submit({"prompt": a_prompt(), **SMALL}, **{name: value})

    assert answer.status_code == 422
    assert name in answer.text
    assert service.footprint() == before
