"""What is asked in OpenAI's words: by its own SDK where that can say it, by hand where it is wrong."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from app.domain.api_key import KeyTerms, OrderLimits, Scope
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Answer, Service, a_prompt, wait_until
from tests.support.factories import picture
from tests.support.images import saved

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
HOLE = saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "PNG")
WORD = picture()
DATA = "data:image/png;base64," + base64.b64encode(WORD).decode()


@pytest.fixture
def key(service: Service) -> str:
    return accounts_of(service).make_key("an SDK", KeyTerms())[1]


@pytest.fixture
def sdk(service: Service, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.stack.base_url}/v1", api_key=key, max_retries=0)


def refused(answer: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Check that an answer has OpenAI's shape; return its message."""
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), answer.text
    assert answer.headers["x-request-id"]
    return str(error["message"])


def test_the_sdk_generates_by_an_old_name_with_what_old_scripts_say(service: Service, sdk: openai.OpenAI) -> None:
    prompt = a_prompt()

    made = sdk.images.generate(model="dall-e-3", prompt=prompt, n=2, size="1024x768", quality="standard", style="vivid", user="ann")

    (post,) = service.posts(prompt)
    assert made.data is not None
    assert [(one.url is not None, one.b64_json is not None) for one in made.data] == [(True, True)] * 2
    assert made.size == "1024x768"
    assert made._request_id
    assert (post["endpoint"], post["arguments"]["image_size"]) == ("fal-ai/flux-pro/v1.1", {"width": 1024, "height": 768})
    assert service.document(made.gateway["jobId"])["userId"] == "ann"  # type: ignore[attr-defined]


def test_what_the_sdk_passes_on_reaches_the_model_and_null_is_nothing(service: Service, sdk: openai.OpenAI) -> None:
    prompt = a_prompt()
    extra = {"seed": 7, "guidance_scale": 3, "projectId": "p-1", "metadata": {"campaign": "spring"}}

    made = sdk.images.generate(model="flux-dev", prompt=prompt, n=None, size=None, background=None, extra_body=extra)

    (post,) = service.posts(prompt)
    document = service.document(made.gateway["jobId"])  # type: ignore[attr-defined]
    assert (post["arguments"]["seed"], post["arguments"]["guidance_scale"]) == (7, 3)
    assert (document["projectId"], document["metadata"]) == ("p-1", {"campaign": "spring"})


def test_the_sdk_edits_one_image_or_several(service: Service, sdk: openai.OpenAI) -> None:
    one, many = a_prompt(), a_prompt()

    sdk.images.edit(model="gpt-image-1", image=WORD, prompt=one, size="1536x1024", quality="high", n=1)
    sdk.images.edit(image=[("a.png", WORD), ("b.png", picture(color="blue"))], prompt=many, extra_body={"moderation": "low"})

    (first,), (second,) = service.posts(one), service.posts(many)
    assert len(first["arguments"]["image_urls"]) == 1
    assert (first["arguments"]["aspect_ratio"], first["arguments"]["resolution"]) == ("3:2", "2K")
    assert len(second["arguments"]["image_urls"]) == 2
    assert second["arguments"]["safety_tolerance"] == "6"


def test_a_forms_text_means_what_the_model_takes(service: Service, key: str) -> None:
    prompt = a_prompt()
    fields = {"model": "nano-banana-edit", "prompt": prompt, "n": "2", "seed": "7", "enable_web_search": "True", "response_format": "url"}
    files = [("image[1]", ("b", picture(color="blue"), "application/octet-stream")), ("image[0]", ("a", WORD, "text/plain"))]

    answer = service.client.post(EDITS, data={**fields, "user": ""}, files=files, headers={"api-key": key})

    (post,) = service.posts(prompt)
    assert answer.status_code == 200, answer.text
    assert [set(one) for one in answer.json()["data"]] == [{"url"}] * 2
    assert (post["arguments"]["seed"], post["arguments"]["enable_web_search"], post["arguments"]["num_images"]) == (7, True, 2)
    assert answer.headers["X-Job-Id"] == answer.json()["gateway"]["jobId"]


