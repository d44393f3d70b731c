"""OpenAI's own SDKs, Python and Node, with nothing changed but the address and the key."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.acceptance.openai_calls import a_key, base_url, job_of, seen, shown
from tests.acceptance.service import Service, a_prompt
from tests.support.factories import picture
from tests.support.node import run_node

SMALL = "256x256"
REFUSED = "a red bicycle [emulator: fail=content_policy]"


@pytest.fixture
def sdk(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url(service), api_key=a_key(service), max_retries=0) as client:
        yield client


def body_of(answer: Any) -> dict[str, Any]:
    """Return an SDK's answer as it came, with what its types do not know."""
    found: dict[str, Any] = answer.to_dict()
    return found


# -- Python ---------------------------------------------------------------------------------------------------------------------------


def test_a_name_that_old_scripts_send_brings_a_picture_in_base64(service: Service, sdk: OpenAI) -> None:
    prompt = a_prompt()

    answer = sdk.images.generate(model="gpt-image-1", prompt=prompt, size=SMALL)

    assert answer.data is not None
    assert [(shown(image.b64_json), image.url) for image in answer.data] == [(("JPEG", (256, 256)), None)]
    assert (answer.size, answer.output_format, answer.usage) == ("256x256", "jpeg", None)
    assert len(service.posts(prompt)) == 1
    job = job_of(service, body_of(answer))
    assert body_of(answer)["gateway"] == {
        "jobId": job["_id"],
        "cost": 0.05,
        "costCurrency": "USD",
        "statusUrl": f"/api/jobs/{job['_id']}",
    }
    assert service.job(job["_id"])["status"] == "completed"


def test_two_pictures_come_as_links_that_open(sdk: OpenAI) -> None:
    answer = sdk.images.generate(model="dall-e-3", prompt=a_prompt(), n=2, size=SMALL, response_format="url")

    assert answer.data is not None
    assert [image.b64_json for image in answer.data] == [None, None]
    links = [image.url or "" for image in answer.data]
    assert len(set(links)) == 2
    assert all(link.endswith(".jpg") for link in links)
    assert [seen(httpx.get(link, trust_env=False).content) for link in links] == [("JPEG", (256, 256))] * 2


def test_a_model_of_ours_answers_both_ways_and_takes_its_own_parameters(service: Service, sdk: OpenAI) -> None:
    prompt = a_prompt()

    answer = sdk.images.generate(model="flux-dev", prompt=prompt, size=SMALL, extra_body={"seed": 7, "guidance_scale": 5})

    assert answer.data is not None
    assert answer.data[0].b64_json
    assert answer.data[0].url
    (post,) = service.posts(prompt)
    assert (post["arguments"]["seed"], post["arguments"]["guidance_scale"]) == (7, 5)


def test_a_format_that_the_model_does_not_make_is_made_on_the_way(sdk: OpenAI) -> None:
    answer = sdk.images.generate(model="gpt-image-1", prompt=a_prompt(), size=SMALL, output_format="webp", output_compression=60)

    assert answer.data is not None
    assert shown(answer.data[0].b64_json) == ("WEBP", (256, 256))
    assert answer.output_format == "webp"


@pytest.mark.parametrize("images", [1, 2])
def test_pictures_are_edited_one_or_several(service: Service, sdk: OpenAI, images: int) -> None:
    files = [("a.png", picture("PNG", color=color), "image/png") for color in ("red", "blue")][:images]
    prompt = a_prompt()

    answer = sdk.images.edit(model="gpt-image-1", image=files if images > 1 else files[0], prompt=prompt)

    assert answer.data is not None
    assert shown(answer.data[0].b64_json)[0] == "PNG"
    (post,) = service.posts(prompt)
    assert len(post["arguments"]["image_urls"]) == images
    assert job_of(service, body_of(answer))["model"] == "nano-banana-edit"


def test_a_file_without_a_name_is_known_by_its_bytes(sdk: OpenAI) -> None:
    answer = sdk.images.edit(image=io.BytesIO(picture("JPEG")), prompt=a_prompt())

    assert answer.data is not None
    assert shown(answer.data[0].b64_json)


def test_a_mask_that_the_model_cannot_take_is_refused_and_nothing_is_bought(service: Service, sdk: OpenAI) -> None:
    before = service.footprint()

    with pytest.raises(openai.BadRequestError) as refused:
        sdk.images.edit(model="gpt-image-1", image=picture(), mask=picture("PNG"), prompt=a_prompt())

    assert refused.value.param == "mask"
    assert service.footprint() == before


def test_models_are_listed_and_shown(sdk: OpenAI) -> None:
    names = [model.id for model in sdk.models.list()]

    assert {"flux-pro", "nano-banana-edit", "gpt-image-1", "dall-e-3"} <= set(names)
    assert (sdk.models.retrieve("flux-pro").id, sdk.models.retrieve("gpt-image-1").object) == ("flux-pro", "model")
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("no-such-model")


def test_a_stream_brings_one_finished_picture_after_the_other(service: Service, sdk: OpenAI) -> None:
    prompt = a_prompt()

    stream = sdk.images.generate(model="gpt-image-1", prompt=prompt, n=2, size=SMALL, stream=True, partial_images=2)
    events = list(stream)

    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert [shown(event.b64_json) for event in events] == [("JPEG", (256, 256))] * 2
    assert len({event.b64_json for event in events}) == 2
    assert len(service.posts(prompt)) == 1


