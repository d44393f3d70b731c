"""An answer that is waited for outside of its view: it must look, be counted and fail like any other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from flask import Flask, Response, g, has_request_context, jsonify, request
from flask.testing import FlaskClient

from app.api.http import errors, requests
from app.api.http.deferred import Deferred
from app.domain.errors import NotFound, StoreUnavailable

BODY = {"prompt": "x" * 10_000}


class Site:
    """A small application with the service's own hooks and error bodies, and one route that waits."""

    def __init__(self) -> None:
        self.wait: Callable[[], str] = lambda: "done"
        self.answer: Callable[[str], Response] = lambda outcome: jsonify({"outcome": outcome, "requestId": g.request_id})
        self.seen: list[tuple[type[Response], int]] = []
        self.environ: dict[str, object] = {}
        self.app = Flask("site")
        self.app.add_url_rule("/wait", "wait", self._view, methods=["POST"])
        requests.init_app(self.app)
        errors.init_app(self.app)
        self.app.after_request(self._observed)

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def _view(self) -> Response:
        request.get_json()
        self.environ = request.environ
        return Deferred(self.wait, self.answer)

    def _observed(self, response: Response) -> Response:
        self.seen.append((type(response), response.status_code))
        if isinstance(response, Deferred):
            response.headers["X-Known"] = "early"
        return response


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_answer_has_the_requests_own_id_and_the_headers_that_were_known_before(site: Site) -> None:
    answer = site.client().post("/wait", json=BODY, headers={"X-Request-Id": "mine-1"})

    assert (answer.status_code, answer.get_json()) == (200, {"outcome": "done", "requestId": "mine-1"})
    assert (answer.headers["X-Request-Id"], answer.headers["X-Known"]) == ("mine-1", "early")
    assert answer.headers.getlist("Content-Type") == ["application/json"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_while_it_is_waited_for_there_is_no_context_and_no_body(site: Site) -> None:
    found: dict[str, object] = {}

    def wait() -> str:
        found["context"] = has_request_context()
        found["request"] = site.environ.get("werkzeug.request")
        return "done"

    site.wait = wait

    site.client().post("/wait", json=BODY)

    assert found == {"context": False, "request": None}


@pytest.mark.parametrize(("trouble", "status"), [(StoreUnavailable("no store"), 503), (NotFound("gone"), 404), (KeyError("bug"), 500)])
@pytest.mark.parametrize("where", ["wait", "answer"])
def test_what_is_raised_is_answered_like_an_error_of_the_view(site: Site, where: str, trouble: Exception, status: int) -> None:
    def fails(*_: str) -> str:
        raise trouble

    setattr(site, where, fails)

    answer = site.client().post("/wait", json=BODY, headers={"X-Request-Id": "mine-2"})

    assert answer.status_code == status
    assert answer.get_json()["requestId"] == "mine-2"
    assert answer.get_json()["success"] is False


def test_it_is_logged_once_with_its_final_status_and_the_whole_time(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    threading.Timer(0.35, done.set).start()
    site.wait = lambda: str(done.wait(30))

    with caplog.at_level(logging.INFO, "http"):
        site.client().post("/wait", json=BODY)

    lines = [record for record in caplog.records if record.name == "http"]
    assert [(line.getMessage(), line.status) for line in lines] == [("POST /wait 200", 200)]  # type: ignore[attr-defined]
    assert lines[0].seconds >= 0.3  # type: ignore[attr-defined]
    assert site.seen == [(Deferred, 200), (Response, 200)]


def test_a_body_that_is_refused_is_never_waited_for(site: Site) -> None:
    site.wait = lambda: pytest.fail("waited")

    answer = site.client().post("/wait", data=b"{", content_type="application/json")

    assert answer.status_code == 400
