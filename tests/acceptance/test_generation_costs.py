"""What generations cost in tokens: for what is delivered, once, and nothing for what fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, Service, wait_until
from tests.support.factories import picture


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def books(ada: Person) -> list[tuple[str, int, int]]:
    """Return the ledger as its user sees it, oldest first, the signup left out: type, amount, held."""
    entries = ada.data("/api/tokens/history", limit=100)["entries"]
    assert entries[-1]["type"] == "signup"
    return [(entry["type"], entry["amount"], entry["held"]) for entry in reversed(entries[:-1])]


@pytest.mark.parametrize(("images", "tokens"), [(1, 150), (4, 600)])
def test_an_image_after_a_reference_costs_150_tokens(ada: Person, images: int, tokens: int) -> None:
    generation_id = ada.ordered(ada.reference_form(numberOfImages=str(images)))
    done = ada.ended(generation_id)

    assert (done["status"], len(done["images"]), done["tokensUsed"]) == ("completed", images, tokens)
    assert ada.balance() == (1000 - tokens, 0)
    assert books(ada) == [("hold", -tokens, tokens), ("capture", 0, -tokens)]


@pytest.mark.parametrize(("images", "tokens"), [(1, 100), (3, 300)])
def test_an_image_from_text_costs_100_tokens(ada: Person, images: int, tokens: int) -> None:
    done = ada.ended(ada.ordered(ada.text(numberOfImages=images)))

    assert (len(done["images"]), done["tokensUsed"], ada.balance()) == (images, tokens, (1000 - tokens, 0))


def test_tokens_are_held_from_the_answer_to_the_end(ada: Person) -> None:
    ada.service.emulator.settings(seconds=1.0)

    generation_id = ada.ordered(ada.reference_form(numberOfImages="4"))
    meanwhile = ada.balance()
    ada.ended(generation_id)

    assert (meanwhile, ada.balance()) == ((400, 600), (400, 0))


def test_three_of_four_delivered_cost_three(ada: Person) -> None:
    ada.service.emulator.outcome("fewer", promptContains=ada.id)

    done = ada.ended(ada.ordered(ada.reference_form(prompt=f"a portrait {ada.id}", numberOfImages="4")))

    assert (done["status"], len(done["images"]), done["tokensUsed"]) == ("completed", 3, 450)
    assert ada.balance() == (550, 0)
    assert books(ada) == [("hold", -600, 600), ("capture", 0, -450), ("release", 150, -150)]


def test_a_failed_generation_costs_nothing_and_says_why(ada: Person) -> None:
    ada.service.emulator.outcome("content_policy", promptContains=ada.id)

    done = ada.ended(ada.ordered(ada.reference_form(prompt=f"a portrait {ada.id}", numberOfImages="2")))

    assert (done["status"], done["images"], done["tokensUsed"]) == ("failed", [], 0)
    assert done["error"]["code"] == "content_policy_violation"
    assert done["error"]["message"]
    assert ada.balance() == (1000, 0)
    assert books(ada) == [("hold", -300, 300), ("release", 300, -300)]


def test_of_twelve_at_once_only_those_that_can_be_paid_are_taken(ada: Person) -> None:
    upload_id = ada.upload()["id"]

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: ada.reference(referenceImageId=upload_id, prompt=f"portrait {n}"), range(12)))

    taken = [ada.ordered(answer) for answer in answers if answer.status_code == 202]
    refused = {answer.json()["message"] for answer in answers if answer.status_code != 202}
    assert len(taken) == 6
    assert refused == {"Insufficient tokens. Need 150, have 100"}
    for generation_id in taken:
        ada.ended(generation_id)
    assert ada.balance() == (100, 0)
    assert ada.service.database["jobs"].count_documents({"userId": ada.id}) == 6


def test_the_same_order_sent_again_is_one_order_and_one_price(ada: Person) -> None:
    upload_id, key = ada.upload()["id"], {"Idempotency-Key": "order-1"}
    body = {"prompt": "a portrait", "referenceType": "face", "referenceImageId": upload_id}

    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda _: ada.post("/api/generate/image-reference", json=body, headers=key), range(5)))
    other = ada.post("/api/generate/image-reference", json={**body, "prompt": "a landscape"}, headers=key)

    (generation_id,) = {ada.ordered(answer) for answer in answers}
    ada.ended(generation_id)
    again = ada.post("/api/generate/image-reference", json=body, headers=key)
    assert (other.status_code, other.json()["code"]) == (400, "idempotency_mismatch")
    assert (again.json(), again.headers["idempotent-replayed"]) == (answers[0].json(), "true")
    assert ada.balance() == (850, 0)


def test_the_same_picture_sent_again_with_one_key_is_one_order(ada: Person) -> None:
    key, fields = {"Idempotency-Key": "form-1"}, {"prompt": "a portrait", "referenceType": "face"}

    def send(color: str) -> Answer:
        files = {"image": ("me.png", picture(color=color), "image/png")}
        answer: Answer = ada.post("/api/generate/image-reference", data=fields, files=files, headers=key).json()
        return answer

    first, same, other = send("red"), send("red"), send("blue")

    assert first == same
    assert first["success"] is True
    assert other["code"] == "idempotency_mismatch"


def test_the_script_endpoint_is_no_way_around_a_users_balance(ada: Person) -> None:
    ada.spend_down_to(250)
    body = {"model": "flux-pro", "inputs": {"prompt": "a red bicycle"}, "options": {"image_size": "square", "num_images": 2}}

    paid, refused = (ada.post("/api/images/generate", json=body) for _ in range(2))

    assert paid.status_code == 201
    assert (refused.status_code, refused.json()["message"]) == (400, "Insufficient tokens. Need 200, have 50")
    wait_until(lambda: ada.balance() == (50, 0), 30, "the settlement")


def test_a_reference_at_the_script_endpoint_costs_what_a_reference_costs(ada: Person) -> None:
    body = {"model": "nano-banana-edit", "inputs": {"prompt": "a red bicycle", "image_urls": [f"upload:{ada.upload()['id']}"]}}

    answer = ada.post("/api/images/generate", json=body)

    assert answer.status_code == 201, answer.text
    wait_until(lambda: ada.balance() == (850, 0), 30, "the settlement")


def test_a_new_users_thousand_tokens_are_six_references(ada: Person) -> None:
    upload_id = ada.upload()["id"]

    statuses = [ada.reference(referenceImageId=upload_id).status_code for _ in range(7)]

    assert statuses == [202] * 6 + [400]


def test_a_user_who_retries_a_scripts_job_pays_for_it(ada: Person, service: Service) -> None:
    body = {"model": "flux-pro", "inputs": {"prompt": f"a harbour {ada.id}"}, "userId": ada.id}
    script_job = service.client.post("/api/images/generate", json=body).json()["jobId"]
    assert ada.balance() == (1000, 0)

    retried = ada.post(f"/api/jobs/{script_job}/retry").json()["jobId"]

    service.ended(retried)
    wait_until(lambda: ada.balance() == (900, 0), 30, "the tokens captured")