@pytest.mark.parametrize(
    "pictures",
    [
        {"image": "https://example.com/a.png"},
        {"image": DATA},
        {"images": [DATA, "https://example.com/a.png"]},
        {"images": [{"image_url": DATA}]},
    ],
    ids=["url", "data", "list", "objects"],
)
def test_an_edit_may_be_json(service: Service, pictures: Answer) -> None:
    prompt = a_prompt()

    answer = service.client.post(EDITS, json={"prompt": prompt, **pictures})

    (post,) = service.posts(prompt)
    wanted = pictures.get("images", [None])
    assert answer.status_code == 200, answer.text
    assert len(post["arguments"]["image_urls"]) == len(wanted)


def test_a_face_is_swapped_with_two_images(service: Service, sdk: openai.OpenAI) -> None:
    made = sdk.images.edit(model="face-swap", image=[WORD, picture(color="blue")], prompt="not asked by the model")

    assert made.data is not None
    assert len(made.data) == 1
    with pytest.raises(openai.BadRequestError) as lacking:
        sdk.images.edit(model="face-swap", image=WORD, prompt="x")
    assert (lacking.value.code, lacking.value.param) == ("missing_required_parameter", "image")


def test_the_models_are_listed_with_the_names_that_stand_for_one(sdk: openai.OpenAI) -> None:
    listed = {model.id: model for model in sdk.models.list()}

    assert {"flux-pro", "gpt-image-1", "dall-e-3"} <= set(listed)
    assert (listed["flux-pro"].object, listed["flux-pro"].owned_by) == ("model", "fal-ai")
    assert listed["flux-pro"].created > 1_700_000_000
    assert sdk.models.retrieve("gpt-image-1") == listed["gpt-image-1"]
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.models.retrieve("fal-ai/flux-pro")
    assert unknown.value.code == "model_not_found"
    assert "'fal-ai/flux-pro'" in unknown.value.message


@pytest.mark.parametrize("prefix", ["/openai/v1", "/openai/deployments/dall-e-3"])
def test_azures_clients_find_it_too(service: Service, key: str, prefix: str) -> None:
    prompt = a_prompt()

    answer = service.client.post(f"{prefix}/images/generations?api-version=2025-04-01", json={"prompt": prompt}, headers={"api-key": key})

    assert answer.status_code == 200, answer.text
    assert [post["endpoint"] for post in service.posts(prompt)] == ["fal-ai/flux-pro/v1.1"]


@pytest.mark.parametrize("asks", [{"json": {"async": True}}, {"headers": {"Prefer": "respond-async"}}], ids=["field", "header"])
def test_only_who_asks_for_it_is_answered_202_and_finds_the_images_later(service: Service, key: str, asks: Answer) -> None:
    service.emulator.settings(seconds=1.0)
    body, headers = {"prompt": a_prompt(), **asks.get("json", {})}, {"X-API-Key": key, **asks.get("headers", {})}

    accepted = service.client.post(GENERATIONS, json=body, headers=headers)
    early = service.client.get(accepted.headers["Location"], headers={"X-API-Key": key})
    service.ended(accepted.json()["jobId"])
    done = service.client.get(accepted.headers["Location"], headers={"X-API-Key": key})

    assert (accepted.status_code, early.status_code, done.status_code) == (202, 202, 200)
    assert done.json()["data"][0]["url"]
    assert done.json()["gateway"]["jobId"] == accepted.headers["X-Job-Id"]


def test_a_job_of_somebody_else_is_not_there(service: Service) -> None:
    narrow = accounts_of(service).make_key("narrow", KeyTerms(users=("ben",)))[1]
    job_id = service.submit(a_prompt())

    answer = service.client.get(f"{GENERATIONS}/{job_id}", headers={"X-API-Key": narrow})

    refused(answer, 404, "not_found")


