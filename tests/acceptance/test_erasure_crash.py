"""Deletions of the running service while its processes are killed: what is begun becomes whole, and nothing else goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.domain.api_key import KeyTerms, Scope
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Answer, Service, a_prompt, wait_until


def files_of(service: Service, user_id: str) -> list[str]:
    root = Path(urlsplit(service.stack.env["STORAGE_URL"]).path)
    return [str(path) for path in root.rglob("*") if path.is_file() and user_id in str(path)]


def traces(service: Service, *words: str) -> list[str]:
    docs = (f"{name}: {doc}" for name in service.database.list_collection_names() for doc in service.database[name].find())
    return [doc[:300] for doc in docs if any(word in doc for word in words)]


def usage_of(service: Service, **query: Any) -> Answer:
    found: Answer = service.client.get("/api/usage", params=query).json()["totals"]
    return found


def test_what_is_being_deleted_goes_whole_although_everybody_dies_who_was_at_it(service: Service) -> None:
    """Both ways at once, a batch whose days are up and a user who leaves: a watcher takes 15 seconds to follow a dead one."""
    user_id, prompt = f"retained-{a_prompt()[-8:]}", a_prompt()
    ada, grace = Person(service, "leaving"), Person(service, "staying")
    items = [{"model": "flux-pro", "inputs": {"prompt": prompt}, "options": {"image_size": "square"}}] * 20
    ordered = service.client.post("/api/images/batch", json={"items": items, "userId": user_id, "retainDays": 1}).json()
    kept, _ = grace.ended(grace.ordered(grace.text())), ada.ended(ada.ordered(ada.text()))
    ada.upload()
    wait_until(lambda: usage_of(service, userId=user_id)["jobs"] == 20, 60, "the batch and its usage")
    whole = (service.client.get(ordered["statusUrl"]).json(), usage_of(service, userId=user_id))
    link = service.job(ordered["jobIds"][0])["images"][0]["downloadUrl"]
    files = len(files_of(service, user_id))
    service.emulator.settings(seconds=3.0)
    at_fal = ada.ordered(ada.text())
    wait_until(lambda: service.document(at_fal)["status"] == "processing", 20, "fal's receipt")

    ended = datetime.now(UTC) - timedelta(days=2)
    service.database["jobs"].update_many({"userId": user_id}, {"$set": {"completedAt": ended, "retainUntil": ended + timedelta(days=1)}})
    begun = ada.request("DELETE", f"/api/users/{ada.id}/data")
    wait_until(lambda: service.database["deletedJobs"].count_documents({"userId": user_id}) >= 3, 60, "the first deletions")
    for name in ("watcher", "web", "worker"):
        service.stack.kill(name)
    service.database["deletedJobs"].update_many({"attentionAt": {"$exists": True}}, {"$set": {"attentionAt": ended}})
    for name in ("web", "watcher", "worker"):
        service.stack.start(name)
    refused = {ada.get("/api/auth/me").status_code, ada.text().status_code}
    wait_until(lambda: not traces(service, prompt, ada.id, ada.email), 90, "that nothing of them is left")

    assert (files, begun.status_code) == (20, 202)
    assert refused <= {401, 409}
    assert files_of(service, user_id) + files_of(service, ada.id) == []
    assert {service.client.get(f"/api/jobs/{job_id}").status_code for job_id in ordered["jobIds"]} == {410}
    assert service.client.get(urlsplit(link)._replace(scheme="", netloc="").geturl()).status_code == 410
    assert (service.client.get(ordered["statusUrl"]).json(), usage_of(service, userId=user_id)) == whole
    assert ada.get("/api/auth/me").status_code == 401
    assert grace.data(f"/api/generate/queue/{kept['generationId']}")["images"]


def test_an_administrators_key_deletes_a_scripts_user_and_says_how_far_it_is(service: Service) -> None:
    user_id = f"customer-{a_prompt()[-8:]}"
    job_id = service.submit(a_prompt(), userId=user_id)
    service.ended(job_id)
    headers = {"X-API-Key": accounts_of(service).make_key("operator", KeyTerms(scopes=(Scope.ADMIN,)))[1]}
    address = f"/api/users/{user_id}/data"

    export = service.client.get(f"/api/users/{user_id}/export")
    answers = [service.client.delete(address), service.client.delete(address, headers={"X-API-Key": accounts_of(service).make_key("x")[1]})]
    gone = wait_until(
        lambda: answer if (answer := service.client.delete(address, headers=headers)).status_code == 200 else None, 60, "the end"
    )

    assert export.text.count('"record":"picture"') == 1
    assert [answer.status_code for answer in answers] == [401, 403]
    assert gone.json()["status"] == "deleted"
    assert service.client.get(f"/api/jobs/{job_id}").status_code == 410
