"""The pages as files: their headers, what browsers keep, what is packed, and who switches them off."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.api import ui
from app.api.application import build
from app.bootstrap import Services

PAGE = ["/operator", "/operator/jobs/1", "/studio", "/studio/", "/studio/gallery", "/studio/images/0198a1f0-0000-7000-8000-000000000000"]


@pytest.fixture(scope="module")
def client(wired: Services) -> FlaskClient:
    return build(wired.settings, wired).test_client()


def script_of(client: FlaskClient) -> str:
    found = re.search(r'src="(/ui/[0-9a-f]+/js/studio/main\.js)"', client.get("/studio").text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", PAGE)
def test_every_screen_is_the_same_shell_with_a_strict_policy(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["frame-ancestors"]) == ("'self'", "'self'", "'none'")
    assert policy["require-trusted-types-for"] == "'script'"
    assert not any(word in answer.headers["Content-Security-Policy"] for word in ("unsafe", "*"))
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


def test_the_policy_names_where_pictures_and_events_come_from(wired: Services) -> None:
    settings = replace(wired.settings, public_url="https://images.example.com", public_asset_url="https://cdn.example.com/bucket")
    services = Services(settings)

    policy = (
        build(settings, services).test_client().get("/studio", headers={"Host": "images.example.com"}).headers["Content-Security-Policy"]
    )

    services.close()
    assert "img-src 'self' data: blob: https://cdn.example.com https://images.example.com;" in policy
    assert "connect-src 'self' wss://images.example.com;" in policy


def test_a_shell_is_asked_for_again_and_its_files_are_kept_for_good(client: FlaskClient) -> None:
    shell, script = client.get("/studio"), client.get(script_of(client))

    again = client.get("/studio", headers={"If-None-Match": shell.headers["ETag"]})
    other = client.get(re.sub("/ui/[0-9a-f]+/", "/ui/000000000000/", script_of(client)))

    assert not shell.headers["ETag"].startswith("W/")
    assert (again.status_code, again.data) == (304, b"")
    assert "Content-Security-Policy" in again.headers
    assert script.mimetype == "text/javascript"
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (other.status_code, other.headers["Cache-Control"]) == (200, "no-cache")


def test_a_file_is_packed_for_those_who_take_that_and_its_tag_tells(client: FlaskClient) -> None:
    plain = client.get(script_of(client))

    packed = client.get(script_of(client), headers={"Accept-Encoding": "gzip, br"})
    refused = client.get(script_of(client), headers={"Accept-Encoding": "gzip;q=0"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data == refused.data
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert {answer.headers["Vary"] for answer in (plain, packed)} == {"Accept-Encoding"}


@pytest.mark.parametrize("page", ["/studio", "/operator"])
def test_whatever_a_page_names_is_there(client: FlaskClient, page: str) -> None:
    named = re.findall(r'(?:src|href)="(/ui/[^"]+)"', client.get(page).text)

    assert len(named) > 3
    assert {path: client.get(path).status_code for path in named} == dict.fromkeys(named, 200)


@pytest.mark.parametrize("name", ["js/none.js", "../vendor.toml", "..%2f..%2fconfig.py", "js", ""])
def test_nothing_but_the_pages_own_files_is_served(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/ui/1/{name}")

    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["code"] == "not_found"


def test_a_page_that_changes_has_files_at_other_addresses(tmp_path: Any) -> None:
    (tmp_path / "page.html").write_text('<script src="/ui/{version}/a.js"></script>')
    (tmp_path / "a.js").write_text("1")
    before = ui.StaticFiles(tmp_path)

    (tmp_path / "a.js").write_text("2")
    after = ui.StaticFiles(tmp_path)

    assert before.version != after.version
    assert after.version.encode() in after.file("page.html").content


def test_the_front_leads_to_the_studio_and_where_it_is_off_to_the_documents(wired: Services) -> None:
    on = build(wired.settings, wired).test_client()
    off = build(replace(wired.settings, studio="off"), wired).test_client()

    assert (on.get("/").status_code, on.get("/").headers["Location"]) == (302, "/studio")
    assert (off.get("/").status_code, off.get("/").headers["Location"]) == (302, "/api-docs/")
    assert [off.get(path).status_code for path in ("/studio", "/studio/gallery", "/operator", "/ui/1/js/api.js")] == [404] * 4


def test_pages_are_no_part_of_the_apis_document(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json

    assert document is not None
    assert not [path for path in document["paths"] if path.startswith(("/studio", "/operator", "/ui"))]


def test_what_others_wrote_is_as_their_packages_have_it() -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")

    done = subprocess.run([sys.executable, "-m", "scripts.vendoring", "--check"], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
