"""A user's pictures over HTTP."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api.http.bodies import MAX_MULTIPART_BYTES
from app.bootstrap import Services
from app.domain import clock
from app.domain.asset import Purpose
from tests.support.factories import make_upload, picture
from tests.support.images import noise, saved
from tests.support.services import with_parts

CONTENT = picture("PNG", size=(64, 48))


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services.settings, services).test_client()


@pytest.fixture
def token(client: FlaskClient) -> str:
    return registered(client, "one@example.com")


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process puts its temporary files; it must be empty again at the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


def registered(client: FlaskClient, email: str) -> str:
    answer = client.post("/api/auth/register", json={"email": email, "password": "long enough"}).json
    assert answer is not None
    return str(answer["data"]["token"])


def user_of(client: FlaskClient, token: str) -> str:
    return str(body(client.get("/api/auth/me", headers=bearer(token)), 200)["data"]["user"]["id"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


HEAD = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n'
MULTIPART = "multipart/form-data; boundary=b"


def send(client: FlaskClient, token: str, content: bytes = CONTENT, field: str = "file", name: str = "me.png") -> TestResponse:
    data = HEAD % (field.encode(), name.encode()) + content + b"\r\n--b--\r\n"
    return client.post("/api/uploads", headers=bearer(token), data=data, content_type=MULTIPART)


def body(response: TestResponse, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert isinstance(response.json, dict)
    return response.json


@pytest.mark.parametrize("field", ["file", "image"])
def test_an_upload_is_made_shown_listed_and_deleted(client: FlaskClient, token: str, services: Services, field: str) -> None:
    user_id = user_of(client, token)
    made = body(send(client, token, field=field), 201)
    item = made["data"]
    where = f"/api/uploads/{item['id']}"

    shown = body(client.get(where, headers=bearer(token)), 200)
    listed = body(client.get("/api/uploads", headers=bearer(token)), 200)
    with client.get(f"/files/{item['url'].partition('/files/')[2]}") as file:
        content = file.data
    deleted = client.delete(where, headers=bearer(token))

    assert (made["success"], made["message"]) == (True, "Image uploaded")
    assert item == {
        "id": item["id"],
        "purpose": "generation_input",
        "url": item["url"],
        "mimeType": "image/png",
        "width": 64,
        "height": 48,
        "sizeBytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "fileName": "me.png",
        "jobId": None,
        "createdAt": item["createdAt"],
    }
    assert item["url"].startswith(services.storage.url(f"uploads/{user_id}/"))
    assert item["sha256"] not in item["url"], "who knows the picture must not know its address"
    assert shown["data"] == item
    assert listed["data"] == {"uploads": [item], "cursor": {"next": None, "hasMore": False}}
    assert content == CONTENT
    assert (deleted.status_code, deleted.data) == (204, b"")
    assert body(client.get(where, headers=bearer(token)), 404)["code"] == "not_found"


def test_uploads_are_listed_by_purpose_and_page_by_page(client: FlaskClient, token: str, services: Services) -> None:
    ids = [body(send(client, token, picture(size=(64, 48 + n))), 201)["data"]["id"] for n in range(3)]
    user_id = user_of(client, token)
    output = make_upload(user_id=user_id, purpose=Purpose.OUTPUT, key="generated-images/x.png", job_id=clock.new_id())
    services.uploads._store.insert(output)

    first = client.get("/api/uploads?purpose=generation_input&limit=2", headers=bearer(token))
    second = client.get(str(first.headers["Link"]).partition(">")[0][1:], headers=bearer(token))
    outputs = client.get("/api/uploads?purpose=generation_output", headers=bearer(token))

    assert [item["id"] for item in body(first, 200)["data"]["uploads"]] == [ids[2], ids[1]]
    assert [item["id"] for item in body(second, 200)["data"]["uploads"]] == [ids[0]]
    assert [(item["id"], item["jobId"]) for item in body(outputs, 200)["data"]["uploads"]] == [(output.id, output.job_id)]
    assert body(client.get("/api/uploads?purpose=other", headers=bearer(token)), 400)["errors"][0]["pointer"] == "/purpose"
    assert body(client.get("/api/uploads?cursor=x", headers=bearer(token)), 400)["errors"][0]["pointer"] == "/cursor"


def test_somebody_elses_upload_looks_like_none(client: FlaskClient, token: str) -> None:
    where = f"/api/uploads/{body(send(client, token), 201)['data']['id']}"
    nowhere = f"/api/uploads/{clock.new_id()}"
    other = bearer(registered(client, "two@example.com"))

    answers = [body(call(url, headers=other), 404) for call in (client.get, client.delete) for url in (where, nowhere)]

    for answer in answers:
        answer.pop("requestId")
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert body(client.get(where, headers=bearer(token)), 200)


def test_every_route_needs_a_user(client: FlaskClient) -> None:
    calls = [client.post("/api/uploads"), client.get("/api/uploads"), client.get("/api/uploads/x"), client.delete("/api/uploads/x")]

    assert [call.status_code for call in calls] == [401] * 4
    assert {call.headers["WWW-Authenticate"] for call in calls} == {"Bearer"}


@pytest.mark.parametrize(
    ("data", "pointers"),
    [
        ({}, ["/file"]),
        ({"other": (io.BytesIO(CONTENT), "x.png")}, ["/file"]),
        ({"file": (io.BytesIO(b""), "")}, ["/file"]),
        ({"file": "text"}, ["/file"]),
        ({"file": (io.BytesIO(CONTENT), "a.png"), "image": (io.BytesIO(CONTENT), "b.png")}, ["/file", "/image"]),
        ({"image": [(io.BytesIO(CONTENT), "a.png"), (io.BytesIO(CONTENT), "b.png")]}, ["/image"]),
    ],
    ids=["nothing", "another field", "an empty field", "text", "both", "two"],
)
def test_anything_but_one_file_is_refused_by_name(client: FlaskClient, token: str, data: dict[str, Any], pointers: list[str]) -> None:
    response = client.post("/api/uploads", headers=bearer(token), data=data, content_type="multipart/form-data")

    assert [error["pointer"] for error in body(response, 400)["errors"]] == pointers


def test_an_empty_second_field_is_no_second_file(client: FlaskClient, token: str) -> None:
    data = {"file": (io.BytesIO(CONTENT), "a.png"), "image": (io.BytesIO(b""), "")}

    assert body(client.post("/api/uploads", headers=bearer(token), data=data), 201)


def test_another_kind_of_body_is_not_supported(client: FlaskClient, token: str) -> None:
    assert body(client.post("/api/uploads", headers=bearer(token), json={"file": "x"}), 415)["code"] == "unsupported_media_type"
    assert body(client.post("/api/uploads", headers=bearer(token)), 400)["code"] == "invalid_request"


def test_a_refused_picture_says_why(client: FlaskClient, token: str) -> None:
    small = body(send(client, token, picture(size=(31, 31))), 400)
    page = body(send(client, token, b"<svg/>", name="x.png"), 400)

    assert (small["code"], "31x31" in small["message"]) == ("invalid_image", True)
    assert (page["code"], page["success"]) == ("invalid_image", False)


@pytest.mark.parametrize(("outcome", "status"), [("kept", 201), ("refused", 400), ("too large", 413), ("storage fails", 503)])
def test_nothing_stays_in_a_temporary_folder(
    client: FlaskClient, token: str, spool: Path, services: Services, outcome: str, status: int
) -> None:
    content = saved(noise(800, 800), "PNG")
    assert len(content) > 1_000_000
    root = services.storage.root  # type: ignore[attr-defined]
    if outcome == "storage fails":
        (root / "uploads" / user_of(client, token)).parent.mkdir(exist_ok=True)
        (root / "uploads" / user_of(client, token)).write_text("a file where a folder should be")

    response = send(client, token, {"refused": content[:-1], "too large": content * 6}.get(outcome, content))

    assert body(response, status)["success"] == (status == 201)
    assert list((root / ".parts").glob("*")) == []
    assert list(spool.iterdir()) == []
    assert open_files(spool) == []


def open_files(folder: Path) -> list[str]:
    """Return this process' open files of a folder, nameless ones too."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").glob("*") if link.is_symlink()]
    return [link for link in links if link.startswith(str(folder))]


