"""From which pages, and under which names, the service may be called; what its own pages may do."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from app.api.application import build
from app.api.http.access import open_to_all
from app.api.http.origins import MAX_NAMED, Origins
from app.bootstrap import Services
from app.config import load_settings
from tests.support.services import with_parts

OURS, THEIRS = "https://app.example.com", "https://evil.example"
ENVIRONMENT = {
    "MONGODB_URI": "mongodb://localhost/imagegw",
    "REDIS_URL": "redis://localhost",
    "STORAGE_URL": "file:///tmp",
    "FAL_KEY": "a:b",
    "JWT_SECRET": "x" * 32,
}


def client_of(services: Services, **changes: object) -> FlaskClient:
    settings = replace(services.settings, **changes)  # type: ignore[arg-type]
    return build(settings, with_parts(services, settings=settings)).test_client()


@pytest.mark.parametrize("text", [OURS, f"{OURS}/", "HTTPS://App.Example.com", f"{OURS}:443", f" {OURS} ,"])
def test_an_origin_is_read_as_browsers_spell_it(text: str) -> None:
    assert load_settings({**ENVIRONMENT, "CORS_ORIGINS": text}).cors_origins == (OURS,)


def test_a_page_of_a_known_origin_may_call_and_another_is_named_in_the_log_once(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(services, cors_origins=(OURS,))

    known = client.get("/healthz", headers={"Origin": OURS})
    unknown = [client.get("/healthz", headers={"Origin": THEIRS}) for _ in range(3)]

    assert known.headers["Access-Control-Allow-Origin"] == OURS
    assert all("Access-Control-Allow-Origin" not in answer.headers for answer in unknown)
    assert [record.getMessage() for record in caplog.records if "origin" in record.getMessage()] == [
        f"refused the origin {THEIRS}: it is not in CORS_ORIGINS"
    ]


@pytest.mark.parametrize("allowed", [(), (OURS,)])
def test_the_services_own_pages_may_always_connect(allowed: tuple[str, ...]) -> None:
    origins = Origins(allowed)
    environ = {"HTTP_HOST": "images.example.com"}

    assert origins.accepts("https://images.example.com", environ)
    assert origins.accepts("http://images.example.com", environ)
    assert not origins.accepts("https://images.example.com.evil.example", environ)
    assert not origins.accepts("null", environ)
    assert origins.accepts(None, environ)
    assert origins.accepts(OURS, environ) is bool(allowed)


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:8080", "https://localhost", "http://[::1]:5173", "HTTP://LOCALHOST:1"]
)
def test_in_development_pages_of_any_local_port_may_call_and_never_in_production(services: Services, origin: str) -> None:
    here, there = client_of(services, app_env="development"), client_of(services, app_env="production")

    allowed, refused = (client.get("/healthz", headers={"Origin": origin}).headers for client in (here, there))

    assert (allowed["Access-Control-Allow-Origin"], allowed["Vary"]) == (origin, "Origin")
    assert "Access-Control-Allow-Origin" not in refused
    assert here.application.extensions["origins"].accepts(origin, {})
    assert not there.application.extensions["origins"].accepts(origin, {})


@pytest.mark.parametrize(
    "origin",
    ["http://localhost.evil.example", "http://localhost:5000.evil.example", "http://evil.example/localhost", "file://localhost", "null"],
)
def test_in_development_what_only_looks_local_may_not_call(services: Services, origin: str) -> None:
    client = client_of(services, app_env="development")

    assert "Access-Control-Allow-Origin" not in client.get("/healthz", headers={"Origin": origin}).headers
    assert not client.application.extensions["origins"].accepts(origin, {})


@pytest.mark.parametrize("path", ["/api/images/generate", "/generate/image-reference"])
def test_what_a_preflight_has_answered_may_be_kept(services: Services, path: str) -> None:
    asked = {"Origin": OURS, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}

    answer = client_of(services, cors_origins=(OURS,)).options(path, headers=asked)

    assert (answer.status_code, answer.headers["Access-Control-Max-Age"]) == (200, "7200")
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"


def test_an_answer_without_content_has_no_type(services: Services) -> None:
    app = build(services.settings, services)
    app.add_url_rule("/nothing", "nothing", open_to_all(lambda: ("", 204)))

    assert "Content-Type" not in app.test_client().get("/nothing").headers


def test_a_flood_of_origins_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    origins = Origins([])

    for number in range(MAX_NAMED + 50):
        origins.accepts(f"https://{number}.example", {})

    assert len(caplog.records) == MAX_NAMED


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000", "localhost.", "images.lan", "hooks.example.com"]
)
def test_while_anybody_may_call_the_services_own_names_are_answered(services: Services, host: str) -> None:
    client = client_of(
        services, allow_anonymous=True, allowed_hosts=frozenset({"images.lan"}), public_url="https://hooks.example.com/gateway"
    )

    assert client.get("/api/images/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:5000"])
def test_while_anybody_may_call_another_name_is_421(services: Services, host: str) -> None:
    client = client_of(services, allow_anonymous=True)

    answer = client.get("/api/images/models", headers={"Host": host})

    assert answer.status_code == 421
    assert answer.json is not None
    assert (answer.json["code"], answer.json["success"]) == ("misdirected_request", False)


def test_where_everybody_needs_a_credential_the_name_does_not_matter(services: Services) -> None:
    client = client_of(services)

    assert client.get("/api/images/models", headers={"Host": "evil.example"}).status_code == 401


def test_a_bad_credential_is_401_also_where_none_is_needed(services: Services) -> None:
    client = client_of(services, allow_anonymous=True)

    assert client.get("/api/images/models", headers={"Host": "evil.example", "X-API-Key": "nonsense"}).status_code == 401
    assert client.get("/api/images/models", headers={"X-API-Key": "igk_0123456789abcdef_x"}).status_code == 401


def test_the_docs_may_run_their_own_scripts_and_nothing_else(services: Services) -> None:
    answer = client_of(services).get("/api-docs/")

    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    (script,) = re.findall(rb"<script>(.*?)</script>", answer.data, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
