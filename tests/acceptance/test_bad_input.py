"""Bad input costs nothing: the one error body, nothing sent to fal, nothing written down."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Service, order
from tests.support.cases import case

GENERATE = "/api/images/generate"
INJECTION = {"$ne": ""}
RIGHT = order()
DATA_URI = "data:image/png;base64,"


@pytest.fixture(autouse=True)
def nothing_happened(service: Service) -> Iterator[None]:
    before = service.footprint()
    yield
    assert service.footprint() == before


def assert_refused(answer: httpx.Response, status: int = 400, *, says: str = "") -> dict[str, Any]:
    """Check the one error body and its headers; return it."""
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert (body["success"], body["status"], body["retryable"]) == (False, status, False)
    assert body["requestId"] == answer.headers["x-request-id"]
    assert body["code"].replace("_", "").isalpha()
    assert says in body["message"]
    assert "Traceback" not in answer.text
    return body


def with_inputs(**inputs: Any) -> dict[str, Any]:
    return {**RIGHT, "inputs": {**RIGHT["inputs"], **inputs}}


def with_options(**options: Any) -> dict[str, Any]:
    return {**RIGHT, "options": options}


def edit(image: Any) -> dict[str, Any]:
    return {"model": "nano-banana-edit", "inputs": {"prompt": "Bluer", "image_urls": [image]}, "userId": "user123"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({**RIGHT, "prompt": "x"}, "/prompt", id="unknown top-level field"),
        pytest.param({**RIGHT, "user_id": "x"}, "/user_id", id="snake case at the top"),
        pytest.param({key: RIGHT[key] for key in ("inputs", "userId")}, "/model", id="no model"),
        pytest.param({key: RIGHT[key] for key in ("inputs", "model")}, "/userId", id="no user"),
        pytest.param({**RIGHT, "inputs": {}}, "/inputs/prompt", id="missing input"),
        pytest.param({key: RIGHT[key] for key in ("model", "userId")}, "/inputs/prompt", id="no inputs at all"),
        pytest.param(with_inputs(promt="x"), "/inputs/promt", id="unknown input"),
        pytest.param(with_options(num_image=3), "/options/num_image", id="unknown option"),
        pytest.param({**RIGHT, "options": {"prompt": "x"}}, "/options/prompt", id="input among the options"),
        pytest.param(with_inputs(prompt=""), "/inputs/prompt", id="empty prompt"),
        pytest.param(with_inputs(prompt=" \n\t"), "/inputs/prompt", id="blank prompt"),
        pytest.param(with_inputs(prompt=5), "/inputs/prompt", id="number as prompt"),
        pytest.param(with_inputs(prompt=None), "/inputs/prompt", id="null as prompt"),
        pytest.param(with_inputs(prompt=["x"]), "/inputs/prompt", id="list as prompt"),
        pytest.param(with_inputs(prompt="a\0b"), "/inputs/prompt", id="NUL in the prompt"),
        pytest.param(with_inputs(prompt="x" * 50_001), "/inputs/prompt", id="prompt too long"),
        pytest.param(with_inputs(seed="7"), "/inputs/seed", id="text as seed"),
        pytest.param(with_inputs(seed=-1), "/inputs/seed", id="negative seed"),
        pytest.param(with_inputs(seed=1.5), "/inputs/seed", id="broken seed"),
        pytest.param(with_inputs(seed=True), "/inputs/seed", id="true as seed"),
        pytest.param(with_inputs(seed=2**64), "/inputs/seed", id="seed beyond 64 bits"),
        pytest.param(with_options(num_images=0), "/options/num_images", id="no images"),
        pytest.param(with_options(num_images=1001), "/options/num_images", id="too many images"),
        pytest.param(with_options(num_images="2"), "/options/num_images", id="text as a number of images"),
        pytest.param(with_options(num_images=1e300), "/options/num_images", id="absurd number of images"),
        pytest.param(with_options(output_format="tiff"), "/options/output_format", id="unknown format"),
        pytest.param(with_options(image_size="huge"), "/options/image_size", id="unknown size"),
        pytest.param(with_options(image_size={"width": 0, "height": 9}), "/options/image_size/width", id="width of nothing"),
        pytest.param(with_options(image_size={"width": 10**9, "height": 9}), "/options/image_size/width", id="endless width"),
        pytest.param(with_options(width=512), "/options/width", id="width without height"),
        pytest.param(with_options(width=512, height=512, aspect_ratio="1:1"), "/options/aspect_ratio", id="shape twice"),
        pytest.param(with_options(aspect_ratio="7:5"), "/options/aspect_ratio", id="unknown ratio"),
        pytest.param({**RIGHT, "inputs": "x"}, "/inputs", id="text as inputs"),
        pytest.param({**RIGHT, "options": []}, "/options", id="list as options"),
        pytest.param({**RIGHT, "model": INJECTION}, "/model", id="query as model"),
        pytest.param({**RIGHT, "userId": INJECTION}, "/userId", id="query as user"),
        pytest.param(with_inputs(prompt=INJECTION), "/inputs/prompt", id="query as prompt"),
        pytest.param({**RIGHT, "projectId": INJECTION}, "/projectId", id="query as project"),
        pytest.param({**RIGHT, "metadata": {"a": INJECTION}}, "/metadata", id="query in the metadata"),
        pytest.param({**RIGHT, "metadata": {"$where": "1"}}, "/metadata", id="operator in the metadata"),
        pytest.param({**RIGHT, "metadata": {"a.b": "1"}}, "/metadata", id="dot in the metadata"),
        pytest.param({**RIGHT, "userId": ""}, "/userId", id="empty user"),
        pytest.param({**RIGHT, "userId": 5}, "/userId", id="number as user"),
        pytest.param({**RIGHT, "userId": "x" * 257}, "/userId", id="user too long"),
        pytest.param({**RIGHT, "userId": "a\0"}, "/userId", id="NUL in the user"),
        pytest.param({**RIGHT, "async": "yes"}, "/async", id="text as async"),
        pytest.param(edit("http://example.com/a.png"), "/inputs/image_urls/0", id="http image"),
        pytest.param(edit("file:///etc/passwd"), "/inputs/image_urls/0", id="file image"),
        pytest.param(edit("https://a b/c.png"), "/inputs/image_urls/0", id="space in the address"),
        pytest.param(edit(INJECTION), "/inputs/image_urls/0", id="query as image"),
        pytest.param(edit("upload:not-an-id"), "/inputs/image_urls/0", id="not an upload"),
        pytest.param(edit("upload:01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"), "/inputs/image_urls/0", id="unknown upload"),
        pytest.param(edit(DATA_URI + "!!!!"), "/inputs/image_urls/0", id="not base64"),
        pytest.param(edit(DATA_URI + "AAAA"), "/inputs/image_urls/0", id="bytes that are no image"),
        pytest.param(edit("data:text/html;base64,PGI+"), "/inputs/image_urls/0", id="data that is no image"),
        pytest.param({**edit("x"), "inputs": {"prompt": "Bluer", "image_urls": []}}, "/inputs/image_urls", id="no images to edit"),
    ],
)
def test_a_wrong_field_is_answered_400_with_a_pointer_to_it(service: Service, body: dict[str, Any], pointer: str) -> None:
    answer = service.generate(body)

    refusal = assert_refused(answer)
    detail = {error["pointer"]: error["detail"] for error in refusal["errors"]}[pointer]
    assert detail in refusal["message"] or pointer.rpartition("/")[2] in refusal["message"]


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({**RIGHT, "prompt": "x"}, ["inputs", "metadata", "model", "options", "projectId", "userId"]),
        (with_inputs(promt="x"), ["prompt", "seed"]),
        (with_options(num_image=3), ["num_images", "image_size", "output_format"]),
    ],
)
def test_an_unknown_name_is_answered_with_those_allowed(service: Service, body: dict[str, Any], allowed: list[str]) -> None:
    answer = service.generate(body)

    detail = assert_refused(answer)["errors"][0]["detail"]
    assert "Allowed" in detail
    assert all(name in detail.partition("Allowed")[2] for name in allowed)


def test_half_a_character_in_a_name_is_answered_400_with_that_name(client: httpx.Client) -> None:
    answer = client.post(GENERATE, content=case("json/metadata_key_half_emoji.json"), headers={"Content-Type": "application/json"})

    refusal = assert_refused(answer, says="\\\\ud83d")
    assert refusal["errors"][0]["pointer"] == "/metadata/\\ud83d"


@pytest.mark.parametrize(
    ("body", "pointer", "says"),
    [
        ({**RIGHT, "prompt": "x"}, "/prompt", "belongs in 'inputs'"),
        ({**RIGHT, "num_images": 2}, "/num_images", "belongs in 'inputs'"),
        ({**RIGHT, "input": {}}, "/input", "Did you mean 'inputs'?"),
        ({**RIGHT, "option": {}}, "/option", "Did you mean 'options'?"),
        ({**RIGHT, "user_id": "x"}, "/user_id", "Did you mean 'userId'?"),
    ],
)
def test_a_misplaced_or_misspelled_name_is_answered_with_where_it_belongs(
    service: Service, body: dict[str, Any], pointer: str, says: str
) -> None:
    answer = service.generate(body)

    details = {error["pointer"]: error["detail"] for error in assert_refused(answer)["errors"]}
    assert says in details[pointer]


@pytest.mark.parametrize("path", ["/api/images/generate", "/api/images/estimate-cost", "/api/images/batch"])
def test_a_model_that_is_nearly_one_is_answered_with_the_one_that_was_meant(client: httpx.Client, path: str) -> None:
    order = {"model": "flux-por", "inputs": {"prompt": "x"}}
    body = {"items": [order], "userId": "user123"} if path.endswith("batch") else order if path.endswith("cost") else {**RIGHT, **order}

    answer = client.post(path, json=body)

    assert_refused(answer, says="Did you mean 'flux-pro'?")


def test_faults_of_the_body_and_of_the_model_are_told_at_once(client: httpx.Client) -> None:
    order = {"model": "flux-dev", "input": {"prompt": "x"}, "options": {"num_images": 0}}

    single = client.post(GENERATE, json=order)
    batch = client.post("/api/images/batch", json={"items": [RIGHT | {"userId": "x"}, order]})

    assert {error["pointer"] for error in assert_refused(single)["errors"]} == {
        "/input",
        "/inputs/prompt",
        "/options/num_images",
        "/userId",
    }
    assert {error["pointer"] for error in assert_refused(batch)["errors"]} == {
        "/userId",
        "/items/0/userId",
        "/items/1/input",
        "/items/1/inputs/prompt",
        "/items/1/options/num_images",
    }


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_packed_body_is_answered_415_with_a_word(client: httpx.Client, encoding: str) -> None:
    content = gzip.compress(json.dumps(RIGHT).encode())

    answer = client.post(GENERATE, content=content, headers={"Content-Type": "application/json", "Content-Encoding": encoding})

    assert_refused(answer, 415, says="Content-Encoding")


def test_a_packed_body_that_does_not_say_so_is_answered_415(client: httpx.Client) -> None:
    answer = client.post(GENERATE, content=gzip.compress(b"{}"), headers={"Content-Type": "application/json"})

    assert_refused(answer, 415, says="not unpacked")


@pytest.mark.parametrize("path", ["/api/jobs", "/api/jobs/export"])
def test_a_filter_that_is_given_twice_is_answered_400(client: httpx.Client, path: str) -> None:
    query = case("http/repeated_filter.txt").decode().split(" ")[1].partition("?")[2]

    answer = client.get(f"{path}?{query}")

    assert [error["pointer"] for error in assert_refused(answer, says="status")["errors"]] == ["/status"]


def test_every_fault_is_told_at_once(service: Service) -> None:
    answer = service.generate({**RIGHT, "inputs": {"promt": "x", "seed": "y"}, "options": {"num_images": 0}})

    pointers = {error["pointer"] for error in assert_refused(answer)["errors"]}
    assert pointers == {"/inputs/prompt", "/inputs/promt", "/inputs/seed", "/options/num_images"}


@pytest.mark.parametrize("name", ["flux", "FLUX-PRO", "", " flux-pro", "../flux-pro", "fal-ai/flux/dev", "x" * 200, "flux-pro\0"])
def test_an_unknown_model_is_never_guessed(service: Service, name: str) -> None:
    answer = service.generate({**RIGHT, "model": name})

    assert_refused(answer)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"{'model': 'flux-pro'}", id="single quotes"),
        pytest.param(json.dumps(RIGHT).encode() + b"{}", id="two bodies"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(json.dumps(with_inputs(seed=float("nan"))).encode(), id="NaN"),
        pytest.param(json.dumps(with_inputs(seed=float("inf"))).encode(), id="Infinity"),
        pytest.param(json.dumps(RIGHT).replace('"seed"', '"x"').replace("{", '{"model":"flux-dev",', 1).encode(), id="name twice"),
        pytest.param(json.dumps(RIGHT).replace('"prompt"', '"prompt": "first", "prompt"').encode(), id="name twice inside"),
        pytest.param(b'{"model":"flux-pro","inputs":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, id="deep objects"),
        pytest.param(b"[" * 100_000, id="endless lists"),
        pytest.param(json.dumps(with_inputs(seed=1)).replace(" 1}", " " + "9" * 5000 + "}").encode(), id="number of 5000 digits"),
        pytest.param(json.dumps(with_inputs(prompt="\ud800")).encode(), id="half a character"),
        pytest.param(json.dumps(RIGHT).encode().replace(b'"model"', b'"\xed\xa0\xbd": 1, "model"'), id="half a character in UTF-8"),
        pytest.param(json.dumps(with_inputs(seed=1)).replace(" 1}", " -1e400}").encode(), id="number without end"),
        pytest.param(case("json/metadata_infinity.json"), id="number without end in the metadata"),
    ],
)
def test_a_broken_body_is_answered_400(client: httpx.Client, content: bytes) -> None:
    answer = client.post(GENERATE, content=content, headers={"Content-Type": "application/json"})

    assert_refused(answer)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", None]
)
def test_a_body_that_is_not_json_is_answered_415(client: httpx.Client, kind: str | None) -> None:
    answer = client.post(GENERATE, content=json.dumps(RIGHT), headers={"Content-Type": kind} if kind else {})

    assert_refused(answer, 415, says="application/json")


def test_an_oversized_body_is_answered_413(client: httpx.Client) -> None:
    content = json.dumps(with_inputs(prompt="x" * (33 << 20)))

    answer = client.post(GENERATE, content=content, headers={"Content-Type": "application/json"})

    assert_refused(answer, 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api/<script>alert(1)</script>", 404),
        ("GET", "/api/images/models/nope", 404),
        ("GET", "/api/jobs/nope", 404),
        ("GET", "/api/jobs/%00", 404),
        ("GET", "/api/jobs/01a1fbb9-ae99-76ef-85b8-99f0e4849dc8", 404),
        ("GET", "/files/", 404),
        ("GET", "/files/generated-images/", 404),
        ("GET", "/files/../../../etc/passwd", 404),
        ("GET", "/files/%2e%2e/%2e%2e/%2e%2e/etc/x.png", 404),
        ("GET", "/files/a%00.png", 404),
        ("GET", GENERATE, 405),
        ("DELETE", GENERATE, 405),
        ("PUT", "/api/images/models", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_a_wrong_address_has_the_same_error_body_and_never_html(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.send(client.build_request(method, client.base_url.copy_with(raw_path=path.encode())))

    assert_refused(answer, status)
    assert "<" not in answer.text
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("cursor=nope", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=e30", "cursor"),
        ("cursor=é", "cursor"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("status=done", "status"),
        ("status[$ne]=x", "status[$ne]"),
        ("type=video-generation", "type"),
        ("from=yesterday", "from"),
        ("from=2026-01-01T00:00:00", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("userId=", "userId"),
        ("userId[$ne]=x", "userId[$ne]"),
        ("userid=user123", "userid"),
        ("count=maybe", "count"),
    ],
)
def test_a_bad_list_query_is_answered_400_and_names_the_parameter(client: httpx.Client, query: str, name: str) -> None:
    answer = client.get(f"/api/jobs?{query}")

    refusal = assert_refused(answer, says=name)
    assert f"/{name}" in [error["pointer"] for error in refusal["errors"]]


def test_the_estimate_refuses_what_generate_refuses(client: httpx.Client) -> None:
    answer = client.post("/api/images/estimate-cost", json={"model": "flux-pro", "options": {"num_image": 10}})

    assert assert_refused(answer)["errors"][0]["pointer"] == "/options/num_image"
