"""The class at the end of the web app's own document, as it stands there, in a browser, in a page of another address."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import socketio
from playwright.sync_api import Browser

from tests.acceptance.people import Person
from tests.acceptance.service import Service
from tests.support.browser import chromium, page_of
from tests.support.listeners import listening
from tests.support.node import SCRIPTS, node_folder

DOCUMENT = Path(__file__).parent / "contract" / "image-reference-api.md"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the class, as it stands in the document, in a page of another port."""
    (script,) = re.findall(r"^(class ImageReferenceAPI \{\n.*?^\}$)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    folder = tmp_path_factory.mktemp("front-end")
    client = node_folder() / "node_modules" / "socket.io-client" / "dist" / "socket.io.js"
    for name, content in (
        ("class.js", script),
        ("socket.io.js", client.read_text()),
        ("index.html", (SCRIPTS / "front_end.html").read_text()),
    ):
        (folder / name).write_text(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.mark.parametrize("path", ["", "/api"])
def test_the_class_works_unchanged_with_one_address_for_fetch_and_events(
    service: Service, page_address: str, browser: Browser, path: str
) -> None:
    ada = Person(service)

    with page_of(browser) as (page, errors):
        page.goto(page_address)
        found = page.evaluate("([address, token]) => run(address, token)", [service.stack.base_url + path, ada.token])

    answers = [found["first"], found["second"]]
    ids = [answer["data"]["generationId"] for answer in answers]
    stories = [[told for told in found["told"] if told["id"] == generation_id] for generation_id in ids]
    assert [answer["data"]["metadata"]["uploadedNewImage"] for answer in answers] == [True, False]
    assert [len(story[-1]["images"]) for story in stories] == [2, 1]
    for story in stories:
        progress = [told["progress"] for told in story[:-1]]
        assert progress == sorted(progress)
        assert progress[0] == 0
    assert found["widths"] == [1024] * 3
    assert errors == []


@pytest.mark.parametrize("path", ["/text-to-image", "/image-reference", "/my-generations", "/queue/01a1fbb9-ae99-76ef-85b8-99f0e4849dc8"])
def test_without_its_first_part_an_address_is_no_more_open(service: Service, path: str) -> None:
    method = "POST" if "-image" in path or "reference" in path else "GET"

    short, whole = (service.client.request(method, start + path) for start in ("/generate", "/api/generate"))

    assert short.status_code == whole.status_code == 401
    assert short.headers["WWW-Authenticate"] == whole.headers["WWW-Authenticate"]


def test_an_order_repeated_at_the_other_address_is_one_order(service: Service) -> None:
    ada = Person(service)
    body, key = {"prompt": "a lighthouse in a storm"}, {"Idempotency-Key": "one"}

    answers = [ada.post(f"{start}/text-to-image", json=body, headers=key) for start in ("/generate", "/api/generate")]

    ids = [ada.ordered(answer) for answer in answers]
    assert ids[0] == ids[1]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert len(ada.get("/generate/my-generations").json()["data"]["results"]) == 1


def test_a_bad_token_hears_nothing_in_either_namespace(service: Service) -> None:
    for namespace in ("/", "/api"):
        with pytest.raises(socketio.exceptions.ConnectionError), listening(address_of(service), {"token": "nonsense"}, namespace=namespace):
            pass


def test_both_namespaces_hear_the_same_and_only_of_their_own_user(service: Service) -> None:
    ada, grace = Person(service), Person(service, "grace")
    with ExitStack() as opened:
        heard, same, hers = (
            opened.enter_context(listening(address_of(service), {"token": who.token}, namespace=namespace))
            for who, namespace in ((ada, "/"), (ada, "/api"), (grace, "/api"))
        )

        first, second = ada.ordered(ada.text()), grace.ordered(grace.text())
        story = heard.until_end_of(first)
        hers.until_end_of(second)

        assert same.until_end_of(first) == story
        assert {data["jobId"] for _, data in hers.events} == {second}


def test_who_comes_back_in_the_other_namespace_is_sent_what_it_missed(service: Service) -> None:
    ada = Person(service)
    generation_id = ada.ordered(ada.text())
    ada.ended(generation_id)

    with listening(address_of(service), {"token": ada.token, "since": {generation_id: 1}}, namespace="/api") as heard:
        story = heard.until_end_of(generation_id)

    assert [data["seq"] for _, data in story] == list(range(2, len(story) + 2))


def address_of(service: Service) -> str:
    return service.stack.base_urls[0]
