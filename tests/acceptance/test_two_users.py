"""Two users of one service: neither sees, changes or pays for anything of the other's, on any route."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.people import Person
from tests.acceptance.service import Answer, Service

#: Routes whose parameter names nobody's property.
OPEN_PARAMETERS = {"name"}
#: Without one these are refused before anybody looks whose it is.
BODIES: dict[str, dict[str, Any]] = {"PATCH": {"json": {"favorite": True}}}
NOBODYS = "01a1fbd0-bc8c-709f-83ac-6312d7eb7090"


@dataclass
class Belongings:
    """Grace, who has something of every kind."""

    person: Person
    job_id: str
    upload_id: str
    output_id: str

    @property
    def secrets(self) -> list[str]:
        """Return texts that no answer to anybody else may hold."""
        return [self.person.id, self.person.email, self.job_id, self.upload_id, self.output_id]

    def state(self) -> Answer:
        """Return all of Grace's things as she sees them."""
        paths = ("/api/generate/my-generations", "/api/uploads", "/api/tokens/balance", "/api/tokens/history")
        return {path: self.person.data(path) for path in paths}


@pytest.fixture(scope="module")
def grace(shared_service: Service) -> Belongings:
    shared_service.calm()
    person = Person(shared_service, "grace")
    job_id = person.ordered(person.reference_form(prompt="a secret portrait"))
    done = person.ended(job_id)
    return Belongings(person, job_id, done["metadata"]["referenceImageId"], done["images"][0]["imageId"])


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


def routes(service: Service) -> list[tuple[str, str]]:
    """Return method and path of every documented operation."""
    paths = service.client.get("/openapi.json").json()["paths"]
    methods = ("get", "post", "put", "patch", "delete")
    return [(method.upper(), path) for path, operations in paths.items() for method in operations if method in methods]


def id_for(path: str, parameter: str, belongings: Belongings) -> str:
    if "upload" in parameter:
        return belongings.upload_id
    # A batch's id would be guessed, too; Grace's job is what comes nearest to it.
    return belongings.job_id


def without_request_id(text: str) -> str:
    return re.sub(r'"requestId":\s*"[^"]*"', "", text)


def test_another_users_things_look_on_every_route_as_if_they_were_not_there(ada: Person, grace: Belongings) -> None:
    before = grace.state()
    wrong, tried = [], 0

    for method, path in routes(ada.service):
        parameters = set(re.findall(r"\{(\w+)\}", path))
        if not parameters or parameters <= OPEN_PARAMETERS or not path.startswith("/api/") or "webhooks" in path or "/admin/" in path:
            continue
        tried += 1
        hers = path
        for parameter in parameters:
            hers = hers.replace(f"{{{parameter}}}", id_for(path, parameter, grace))
        nobodys = re.sub(r"\{\w+\}", NOBODYS, path)
        answers = [
            ada.request(method, address, **BODIES.get(method, {})) for address in (hers, hers.upper().replace("/API/", "/api/"), nobodys)
        ]
        if {answer.status_code for answer in (answers[0], answers[2])} != {404} or answers[1].status_code != 404:
            wrong.append(f"{method} {hers}: {[answer.status_code for answer in answers]}")
        if without_request_id(answers[0].text) != without_request_id(answers[2].text):
            wrong.append(f"{method} {hers}: {answers[0].text} is not {answers[2].text}")

    assert tried >= 6
    assert wrong == []
    assert grace.state() == before


def test_no_list_holds_anything_of_another_user(ada: Person, grace: Belongings) -> None:
    ada.ended(ada.ordered(ada.text()))
    leaks, tried = [], 0

    for method, path in routes(ada.service):
        if method != "GET" or "{" in path or not path.startswith("/api/"):
            continue
        tried += 1
        for query in ({}, {"userId": grace.person.id}, {"limit": 100}):
            answer = ada.get(path, **query)
            leaks += [f"{path}?{query}: {secret}" for secret in grace.secrets if secret in answer.text]
            if "userId" in query and answer.status_code not in (400, 403) and answer.json() != ada.get(path).json():
                leaks.append(f"{path}: {answer.status_code} for another userId")

    assert tried >= 7
    assert leaks == []


def test_nothing_can_be_ordered_in_another_users_name_or_from_her_pictures(ada: Person, grace: Belongings) -> None:
    before = grace.state()
    order = {"model": "flux-pro", "inputs": {"prompt": "a red bicycle"}, "options": {"image_size": "square"}}

    in_her_name = ada.post("/api/images/generate", json={**order, "userId": grace.person.id})
    from_pictures = [
        ada.post(
            "/api/images/generate",
            json={"model": "nano-banana-edit", "inputs": {"prompt": "a red bicycle", "image_urls": [f"upload:{picture}"]}},
        )
        for picture in (grace.upload_id, grace.output_id, NOBODYS)
    ]
    references = [ada.reference(referenceImageId=picture) for picture in (grace.upload_id, grace.output_id, NOBODYS)]

    assert (in_her_name.status_code, in_her_name.json()["code"]) == (403, "forbidden")
    assert {answer.status_code for answer in from_pictures} == {400}
    assert len({without_request_id(answer.text) for answer in from_pictures}) == 1
    assert {answer.status_code for answer in references} == {500}
    assert len({without_request_id(answer.text) for answer in references}) == 1
    assert ada.balance() == (1000, 0)
    assert grace.state() == before


def test_the_same_idempotency_key_is_two_users_two_orders(ada: Person, service: Service) -> None:
    bob = Person(service, "bob")
    key = {"Idempotency-Key": f"order of {ada.id}"}

    first, second = (
        person.ordered(person.post("/api/generate/text-to-image", json={"prompt": "hello world"}, headers=key)) for person in (ada, bob)
    )

    assert first != second
    assert [service.document(generation_id)["userId"] for generation_id in (first, second)] == [ada.id, bob.id]


def test_the_same_picture_of_two_users_is_two_uploads(ada: Person, service: Service) -> None:
    bob = Person(service, "bob")

    mine, same, his = ada.upload(), ada.upload(), bob.upload()
    ada.request("DELETE", f"/api/uploads/{mine['id']}")

    assert mine["id"] == same["id"] != his["id"]
    assert mine["sha256"] == his["sha256"]
    assert ada.get(f"/api/uploads/{mine['id']}").status_code == 404
    assert bob.data(f"/api/uploads/{his['id']}") == his
    assert service.client.get(his["url"]).status_code == 200


def test_no_answer_to_a_user_names_another(ada: Person, grace: Belongings) -> None:
    generation_id = ada.ordered(ada.reference_form(prompt="a portrait of my own"))
    told = json.dumps([ada.ended(generation_id), ada.data("/api/generate/my-generations"), ada.get(f"/api/jobs/{generation_id}").json()])

    assert [secret for secret in grace.secrets if secret in told] == []