def test_whom_a_job_is_for_is_what_the_request_names_and_the_key_allows(service: Service, key: str) -> None:
    narrow = accounts_of(service).make_key("narrow", KeyTerms(users=("ben",)))[1]

    def ordered_for(headers: dict[str, str], **body: str) -> str:
        answer = service.client.post(GENERATIONS, json={"prompt": a_prompt(), "async": True, **body}, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["userId"])

    own = ordered_for({"Authorization": f"Bearer {key}"})
    person = Person(service)

    assert own.startswith("key:")
    assert ordered_for({}) == "anonymous"
    assert ordered_for({"X-API-Key": key}, safety_identifier="ann") == "ann"
    assert ordered_for({"X-API-Key": key, "X-OpenWebUI-User-Id": "carl"}) == "carl"
    assert ordered_for({"X-API-Key": narrow}) == "ben"
    assert ordered_for(person.headers, user="whoever") == person.id
    refused(service.client.post(GENERATIONS, json={"prompt": "x", "user": "ann"}, headers={"X-API-Key": narrow}), 403, "forbidden")
    for no_name in ("u" * 257, "a\x85b"):
        headers = {b"X-API-Key": key.encode(), b"X-OpenWebUI-User-Id": no_name.encode("latin-1")}
        nobody = service.client.post(GENERATIONS, json={"prompt": "a red bicycle"}, headers=headers)
        refused(nobody, 400, "invalid_value", "X-OpenWebUI-User-Id")


WRONG: list[tuple[Answer, int, str, str | None, str]] = [
    ({"model": "gpt-4o"}, 404, "model_not_found", "model", "flux-pro"),
    ({"model": "nano-banana-edit"}, 400, "invalid_value", "model", "/v1/images/edits"),
    ({"n": 11}, 400, "invalid_value", "n", "at most 10"),
    ({"n": "2"}, 400, "invalid_value", "n", "integer"),
    ({"n": 2, "num_images": 3}, 400, "invalid_value", "n", "leave one out"),
    ({"size": "1024x1024", "width": 2048, "height": 2048}, 400, "invalid_value", "size", "leave one out"),
    ({"size": "huge"}, 400, "invalid_value", "size", "1024x1024"),
    ({"size": "9000x9000"}, 400, "invalid_value", "size", "megapixels"),
    ({"size": "0x10"}, 400, "invalid_value", "size", "at least 1"),
    ({"quality": "ultra"}, 400, "invalid_value", "quality", "high"),
    ({"background": "transparent"}, 400, "invalid_value", "background", "flux-pro"),
    ({"output_format": "gif"}, 400, "invalid_value", "output_format", "png"),
    ({"output_compression": 101}, 400, "invalid_value", "output_compression", "100"),
    ({"response_format": "file"}, 400, "invalid_value", "response_format", "b64_json"),
    ({"promt": "x"}, 400, "unknown_parameter", "promt", "'prompt'"),
    ({"seeed": 7}, 400, "unknown_parameter", "seeed", "'seed'"),
    ({"svg": {"model": "x"}}, 400, "unknown_parameter", "svg", "flux-pro"),
    ({"image": DATA}, 400, "unknown_parameter", "image", "flux-pro"),
    ({"seed": "seven"}, 400, "invalid_value", "seed", "integer"),
    ({"user": "x" * 300}, 400, "invalid_value", "user", "256"),
    ({"metadata": {"a.b": 1}}, 400, "invalid_value", "metadata", "a.b"),
    ({"prompt": None}, 400, "missing_required_parameter", "prompt", "prompt"),
    ({"prompt": ""}, 400, "invalid_value", "prompt", "character"),
]


