"""`POST /api/images/generate` as a client meets it: bodies, headers, waiting, pictures, and what reaches fal."""

import base64
import hashlib
import io
import re
import socket
import time
from datetime import datetime
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.acceptance.service import Answer, Service, a_prompt, order, wait_until

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PHOTO = "https://example.com/photo.png"


def fetched(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def sent_to_fal(service: Service, prompt: str) -> Answer:
    """Return the one submit of this prompt."""
    (post,) = service.posts(prompt)
    return post


def test_the_answer_holds_every_field_of_the_contract(service: Service) -> None:
    answer = service.generate(order(a_prompt(), image_size={"width": 640, "height": 400}))

    body = answer.json()
    (image,) = body["images"]
    assert answer.status_code == 201
    assert {key: body[key] for key in ("success", "status", "model", "cost", "message")} == {
        "success": True,
        "status": "completed",
        "model": "flux-pro",
        "cost": 0.05,
        "message": "Generated 1 image",
    }
    assert set(body) == {"success", "jobId", "status", "model", "images", "cost", "message"}
    assert set(image) == {
        "url",
        "thumbnailUrl",
        "downloadUrl",
        "width",
        "height",
        "contentType",
        "sizeBytes",
        "sha256",
        "imageId",
        "provenance",
    }
    assert UUID7.fullmatch(body["jobId"])
    assert UUID7.fullmatch(image["imageId"])
    assert (image["width"], image["height"], image["contentType"]) == (640, 400, "image/jpeg")
    assert (answer.headers["location"], answer.headers["vary"]) == (f"/api/jobs/{body['jobId']}", "Prefer")
    assert "preference-applied" not in answer.headers
    assert answer.headers["x-request-id"]


def test_the_job_tells_the_same_and_more(service: Service) -> None:
    body = {**order(prompt := a_prompt()), "projectId": "spring", "metadata": {"variant": "b", "round": 2}}

    generated = service.generate(body).json()

    job = service.job(generated["jobId"])
    times = [datetime.fromisoformat(job[name]) for name in ("createdAt", "completedAt", "updatedAt")]
    expected = {
        "jobId": generated["jobId"],
        "userId": "user123",
        "type": "image-generation",
        "model": "flux-pro",
        "status": "completed",
        "progress": 100,
        "images": generated["images"],
        "cost": 0.05,
        "error": None,
        "projectId": "spring",
        "metadata": {"variant": "b", "round": 2},
    }
    assert {key: job[key] for key in expected} == expected
    assert job["config"] == {
        "model": "flux-pro",
        "inputs": {"prompt": prompt},
        "options": {"num_images": 1, "image_size": "square"},
        "estimatedCost": 0.05,
    }
    assert job["costDetail"] == {"estimated": 0.04, "actual": 0.04, "source": "units"}
    assert times == sorted(times)
    assert all(job[name].endswith("Z") for name in ("createdAt", "updatedAt", "completedAt"))
    assert 0 < job["processingTimeMs"] < 20_000


def test_the_link_serves_the_very_picture_that_was_promised(service: Service) -> None:
    (image,) = service.generate(order(a_prompt(), image_size={"width": 640, "height": 400}, output_format="png")).json()["images"]

    served = fetched(image["url"])

    picture = Image.open(io.BytesIO(served.content))
    assert (picture.size, picture.format) == ((640, 400), "PNG")
    assert len(set(picture.resize((16, 16)).get_flattened_data())) > 10
    assert hashlib.sha256(served.content).hexdigest() == image["sha256"]
    assert (len(served.content), served.headers["content-type"]) == (image["sizeBytes"], "image/png")
    assert served.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in served.headers["cache-control"]


def test_a_part_of_a_picture_can_be_had(service: Service) -> None:
    (image,) = service.generate(order(a_prompt())).json()["images"]
    whole = fetched(image["url"]).content

    part = fetched(image["url"], Range="bytes=10-19")
    beyond = fetched(image["url"], Range="bytes=99999999-")

    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async", "respond-async"),
        ("respond-async, wait=0", "wait=0"),
        ("wait=0", "wait=0"),
        ("Respond-Async; x=1", "respond-async"),
    ],
)
def test_who_prefers_not_to_wait_gets_202_with_where_to_look(service: Service, prefer: str, applied: str) -> None:
    answer = service.generate(order(a_prompt()), prefer=prefer)

    body = answer.json()
    assert answer.status_code == 202
    assert set(body) == {"success", "jobId", "status", "statusUrl", "message", "images"}
    assert (body["success"], body["images"], body["statusUrl"]) == (True, [], f"/api/jobs/{body['jobId']}")
    assert body["status"] in {"pending", "processing"}
    assert (answer.headers["location"], answer.headers["preference-applied"]) == (body["statusUrl"], applied)
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["vary"] == "Prefer"
    assert service.ended(body["jobId"])["status"] == "completed"