def test_an_edit_streams_under_a_name_of_its_own(sdk: OpenAI) -> None:
    stream = sdk.images.edit(model="gpt-image-1", image=picture(), prompt=a_prompt(), stream=True)

    assert [event.type for event in stream] == ["image_edit.completed"]


def test_a_job_that_fails_amid_a_stream_is_raised(sdk: OpenAI) -> None:
    with pytest.raises(openai.APIError) as raised:
        list(sdk.images.generate(model="gpt-image-1", prompt=REFUSED, stream=True))

    assert raised.value.code == "moderation_blocked"


def test_a_refused_prompt_is_an_error_that_names_moderation_and_is_not_sent_again(service: Service) -> None:
    prompt = f"{a_prompt()} [emulator: fail=content_policy]"

    with OpenAI(base_url=base_url(service), api_key=a_key(service), max_retries=2) as sdk, pytest.raises(openai.BadRequestError) as refused:
        sdk.images.generate(model="gpt-image-1", prompt=prompt)

    assert (refused.value.code, refused.value.type) == ("moderation_blocked", "image_generation_user_error")
    assert refused.value.request_id
    assert len(service.posts(prompt)) == 1


def test_wrong_requests_raise_the_errors_that_scripts_catch_and_buy_nothing(service: Service, sdk: OpenAI) -> None:
    before = service.footprint()

    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.images.generate(model="no-such-model", prompt="a red bicycle")
    with pytest.raises(openai.BadRequestError) as mistyped:
        sdk.images.generate(model="flux-pro", prompt="a red bicycle", extra_body={"qualty": "high"})
    with pytest.raises(openai.BadRequestError) as many:
        sdk.images.generate(model="flux-pro", prompt="a red bicycle", n=11)
    with pytest.raises(openai.AuthenticationError) as stranger:
        sdk.with_options(api_key="sk-wrong").images.generate(prompt="a red bicycle")

    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert "flux-pro" in str(unknown.value)
    assert (mistyped.value.code, mistyped.value.param) == ("unknown_parameter", "qualty")
    assert many.value.param == "n"
    assert stranger.value.code == "invalid_api_key"
    assert service.footprint() == before


def test_an_sdk_that_loses_patience_and_asks_again_buys_one_picture(service: Service) -> None:
    prompt = f"{a_prompt()} [emulator: seconds=3]"

    with OpenAI(base_url=base_url(service), api_key=a_key(service), timeout=2, max_retries=2) as sdk:
        raw = sdk.images.with_raw_response.generate(model="gpt-image-1", prompt=prompt, size=SMALL)

    answer = raw.parse()
    assert raw.retries_taken > 0
    assert answer.data is not None
    assert len(answer.data) == 1
    assert len(service.posts(prompt)) == 1


# -- Node -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each call of tests/node/openai-images.mjs; under `word` what its prompts end with."""
    shared_service.calm()
    file: Path = tmp_path_factory.mktemp("node") / "me.png"
    file.write_bytes(picture())
    word = a_prompt()
    lines = run_node("openai-images.mjs", base_url(shared_service), a_key(shared_service), word, str(file)).splitlines()
    return {"word": word, **dict(json.loads(line) for line in lines)}


def test_node_generates_and_edits_as_its_scripts_do(node: dict[str, Any]) -> None:
    assert shown(node["one"]["data"][0]["b64_json"]) == ("JPEG", (256, 256))
    assert [set(image) for image in node["two links"]["data"]] == [{"url"}] * 2
    assert [set(image) for image in node["base64"]["data"]] == [{"b64_json"}]
    assert len(node["edit one"]["data"]) == 1
    assert len(node["edit two"]["data"]) == 2
    assert (node["edit with a mask"]["error"], node["edit with a mask"]["param"]) == ("BadRequestError", "mask")


def test_node_lists_models_and_reads_streams(node: dict[str, Any]) -> None:
    assert {"flux-pro", "gpt-image-1"} <= set(node["models"])
    assert node["model"]["id"] == "flux-pro"
    assert [(event["type"], shown(event["b64_json"])) for event in node["stream"]] == [
        ("image_generation.completed", ("JPEG", (256, 256)))
    ] * 2
    assert node["stream refused"]["code"] == "moderation_blocked"


def test_node_raises_the_errors_that_scripts_catch(node: dict[str, Any]) -> None:
    told = {name: (node[name]["error"], node[name]["code"]) for name in ("moderation", "unknown model", "unknown parameter", "wrong key")}

    assert told == {
        "moderation": ("BadRequestError", "moderation_blocked"),
        "unknown model": ("NotFoundError", "model_not_found"),
        "unknown parameter": ("BadRequestError", "unknown_parameter"),
        "wrong key": ("AuthenticationError", "invalid_api_key"),
    }


def test_node_that_loses_patience_and_asks_again_buys_one_picture(shared_service: Service, node: dict[str, Any]) -> None:
    prompts = [str((seen["arguments"] or {}).get("prompt")) for seen in shared_service.emulator.requests()]
    prompts = [prompt for prompt in prompts if node["word"] in prompt]

    assert len(node["slow"]["data"]) == 1
    assert sum(prompt.startswith("slow ") for prompt in prompts) == 1