@pytest.mark.parametrize(("change", "status", "code", "param", "says"), WRONG, ids=[json.dumps(wrong[0])[:40] for wrong in WRONG])
def test_a_wrong_generation_is_refused_in_openais_shape_and_names_the_way(
    client: httpx.Client, change: Answer, status: int, code: str, param: str | None, says: str
) -> None:
    answer = client.post(GENERATIONS, json={"model": "flux-pro", "prompt": "a red bicycle", **change})

    assert says in refused(answer, status, code, param)


def test_every_unknown_parameter_of_openai_is_known(service: Service) -> None:
    known = {"moderation": "auto", "style": "natural", "complexity": "low", "background": "opaque", "partial_images": 2, "quality": "hd"}

    answer = service.client.post(GENERATIONS, json={"prompt": a_prompt(), "async": True, **known})

    assert answer.status_code == 202, answer.text


def an_edit(files: Any, **fields: str) -> Answer:
    return {"data": {"prompt": "make it night", **fields}, "files": files}


@pytest.mark.parametrize(
    ("request_", "status", "code", "param", "says"),
    [
        (an_edit([("image", WORD)], model="flux-pro"), 400, "invalid_value", "model", "/v1/images/generations"),
        (an_edit([("image", WORD)] * 17), 400, "invalid_value", "image", "at most 16"),
        (an_edit([("image[]", WORD)] * 2, model="flux-dev-image-to-image"), 400, "invalid_value", "image", "at most 1"),
        (an_edit([("image", WORD), ("mask", HOLE)]), 400, "invalid_value", "mask", "takes no mask"),
        (an_edit([("image", WORD), ("mask", HOLE), ("mask[]", HOLE)]), 400, "invalid_value", "mask", "one mask"),
        (an_edit([("image", b"no picture")]), 400, "invalid_image", "image", "PNG"),
        (an_edit([("picture", WORD)]), 400, "invalid_value", "picture", "image[]"),
        (an_edit([("image", WORD)], n="many"), 400, "invalid_value", "n", "integer"),
        (an_edit([("image", WORD)], image="https://example.com/a.png"), 400, "invalid_value", "image", "as a file"),
        (an_edit([("image", WORD)], **{"svg[model]": "x"}), 400, "unknown_parameter", "svg[model]", "svg"),
        ({"json": {"prompt": "make it night"}}, 400, "invalid_value", "image", "as a file"),
        ({"json": {"prompt": "make it night", "image": 7}}, 400, "invalid_value", "image", "data URI"),
        ({"json": {"prompt": "make it night", "image": "http://example.com/a"}}, 400, "invalid_value", "image", "https"),
        ({"json": {"prompt": "make it night", "image": DATA, "images": [DATA]}}, 400, "invalid_value", "image", "not both"),
        ({"content": b"x"}, 415, "unsupported_media_type", None, "Content-Type"),
    ],
)
def test_a_wrong_edit_is_refused_in_openais_shape_and_names_the_way(
    client: httpx.Client, request_: Answer, status: int, code: str, param: str | None, says: str
) -> None:
    answer = client.post(EDITS, **request_)

    assert says in refused(answer, status, code, param)


