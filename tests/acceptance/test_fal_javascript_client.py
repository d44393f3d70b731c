"""fal's own JavaScript client, led to the gateway: in Node by proxyUrl and by requestMiddleware, and in a browser from another port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from tests.acceptance.service import Answer, Service, a_prompt
from tests.support.browser import chromium, page_of
from tests.support.node import run_node

FALS_FLUX = {"images", "timings", "seed", "has_nsfw_concepts", "prompt"}


@pytest.fixture(scope="module", params=["proxyUrl", "requestMiddleware"])
def told(request: pytest.FixtureRequest, shared_service: Service, key: str, portrait: Path) -> Answer:
    """What each step of a program with the client came to, and the word that all its prompts have."""
    shared_service.calm()
    prompt = a_prompt()
    said = run_node("fal.mjs", shared_service.stack.base_url, key, request.param, prompt, str(portrait))
    found: Answer = {**json.loads(said), "prompt": prompt}
    return found


def assert_whole(output: Answer, service: Service) -> None:
    """Check that an output has fal's whole shape, and that its pictures are the gateway's own."""
    assert set(output) >= FALS_FLUX
    for image in output["images"]:
        assert urlsplit(image["url"]).port == urlsplit(service.stack.base_url).port
        assert httpx.get(image["url"], trust_env=False).headers["content-type"] == image["content_type"]


def test_each_call_orders_one_picture_and_brings_fals_whole_output(told: Answer, service: Service) -> None:
    assert_whole(told["run"]["data"], service)
    assert_whole(told["subscribe"]["data"], service)
    assert_whole(told["streamed"]["result"]["data"], service)
    assert_whole(told["upload"]["result"]["data"], service)
    assert_whole(told["stream"]["done"], service)
    assert told["stream"]["events"][-1] == told["stream"]["done"]
    posts = {about: len(service.posts(f"{told['prompt']} {about}")) for about in ("run", "subscribe", "streamed", "upload", "stream")}
    assert posts == dict.fromkeys(posts, 1)


def test_the_client_learns_a_requests_id_from_each_answer(told: Answer, service: Service) -> None:
    for step in ("run", "subscribe"):
        document = service.document(told[step]["requestId"])

        assert document["config"]["inputs"]["prompt"] == f"{told['prompt']} {step}"
    assert told["streamed"]["result"]["requestId"] == told["streamed"]["requestId"]


def test_the_queue_is_followed_to_the_end_by_polls_and_by_a_stream(told: Answer) -> None:
    order = ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]

    seen = told["subscribe"]["seen"]

    assert seen[-1] == told["streamed"]["status"] == "COMPLETED"
    assert seen == sorted(seen, key=order.index)


def test_a_blob_and_a_file_are_stored_at_the_gateway_and_reach_the_model(told: Answer, service: Service) -> None:
    assert told["upload"]["url"].startswith(f"{service.stack.base_url}/fal/")
    for about in ("subscribe", "upload"):
        (post,) = service.posts(f"{told['prompt']} {about}")

        # A service that fal cannot reach sends the bytes along.
        assert post["arguments"]["image_url"].startswith("data:image/png;base64,")


def test_a_canceled_request_ends_as_fal_ends_it(told: Answer, service: Service) -> None:
    (job,) = service.database["jobs"].find({"config.inputs.prompt": {"$regex": f"^{told['prompt']} cancel \\["}})

    assert (told["cancel"]["raised"], told["cancel"]["status"]) == ("ApiError", 499)
    assert service.ended(job["_id"])["status"] == "canceled"


def test_wrong_arguments_are_a_validation_error_with_the_fields(told: Answer) -> None:
    invalid = told["invalid"]

    assert (invalid["raised"], invalid["status"]) == ("ValidationError", 422)
    assert [(problem["loc"], problem["type"]) for problem in invalid["fieldErrors"]] == [(["body", "prompt"], "missing")]


def test_a_failed_request_answers_with_fals_own_status_and_words(told: Answer, service: Service) -> None:
    refused, unknown = told["refused"], told["unknown"]

    assert (refused["raised"], refused["status"]) == ("ValidationError", 422)
    assert [problem["type"] for problem in refused["fieldErrors"]] == ["content_policy_violation"]
    assert (unknown["raised"], unknown["status"]) == ("ApiError", 404)
    assert "registry import" in unknown["body"]["detail"]
    assert service.posts(f"{told['prompt']} nothing") == []


@contextmanager
def pages(**scripts: str) -> Iterator[str]:
    """Serve an empty page, and scripts under their names, from a port of their own; yield the page's address."""

    class Serving(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = scripts.get(self.path.strip("/").removesuffix(".js"))
            body = (script or "<!doctype html><title>An app</title><link rel=icon href=data:,>").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if script else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


IN_THE_PAGE = """
async ([proxyUrl, credentials, prompt]) => {
  const client = fal.createFalClient({ proxyUrl, credentials, suppressLocalCredentialsWarning: true });
  const canvas = Object.assign(document.createElement("canvas"), { width: 512, height: 512 });
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const seen = [];
  const followed = await client.subscribe("fal-ai/flux/dev/image-to-image", {
    input: { prompt: `${prompt} subscribe`, image_url: blob }, logs: true, onQueueUpdate: (update) => seen.push(update.status),
  });
  const { request_id: requestId } = await client.queue.submit("fal-ai/flux-pro/v1.1", { input: { prompt: `${prompt} streamed` } });
  const status = await client.queue.subscribeToStatus("fal-ai/flux-pro/v1.1", { requestId, mode: "streaming" });
  const invalid = await client.run("fal-ai/flux-pro/v1.1", { input: {} }).catch((error) => [error.name, error.status]);
  return { followed, seen, streamed: status.status, invalid };
}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[Page, list[str]]]:
    with pages(fal=run_node("bundle.mjs", "@fal-ai/client", "fal")) as address, chromium() as browser, page_of(browser) as opened:
        opened[0].goto(address)
        opened[0].add_script_tag(url=f"{address}fal.js")
        yield opened


@pytest.mark.parametrize("has_key", [False, True], ids=["anonymous", "with a key"])
def test_a_page_of_another_port_makes_pictures_by_the_proxys_address_alone(
    page: tuple[Page, list[str]], service: Service, key: str, *, has_key: bool
) -> None:
    tab, errors = page
    proxy = service.stack.base_url.replace("127.0.0.1", "localhost") + "/api/fal/proxy"
    prompt = a_prompt()
    errors.clear()

    told = tab.evaluate(IN_THE_PAGE, [proxy, key if has_key else None, prompt])

    assert_whole(told["followed"]["data"], service)
    assert service.document(told["followed"]["requestId"])["config"]["inputs"]["prompt"] == f"{prompt} subscribe"
    assert (told["seen"][-1], told["streamed"], told["invalid"]) == ("COMPLETED", "COMPLETED", ["ValidationError", 422])
    # The browser logs a 422 by itself, and the client hangs up on a stream that has told the end.
    assert [error for error in errors if "422" not in error and "ERR_ABORTED" not in error] == []