def test_the_body_can_ask_not_to_wait_too(service: Service) -> None:
    answer = service.generate({**order(a_prompt()), "async": True})

    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers
    assert service.ended(answer.json()["jobId"])["status"] == "completed"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [("wait=10", "wait=10"), ("respond-async, wait=10", "wait=10"), ("wait=999999", "wait=120"), ("wait", "wait")],
)
def test_a_wait_long_enough_gets_the_pictures(service: Service, prefer: str, applied: str) -> None:
    answer = service.generate(order(a_prompt()), prefer=prefer)

    assert (answer.status_code, answer.headers["preference-applied"]) == (201, applied)


@pytest.mark.parametrize("prefer", ["return=minimal", "wait=soon", "wait=-5", "wait=²", "", "handling=strict, nonsense;;=,", ",,"])
def test_preferences_nobody_knows_change_nothing(service: Service, prefer: str) -> None:
    headers = {b"Prefer": prefer.encode()}

    answer = service.client.post("/api/images/generate", json=order(a_prompt()), headers=headers)

    assert answer.status_code == 201
    assert "preference-applied" not in answer.headers


def test_a_wait_that_ends_first_is_answered_202_and_the_work_goes_on(service: Service) -> None:
    service.emulator.settings(seconds=6.0)
    started = time.monotonic()

    answer = service.generate(order(a_prompt()), prefer="wait=1")

    waited_s = time.monotonic() - started
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
    assert 0.9 < waited_s < 6
    assert service.ended(answer.json()["jobId"])["status"] == "completed"


def test_a_client_that_hangs_up_does_not_end_the_work(service: Service) -> None:
    prompt, user = a_prompt(), a_prompt()
    service.emulator.settings(seconds=1.0)
    request = service.client.build_request("POST", "/api/images/generate", json={**order(prompt), "userId": user})
    head = f"POST {request.url.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((request.url.host, request.url.port or 80)) as wire:
        wire.sendall(head.encode() + b"\r\n" + request.read())
        wait_until(lambda: service.posts(prompt), 30, "the submit")

    jobs = wait_until(
        lambda: service.client.get("/api/jobs", params={"userId": user, "status": "completed"}).json()["jobs"], 10, "the job's completion"
    )

    assert len(jobs) == 1
    assert fetched(jobs[0]["images"][0]["url"]).status_code == 200


def test_ten_images_are_three_calls_of_four_four_and_two(service: Service) -> None:
    answer = service.generate(order(prompt := a_prompt(), num_images=10))

    body = answer.json()
    assert [post["arguments"]["num_images"] for post in service.posts(prompt)] == [4, 4, 2]
    assert (len(body["images"]), body["cost"], body["message"]) == (10, 0.5, "Generated 10 images")
    assert len({image["url"] for image in body["images"]}) == len({image["imageId"] for image in body["images"]}) == 10
    assert all(fetched(image["url"]).status_code == 200 for image in body["images"])