def test_nothing_is_bought_or_kept_for_what_is_refused(service: Service, sdk: openai.OpenAI) -> None:
    before = service.footprint()

    for change, *_ in WRONG:
        service.client.post(GENERATIONS, json={"model": "flux-pro", "prompt": "a red bicycle", **change})
    with pytest.raises(openai.BadRequestError):
        sdk.images.edit(image=[picture(color="green"), b"no picture"], prompt="make it night")
    with pytest.raises(openai.BadRequestError):
        sdk.images.edit(image=picture(color="green"), mask=HOLE, prompt="make it night")

    assert service.footprint() == before


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/images/variations", 404, "unsupported_endpoint"),
        ("POST", "/openai/v1/images/variations", 404, "unsupported_endpoint"),
        ("POST", "/v1/chat/completions", 404, "not_found"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", f"{GENERATIONS}/01a1fbb9-ae99-76ef-85b8-99f0e4849dc8", 404, "not_found"),
    ],
)
def test_an_address_that_is_none_is_told_in_openais_shape(client: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    refused(client.request(method, path), status, code)


def test_what_a_key_may_not_do_is_told_in_openais_shape(service: Service) -> None:
    accounts = accounts_of(service)
    reader = accounts.make_key("reader", KeyTerms(scopes=(Scope.READ,)))[1]
    cheap = accounts.make_key("cheap", KeyTerms(orders=OrderLimits(models=("flux-d*",))))[1]
    body = {"prompt": a_prompt(), "model": "dall-e-3"}

    def answered(headers: dict[str, str]) -> httpx.Response:
        return service.client.post(GENERATIONS, json=body, headers=headers)

    refused(answered({"Authorization": "Bearer nonsense"}), 401, "invalid_api_key")
    refused(answered({"api-key": "nonsense"}), 401, "invalid_api_key")
    assert "generate" in refused(answered({"X-API-Key": reader}), 403, "forbidden")
    assert "flux-pro" in refused(answered({"X-API-Key": cheap}), 403, "forbidden")
    assert service.posts(body["prompt"]) == []


def test_who_cannot_pay_is_told_so_and_no_sdk_tries_again(service: Service) -> None:
    person = Person(service)
    service.database["accounts"].update_one({"_id": person.id}, {"$set": {"tokens": 10}})
    sdk = openai.OpenAI(base_url=f"{service.stack.base_url}/v1", api_key=person.token, max_retries=2)
    prompt = a_prompt()

    with pytest.raises(openai.RateLimitError) as refusal:
        sdk.images.generate(model="dall-e-3", prompt=prompt)

    assert (refusal.value.code, refusal.value.response.headers["x-should-retry"]) == ("insufficient_quota", "false")
    assert refusal.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert service.posts(prompt) == []


def test_a_refused_prompt_is_moderation_and_never_bought_again_by_the_sdk(service: Service, sdk: openai.OpenAI) -> None:
    prompt = a_prompt()
    service.emulator.outcome("content_policy", promptContains=prompt)

    with pytest.raises(openai.BadRequestError) as failure:
        sdk.with_options(max_retries=2).images.generate(model="dall-e-3", prompt=prompt)

    assert (failure.value.code, failure.value.type) == ("moderation_blocked", "image_generation_user_error")
    assert len(service.posts(prompt)) == 1


def test_a_job_that_ends_without_images_is_never_bought_again_by_the_sdk(service: Service, sdk: openai.OpenAI) -> None:
    prompt = a_prompt()
    service.emulator.settings(seconds=30, queueSeconds=30)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sdk.with_options(max_retries=2).images.generate, model="dall-e-3", prompt=prompt)
        wait_until(lambda: service.posts(prompt), 30, "the order")
        ordered = service.database["jobs"].find_one({"config.inputs.prompt": prompt}) or {}
        service.client.post(f"/api/jobs/{ordered['_id']}/cancel")
        with pytest.raises(openai.InternalServerError) as failure:
            waiting.result(30)

    assert (failure.value.code, failure.value.response.headers["x-should-retry"]) == ("canceled", "false")
    assert failure.value.response.headers["X-Job-Id"] == ordered["_id"]
    assert len(service.posts(prompt)) == 1


def test_an_idempotency_key_is_one_order_as_everywhere(service: Service, sdk: openai.OpenAI) -> None:
    prompt, headers = a_prompt(), {"Idempotency-Key": "an order"}

    first, again = (sdk.images.generate(prompt=prompt, extra_headers=headers) for _ in range(2))
    with pytest.raises(openai.BadRequestError) as other:
        sdk.images.generate(prompt=prompt, n=2, extra_headers=headers)

    assert first.gateway == again.gateway  # type: ignore[attr-defined]
    assert other.value.code == "idempotency_mismatch"
    assert len(service.posts(prompt)) == 1
