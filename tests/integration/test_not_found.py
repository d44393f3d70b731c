"""Who asks for an address that leads nowhere is told the nearest one that does."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api.application import build
from app.api.http.not_found import nearest_to
from app.bootstrap import Services

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


@pytest.fixture
def app(services: Services) -> Flask:
    return build(services.settings, services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize(
    ("method", "path", "nearest"),
    [
        ("GET", "/api/image/models", "GET /api/images/models"),
        ("GET", "/api/images/models/", "GET /api/images/models"),
        ("GET", "/jobs/01a218a4-9921-75e8-8f68-807a806b826b", "GET /api/jobs/{job_id}"),
        ("POST", "/api/images/generates", "POST /api/images/generate"),
        ("POST", "/api/job/01a218a4-9921-75e8-8f68-807a806b826b/cancel", "POST /api/jobs/{job_id}/cancel"),
        ("GET", "/api-doc", "GET /api-docs/"),
        ("POST", "/generate", "POST /api/images/generate"),
        ("GET", "/wp-login.php", None),
        ("GET", "/api/" + "x" * 5_000, None),
    ],
)
def test_the_nearest_address_is_named(app: Flask, method: str, path: str, nearest: str | None) -> None:
    assert nearest_to(app, method, path) == nearest


def test_a_program_is_told_in_json(client: FlaskClient) -> None:
    answer = client.get("/api/image/models")

    assert (answer.status_code, answer.mimetype) == (404, "application/json")
    assert (answer.json or {})["details"] == {"nearest": "GET /api/images/models"}
    assert "The nearest is GET /api/images/models" in (answer.json or {})["message"]


def test_a_browser_gets_a_page_in_which_the_address_is_only_text(client: FlaskClient) -> None:
    answer = client.get("/api/image/<script>alert(1)</script>", headers=BROWSER)

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/v1/nowhere", "/fal/queue/", "/openai/v1/nowhere"])
def test_clients_of_other_apis_get_their_own_shape(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers=BROWSER)

    assert answer.mimetype == "application/json"
    assert "success" not in (answer.json or {})


def test_a_job_that_is_not_there_is_no_address_that_is_not_there(client: FlaskClient) -> None:
    answer = client.get("/api/jobs/01a218a4-9921-75e8-8f68-807a806b826b", headers=BROWSER)

    assert answer.mimetype == "application/json"
    assert "nearest" not in str(answer.json)


def test_addresses_at_random_keep_nobody_waiting(app: Flask) -> None:
    paths = [f"/api/images/{'ab/' * length}generat" for length in range(35)]
    nearest_to(app, "GET", "/")

    started = time.process_time()
    for path in paths:
        nearest_to(app, "GET", path)

    assert (time.process_time() - started) / len(paths) < 0.03
