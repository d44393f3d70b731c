"""fal's uploads: with a token, or to an address made for one file; then by their address as an order's input, and for their owner only."""

from __future__ import annotations

import uuid
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import pytest

from app.domain.api_key import KeyTerms, Scope
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Answer, Service, a_prompt
from tests.support.fal_client import EDIT, Fal, a_picture


@pytest.fixture
def fal(service: Service) -> Fal:
    return Fal(service)


def uploaded(fal: Fal, picture: bytes) -> str:
    """Upload as fal-client does; return the picture's address."""
    token = fal.ask("POST", "/fal/rest/storage/auth/token?storage_type=fal-cdn-v3", json={}).json()
    answer = put(fal, "POST", "/fal/cdn/files/upload", picture, Authorization=f"{token['token_type']} {token['token']}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_url"])


def put(fal: Fal, method: str, url: str, picture: bytes, **headers: str) -> httpx.Response:
    path = urlsplit(url).path
    return fal.service.client.request(method, path, content=picture, headers={"Content-Type": "image/png", **headers})


def initiated(fal: Fal) -> Answer:
    body = {"file_name": "a.png", "content_type": "image/png"}
    answer = fal.ask("POST", "/fal/rest/storage/upload/initiate?storage_type=fal-cdn-v3", json=body)
    assert answer.status_code == 200, answer.text
    found: Answer = answer.json()
    return found


def test_a_token_uploads_for_a_while_and_the_address_is_an_input(service: Service, fal: Fal) -> None:
    token = fal.ask("POST", "/fal/rest/storage/auth/token?storage_type=fal-cdn-v3", json={}).json()
    address = uploaded(fal, a_picture())

    submitted = fal.submit({"prompt": a_prompt(), "image_urls": [address]}, EDIT)

    request_id = submitted.json()["request_id"]
    upload_id = urlsplit(address).path.rpartition("/")[2].partition(".")[0]
    assert (token["token_type"], token["base_url"]) == ("Bearer", f"{service.stack.base_url}/fal/cdn")
    assert datetime.fromisoformat(token["expires_at"]).tzinfo is not None
    assert address == f"{service.stack.base_url}/fal/files/{upload_id}.png"
    assert service.document(request_id)["config"]["inputs"]["image_urls"] == [f"upload:{upload_id}"]
    fal.ended(request_id)
    assert fal.request(request_id).status_code == 200


def test_a_key_uploads_without_a_token_too_and_its_owner_sees_the_picture(service: Service, fal: Fal) -> None:
    answer = put(fal, "POST", "/fal/cdn/files/upload", a_picture(), **fal.headers)

    path = urlsplit(answer.json()["access_url"]).path
    seen = fal.ask("GET", path, follow_redirects=True)
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/png")
    assert Fal(service).ask("GET", path).status_code == 404
    assert service.client.get(path).status_code == 404


def test_an_initiated_upload_is_put_once_without_a_credential(service: Service, fal: Fal) -> None:
    addresses = initiated(fal)

    first = put(fal, "PUT", addresses["upload_url"], a_picture())
    second = put(fal, "PUT", addresses["upload_url"], a_picture())
    submitted = fal.submit({"prompt": a_prompt(), "image_urls": [addresses["file_url"]]}, EDIT)

    assert (first.status_code, first.text, first.headers["content-type"].partition(";")[0]) == (200, "", "text/plain")
    assert (second.status_code, "used" in second.json()["detail"]) == (401, True)
    assert submitted.status_code == 200, submitted.text
    fal.ended(submitted.json()["request_id"])


def test_a_refused_file_leaves_its_ticket_good(service: Service, fal: Fal) -> None:
    address = initiated(fal)["upload_url"]

    refused = put(fal, "PUT", address, b"no picture")
    too_large = put(fal, "PUT", address, b"x" * (10 * 1024 * 1024 + 1))
    taken = put(fal, "PUT", address, a_picture())

    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body"])
    assert too_large.status_code == 413
    assert taken.status_code == 200


def test_what_is_uploaded_in_parts_is_too_large(fal: Fal) -> None:
    answers = [
        fal.ask("POST", "/fal/cdn/files/upload/multipart"),
        fal.ask("POST", "/fal/rest/storage/upload/initiate-multipart?storage_type=fal-cdn-v3", json={}),
    ]

    assert [(answer.status_code, "10MB" in answer.json()["detail"]) for answer in answers] == [(413, True)] * 2


def test_a_forged_or_foreign_ticket_is_refused(service: Service, fal: Fal) -> None:
    address, token = initiated(fal)["upload_url"], fal.ask("POST", "/fal/rest/storage/auth/token", json={}).json()["token"]
    content, _, signature = address.rpartition("/")[2].rpartition(".")
    before = service.footprint()

    forged = [
        put(fal, "PUT", f"/fal/cdn/files/{content}x.{signature}", a_picture()),
        put(fal, "PUT", f"/fal/cdn/files/{content}.{signature[:-4]}AAAA", a_picture()),
        put(fal, "PUT", f"/fal/cdn/files/{token}", a_picture()),
        put(fal, "PUT", "/fal/cdn/files/nonsense", a_picture()),
        put(fal, "POST", "/fal/cdn/files/upload", a_picture(), Authorization=f"Bearer {content}.{signature}"),
        put(fal, "POST", "/fal/cdn/files/upload", a_picture(), Authorization="Bearer ticket.x.y"),
    ]

    assert [answer.status_code for answer in forged] == [401] * 6
    assert service.footprint() == before


def test_a_ticket_ends_with_the_key_it_was_made_with(service: Service, fal: Fal) -> None:
    address = initiated(fal)["upload_url"]
    accounts_of(service).revoke_key(fal.key.id)

    assert put(fal, "PUT", address, a_picture()).status_code == 401


def test_somebody_elses_upload_and_one_that_never_came_are_no_input(service: Service, fal: Fal) -> None:
    foreign, never = uploaded(Fal(service), a_picture()), initiated(fal)["file_url"]
    before = service.footprint()

    answers = [fal.submit({"prompt": a_prompt(), "image_urls": [address]}, EDIT) for address in (foreign, never)]

    for answer in answers:
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "image_urls", 0])
    assert service.footprint() == before


def test_a_key_that_only_reads_uploads_nothing(service: Service) -> None:
    reader = Fal(service, KeyTerms(scopes=(Scope.READ,)))

    answers = [
        reader.ask("POST", "/fal/rest/storage/auth/token", json={}),
        reader.ask("POST", "/fal/rest/storage/upload/initiate", json={"file_name": "a.png", "content_type": "image/png"}),
        put(reader, "POST", "/fal/cdn/files/upload", a_picture(), **reader.headers),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3


def test_an_upload_may_be_for_a_user_that_the_key_acts_for(service: Service) -> None:
    user = f"user-{uuid.uuid4().hex[:12]}"
    wide = Fal(service)
    headers = {**wide.headers, "X-User-Id": user}

    address = put(wide, "POST", "/fal/cdn/files/upload", a_picture(), **headers).json()["access_url"]
    submitted = wide.submit({"prompt": a_prompt(), "image_urls": [address]}, EDIT, **{"X-User-Id": user})

    assert submitted.status_code == 200, submitted.text
    assert service.document(submitted.json()["request_id"])["userId"] == user