class Unread(io.RawIOBase):
    """A body that counts what is read of it, and never ends."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        chunk = (self.head + b"\0" * len(into))[: len(into)]
        self.head = self.head[len(into) :]
        into[: len(chunk)] = chunk
        self.taken += len(chunk)
        return len(chunk)


def test_a_body_that_announces_too_much_is_refused_unread(client: FlaskClient, token: str) -> None:
    stream = Unread(HEAD % (b"file", b"a.png"))

    response = client.post(
        "/api/uploads",
        headers=bearer(token),
        content_type=MULTIPART,
        environ_overrides={"wsgi.input": stream, "CONTENT_LENGTH": str(MAX_MULTIPART_BYTES + 1)},
    )

    assert body(response, 413)["code"] == "payload_too_large"
    assert stream.taken == 0


@pytest.mark.parametrize("server", ["wsgi.input_terminated", "eventlet.input"])
def test_a_body_without_an_end_is_refused_when_it_is_too_much(client: FlaskClient, token: str, spool: Path, server: str) -> None:
    stream = Unread(HEAD % (b"file", b"a.png"))

    response = client.post(
        "/api/uploads",
        headers=bearer(token) | {"Transfer-Encoding": "chunked"},
        content_type=MULTIPART,
        environ_overrides={"wsgi.input": stream, server: True},
    )

    assert body(response, 413)["code"] == "payload_too_large"
    assert stream.taken <= MAX_MULTIPART_BYTES + 1024 * 1024
    assert spool.is_dir()


def test_uploads_beyond_the_quota_are_413_as_data_in_an_order_too(services: Services) -> None:
    content, tiny = saved(noise(200, 200), "PNG"), dataclasses.replace(services.settings, upload_quota_mb=0.01)
    uploads = copy.copy(services.uploads)
    uploads._quota_bytes = 10_000
    references = copy.copy(services.orders._references)
    references._uploads = uploads
    generation = copy.copy(services.orders)
    generation._references = references
    limited = with_parts(services, settings=tiny, uploads=uploads, orders=generation)
    client = create_app(tiny, limited).test_client()
    token = registered(client, "one@example.com")
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    order = {"model": "flux-dev-image-to-image", "inputs": {"prompt": "a bicycle", "image_url": uri}, "async": True}

    sent = send(client, token, content)
    ordered = client.post("/api/images/generate", json=order, headers=bearer(token))

    assert [(answer.status_code, (answer.json or {})["code"]) for answer in (sent, ordered)] == [(413, "quota_exceeded")] * 2
    assert services.database["uploads"].count_documents({}) == services.database["jobs"].count_documents({}) == 0
