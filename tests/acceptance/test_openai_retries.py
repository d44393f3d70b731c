"""An SDK's own retry buys once: whatever breaks between its tries, fal is asked for one picture.

A service of its own: it waits shortly, so that every slow picture is one that takes several tries, and has a model with a mask.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from app.domain.api_key import KeyTerms
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Service, a_prompt, running_service, wait_until
from tests.support.factories import picture
from tests.support.images import opened, saved

GENERATIONS = "/v1/images/generations"
INPAINTING = """
falEndpoint = "fal-ai/paint-over"
category = "image-to-image"
description = "Paint over a part"
requiredInputs = ["prompt", "image_url", "mask_url"]
defaultOptions = { num_images = 1 }

[[prices]]
id = "paint-over-2026"
from = 2025-01-01
unit = "image"
amount = 0.03
"""
RULES = """
[default]
generate = "flux-dev"
edit = "paint-over"
[images]
inputs = ["image_url"]
[masks]
inputs = ["mask_url"]
style = "white"
"""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("models")
    (folder / "paint-over.toml").write_text(INPAINTING)
    (folder / "openai.toml").write_text(RULES)
    settings = {"SYNC_WAIT_SECONDS": "1", "REGISTRY_PATH": str(folder), "OPENAI_UNKNOWN": "ignore"}
    with running_service(**settings) as service:
        yield service


@pytest.fixture
def service(impatient: Service) -> Service:
    impatient.calm()
    return impatient


@pytest.fixture
def key(service: Service) -> str:
    return accounts_of(service).make_key("an SDK", KeyTerms())[1]


def sdk(service: Service, key: str, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.stack.base_url}/v1", api_key=key, **more)


def tried(service: Service, key: str, prompt: str, number: int, **more: Any) -> httpx.Response:
    """Send one try of a request as an SDK does."""
    headers = {"Authorization": f"Bearer {key}", "x-stainless-retry-count": str(number)}
    return service.client.post(GENERATIONS, json={"prompt": prompt}, headers=headers, **more)


def job_of(answer: httpx.Response) -> str:
    return answer.headers["X-Job-Id"]


def test_the_sdks_own_retries_wait_for_one_picture_as_long_as_it_takes(service: Service, key: str) -> None:
    prompt = a_prompt()
    service.emulator.settings(seconds=3.0)

    made = sdk(service, key, max_retries=8).images.generate(prompt=prompt)

    assert made.data is not None
    assert made.data[0].b64_json
    assert len(service.posts(prompt)) == 1


def test_a_wait_that_is_over_is_told_with_where_the_images_will_be(service: Service, key: str) -> None:
    service.emulator.settings(seconds=3.0)

    answer = tried(service, key, a_prompt(), 0)

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "job_still_running")
    assert (answer.headers["x-should-retry"], answer.headers["retry-after-ms"]) == ("true", "500")
    assert answer.headers["Location"] == f"{GENERATIONS}/{job_of(answer)}"


def test_a_client_that_gives_up_and_asks_again_is_answered_with_the_same_picture(service: Service, key: str) -> None:
    prompt = a_prompt()
    service.emulator.settings(seconds=2.5)

    made = sdk(service, key, max_retries=10, timeout=1.0).images.generate(prompt=prompt)

    assert made.data is not None
    assert len(service.posts(prompt)) == 1


def test_a_web_process_killed_while_the_sdk_waits_costs_no_second_picture(service: Service, key: str) -> None:
    prompt = a_prompt()
    service.emulator.settings(seconds=4.0)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sdk(service, key, max_retries=15).images.generate, prompt=prompt)
        wait_until(lambda: service.posts(prompt), 30, "the first try")
        service.stack.kill("web")
        service.stack.start("web")
        made = waiting.result(90)

    assert made.data is not None
    assert made.data[0].b64_json
    assert len(service.posts(prompt)) == 1


def test_an_answer_that_was_lost_is_sent_again(service: Service, key: str) -> None:
    prompt = a_prompt()

    first, again = tried(service, key, prompt, 0), tried(service, key, prompt, 1)

    assert (first.status_code, again.status_code) == (200, 200)
    assert (job_of(again), again.json()["data"]) == (job_of(first), first.json()["data"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(service.posts(prompt)) == 1


def test_two_equal_calls_are_two_jobs_and_their_retries_never_share_one(service: Service, key: str) -> None:
    prompt = a_prompt()
    service.emulator.settings(seconds=4.0)

    with ThreadPoolExecutor(2) as pool:
        calls = [
            [job_of(answer) for answer in pool.map(lambda _, n=number: tried(service, key, prompt, n), range(2))] for number in (0, 1, 2)
        ]

    assert [len(set(jobs)) for jobs in calls] == [2, 2, 2]
    assert len({job for jobs in calls for job in jobs}) == 2
    assert len(service.posts(prompt)) == 2


def test_a_retry_of_another_request_or_of_another_caller_is_no_retry_of_this_one(service: Service, key: str) -> None:
    prompt, other_key = a_prompt(), accounts_of(service).make_key("another", KeyTerms())[1]
    first = tried(service, key, prompt, 0)

    other = tried(service, other_key, prompt, 1)
    without_count = service.client.post(GENERATIONS, json={"prompt": prompt}, headers={"Authorization": f"Bearer {key}"})

    assert len({job_of(answer) for answer in (first, other, without_count)}) == 3


def test_a_retried_edit_is_the_same_although_its_form_is_written_anew(service: Service, key: str) -> None:
    prompt = a_prompt()
    service.emulator.settings(seconds=2.5)
    mask = Image.new("RGBA", opened(picture()).size, (0, 0, 0, 255))
    mask.putpixel((3, 2), (0, 0, 0, 0))

    made = sdk(service, key, max_retries=8).images.edit(image=picture(), mask=saved(mask, "PNG"), prompt=prompt)

    (post,) = service.posts(prompt)
    painted = opened(shown(service, post["arguments"]["mask_url"]))
    assert made.data is not None
    assert (painted.mode, painted.getpixel((3, 2)), painted.getpixel((0, 0))) == ("L", 255, 0)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (saved(Image.new("L", (64, 64)), "PNG"), "no transparency"),
        (saved(Image.new("RGB", (64, 64)), "JPEG"), "not a complete"),
        (saved(Image.new("RGBA", (5, 5)), "PNG"), "as large as the first image"),
    ],
    ids=["without transparency", "no PNG", "another size"],
)
def test_a_wrong_mask_is_refused_with_a_word_and_nothing_is_kept(service: Service, key: str, mask: bytes, says: str) -> None:
    before = service.footprint()

    with pytest.raises(openai.BadRequestError) as refused:
        sdk(service, key).images.edit(image=picture(color="green"), mask=mask, prompt="make it night")

    assert (refused.value.param, refused.value.code) == ("mask", "invalid_image")
    assert says in refused.value.message
    assert service.footprint() == before


def test_the_operators_own_rules_stand_in_the_place_of_the_built_in_ones(service: Service, key: str) -> None:
    unknown = service.client.post(GENERATIONS, json={"prompt": "x", "model": "gpt-image-1"}, headers={"api-key": key})
    ignored = service.client.post(GENERATIONS, json={"prompt": a_prompt(), "seeed": 1, "async": True}, headers={"api-key": key})

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert (ignored.status_code, ignored.json()["model"]) == (202, "flux-dev")


def shown(service: Service, reference: str) -> bytes:
    """Return the bytes of what fal was given in place of a picture."""
    return base64.b64decode(reference.partition(",")[2]) if reference.startswith("data:") else httpx.get(reference, timeout=10).content
