"""fal's own Python client, three releases of it, led to the gateway: by its environment alone over TLS, and by imagegen.fal.use."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.service import Service, a_prompt, wait_until
from tests.support.fal_clients import LOCKED, start_story, told_by

WAYS = ["1.0.3 environment", "1.0.3 use", "0.13.2 environment", "0.13.2 use", "0.9.1 environment", "0.9.1 use"]
ORDERS = (
    "run",
    "submit",
    "subscribe",
    "by id",
    "stream",
    "encoded",
    "run async",
    "submit async",
    "subscribe async",
    "by id async",
    "stream async",
)


class Story:
    """What one release had to tell, led one way, and where it was led."""

    def __init__(self, way: str, prompt: str, base: str, told: dict[str, Any]) -> None:
        self.release, self.way = way.split()
        self.prompt, self.base, self.told_release, self.steps = prompt, base, told["release"], told["steps"]


@pytest.fixture(scope="module", params=WAYS)
def story(
    request: pytest.FixtureRequest,
    shared_service: Service,
    https_server: tuple[str, Path],
    fal_environment: dict[str, str],
    key: str,
    portrait: Path,
) -> Story:
    shared_service.calm()
    release, way = request.param.split()
    prompt = a_prompt()
    if way == "use":
        base = shared_service.stack.base_url
        started = start_story(release, {}, prompt=prompt, picture=portrait, use=(base, key))
    else:
        base = https_server[0]
        started = start_story(release, fal_environment, prompt=prompt, picture=portrait, hosts=["queue.localhost"])
    return Story(request.param, prompt, base, told_by(started))


def assert_whole(output: dict[str, Any], service: Service) -> None:
    """Check that an output has fal's whole shape, and that its pictures are the gateway's own."""
    assert {"images", "timings", "seed", "has_nsfw_concepts", "prompt"} <= set(output), output
    for image in output["images"]:
        assert urlsplit(image["url"]).port == urlsplit(service.stack.base_url).port
        assert httpx.get(image["url"], trust_env=False).headers["content-type"] == image["content_type"]


def test_each_call_orders_one_picture_and_brings_fals_whole_output(story: Story, service: Service) -> None:
    steps = story.steps
    outputs = [steps["run"], steps["run_async"], steps["subscribe_async"], *steps["stream"], *steps["stream_async"], steps["encode_file"]]
    outputs += [steps[name]["result"] for name in ("submit", "subscribe", "by_id", "submit_async", "by_id_async")]

    assert story.told_release == story.release
    assert len(outputs) == len(ORDERS)
    for output in outputs:
        assert_whole(output, service)
    assert {about: len(service.posts(f"{story.prompt} {about}")) for about in ORDERS} == dict.fromkeys(ORDERS, 1)


def test_the_events_of_a_request_go_from_the_queue_to_its_end_and_carry_logs(story: Story) -> None:
    submitted = story.steps["submit"]

    for events in (submitted["events"], story.steps["submit_async"]["events"]):
        assert events[-1] == "Completed"
        assert set(events) <= {"Queued", "InProgress", "Completed"}
        assert events == sorted(events, key=["Queued", "InProgress", "Completed"].index)
    assert story.steps["subscribe"]["events"][-1] == "Completed"
    assert submitted["logs"]


def test_a_request_is_found_by_its_id_and_its_addresses_are_the_gateways_own(story: Story, service: Service) -> None:
    submitted = story.steps["submit"]
    document = service.document(submitted["id"])
    host = urlsplit(story.base).netloc
    hosts = {host, f"queue.{host}"}

    assert document["config"]["inputs"]["prompt"] == f"{story.prompt} submit"
    assert submitted["result"]["seed"] == 2**63 + 5
    assert all(urlsplit(url).netloc in hosts and urlsplit(url).scheme == urlsplit(story.base).scheme for url in submitted["urls"])
    assert all(f"/requests/{submitted['id']}" in url for url in submitted["urls"])
    assert story.steps["by_id"]["early"] in ("Queued", "InProgress", "Completed")
    assert story.steps["by_id_async"]["status"] == "Completed"


def test_a_key_of_the_scripts_own_makes_two_submits_one_order(story: Story, service: Service) -> None:
    first, second = story.steps["twice"]

    assert first == second
    assert len(service.posts(f"{story.prompt} twice")) == 1


def test_a_canceled_request_ends_as_fal_ends_it(story: Story, service: Service) -> None:
    for step, about in (("cancel", "cancel"), ("cancel_async", "cancel async")):
        told = story.steps[step]
        (job,) = service.database["jobs"].find({"config.inputs.prompt": {"$regex": f"^{story.prompt} {about} \\["}})

        assert (told["status"], told["type"]) == (499, "client_cancelled"), told
        assert service.ended(job["_id"])["status"] == "canceled"


def test_faults_reach_the_script_as_fals_own(story: Story, service: Service) -> None:
    wrong, refused, unknown = (story.steps[name] for name in ("wrong_arguments", "refused_by_fal", "unknown_app"))

    assert wrong["status"] == 422
    assert [(problem["loc"], problem["type"]) for problem in wrong["body"]["detail"]] == [(["body", "prompt"], "missing")]
    assert refused["status"] == 422
    assert refused["body"]["detail"][0]["type"] == "content_policy_violation"
    assert unknown["status"] == 404
    assert "registry import" in unknown["body"]["detail"]
    assert [len(service.posts(f"{story.prompt} {about}")) for about in ("nothing", "[emulator: fail=content_policy]")] == [0, 1]


@pytest.mark.parametrize("story", [way for way in WAYS if way.endswith("use")], indirect=True)
def test_a_file_is_uploaded_to_the_gateway_where_the_script_is_led_from_within(story: Story, service: Service) -> None:
    for step, about in (("upload_file", "uploaded"), ("upload_file_async", "uploaded async")):
        told = story.steps[step]

        assert told["url"].startswith(f"{story.base}/fal/"), told
        assert_whole(told["result"], service)
        assert len(service.posts(f"{story.prompt} {about}")) == 1


@pytest.fixture
def outward() -> Iterator[tuple[str, list[str]]]:
    """Be the proxy through which a script reaches the world; yield its address and what it was asked for. It lets nothing through."""
    asked: list[str] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                asked.append(client.recv(4096).decode().splitlines()[0])
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def test_by_environment_alone_an_upload_would_go_to_fal_as_the_page_warns(
    fal_environment: dict[str, str], portrait: Path, outward: tuple[str, list[str]]
) -> None:
    proxy, asked = outward
    environment = {**fal_environment, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost"}

    with start_story(LOCKED, environment, prompt=a_prompt(), picture=portrait, steps=["upload_file"]) as started:
        wait_until(lambda: asked, 30, "the way out")
        started.kill()

    assert asked[0] == "CONNECT rest.fal.ai:443 HTTP/1.1"


def test_led_from_within_nothing_of_a_script_goes_out_to_fal(
    service: Service, key: str, portrait: Path, outward: tuple[str, list[str]]
) -> None:
    proxy, asked = outward

    environment = {"HTTPS_PROXY": proxy, "NO_PROXY": "localhost,127.0.0.1"}
    steps = ["run", "submit", "stream", "upload_file", "upload_file_async"]
    started = start_story(LOCKED, environment, prompt=a_prompt(), picture=portrait, use=(service.stack.base_url, key), steps=steps)
    told = told_by(started)

    assert [name for name, outcome in told["steps"].items() if "raised" in outcome] == []
    assert asked == []