def test_flux_dev_with_loras_is_sent_to_the_endpoint_that_knows_them(service: Service) -> None:
    loras = [{"path": "https://example.com/model.safetensors", "scale": 0.8}]
    plain, with_lora = a_prompt(), a_prompt()

    answers = [
        service.generate({"model": "flux-dev", "inputs": {"prompt": plain}, "userId": "user123"}),
        service.generate({"model": "flux-dev", "inputs": {"prompt": with_lora, "loras": loras}, "userId": "user123"}),
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert sent_to_fal(service, plain)["endpoint"] == "fal-ai/flux/dev"
    assert sent_to_fal(service, with_lora)["endpoint"] == "fal-ai/flux-lora"
    assert sent_to_fal(service, with_lora)["arguments"]["loras"] == loras
    assert [answer.json()["model"] for answer in answers] == ["flux-dev", "flux-dev"]


@pytest.mark.parametrize(
    ("model", "options", "sent"),
    [
        ("flux-pro", {"width": 640, "height": 384}, {"image_size": {"width": 640, "height": 384}}),
        ("flux-dev", {"width": 640, "height": 384}, {"image_size": {"width": 640, "height": 384}}),
        ("flux-lora", {"width": 640, "height": 384}, {"image_size": {"width": 640, "height": 384}}),
        ("flux-pro", {"aspect_ratio": "16:9"}, {"image_size": "landscape_16_9"}),
        ("flux-dev", {"aspect_ratio": "3:4"}, {"image_size": "portrait_4_3"}),
        ("nano-banana-edit", {"aspect_ratio": "9:16", "resolution": "1K"}, {"aspect_ratio": "9:16", "resolution": "1K"}),
        ("nano-banana-edit", {"width": 1600, "height": 900}, {"aspect_ratio": "16:9"}),
    ],
)
def test_a_shape_reaches_each_model_in_its_own_words(service: Service, model: str, options: Answer, sent: Answer) -> None:
    inputs = {"prompt": (prompt := a_prompt()), **({"image_urls": [PHOTO]} if model == "nano-banana-edit" else {})}

    answer = service.generate({"model": model, "inputs": inputs, "options": options, "userId": "user123"})

    arguments = sent_to_fal(service, prompt)["arguments"]
    assert answer.status_code == 201
    assert {name: arguments.get(name) for name in ("image_size", "aspect_ratio", "resolution") if name in arguments} == sent
    assert "width" not in arguments


def test_face_swap_takes_image_url_as_another_name_of_its_base_image(service: Service) -> None:
    marked = f"{PHOTO}?{a_prompt()}".replace(" ", "-")

    answer = service.generate({"model": "face-swap", "inputs": {"image_url": marked, "swap_image_url": PHOTO}, "userId": "user123"})

    posts = [seen["arguments"] for seen in service.emulator.requests() if seen["arguments"].get("base_image_url") == marked]
    assert (answer.status_code, len(answer.json()["images"])) == (201, 1)
    assert posts == [{"base_image_url": marked, "swap_image_url": PHOTO}]


def test_a_seed_beyond_signed_64_bits_goes_there_and_back(service: Service) -> None:
    seed = 2**64 - 1
    prompt = a_prompt()
    body = order(prompt)
    body["inputs"]["seed"] = seed

    answer = service.generate(body)

    job = service.job(answer.json()["jobId"])
    assert answer.status_code == 201
    assert sent_to_fal(service, prompt)["arguments"]["seed"] == seed
    assert str(job["config"]["inputs"]["seed"]) == str(seed)


def test_a_picture_in_the_body_is_kept_as_an_upload_and_reaches_fal_as_bytes(service: Service) -> None:
    raw = io.BytesIO()
    Image.effect_noise((48, 32), 60).save(raw, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(raw.getvalue()).decode()
    inputs: dict[str, Any] = {"prompt": (prompt := a_prompt()), "image_url": uri}

    answer = service.generate({"model": "flux-dev-image-to-image", "inputs": inputs, "userId": "user123"})

    body = answer.json()
    kept = service.job(body["jobId"])["config"]["inputs"]["image_url"]
    assert answer.status_code == 201, answer.text
    assert re.fullmatch(f"upload:{UUID7.pattern}", kept)
    assert sent_to_fal(service, prompt)["arguments"]["image_url"] == uri
    assert (body["images"][0]["width"], body["images"][0]["height"]) == (48, 32)


def test_a_cancel_of_what_fal_works_on_is_asked_for_and_told_until_fal_has_decided(service: Service) -> None:
    prompt = f"{a_prompt()} [emulator: seconds=60, cancel=stop]"
    job_id = service.generate({**order(prompt), "async": True}).json()["jobId"]
    wait_until(lambda: any(post["state"] == "IN_PROGRESS" for post in service.posts(prompt)), 30, "fal to begin")

    asked = service.client.post(f"/api/jobs/{job_id}/cancel")
    wait_until(lambda: service.job(job_id)["status"] == "canceled", 30, "the cancel")
    over = service.client.post(f"/api/jobs/{job_id}/cancel")

    assert (asked.status_code, asked.json()["cancelRequested"], asked.json()["message"][:9]) == (202, True, "Canceling")
    assert (service.job(job_id)["cost"], service.job(job_id)["cancelRequested"]) == (0, True)
    assert (over.status_code, over.json()["code"]) == (409, "already_finished")
    assert '"cancelRequested":true' in service.client.get(f"/api/jobs/{job_id}/events").text.replace(" ", "")
