"""What language models read of the service: written from the registry, open, and kept by caches."""

from __future__ import annotations

import json
import re

from app.api.application import build
from app.bootstrap import Services
from app.domain import clock
from app.domain.pricing import list_price, usd_text
from registry.request import check_request
from registry.values import MAX_URL_LENGTH


def test_the_guide_needs_no_credential_and_names_every_model_with_its_price(wired: Services) -> None:
    client = build(wired.settings, wired).test_client()

    answer = client.get("/llms.txt")

    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    for spec in wired.registry:
        line = next(line for line in answer.text.splitlines() if line.startswith(f"- [{spec.name}]("))
        assert f"{usd_text(list_price(spec, clock.now()))} USD" in line
        assert client.get(f"/models/{spec.name}.md").status_code == 200


def test_each_page_shows_an_order_that_the_model_takes_and_all_its_parameters(wired: Services) -> None:
    client = build(wired.settings, wired).test_client()

    for spec in wired.registry:
        page = client.get(f"/models/{spec.name}.md").text
        found = re.search(r"-d '(.*)'", page)
        assert found is not None
        order = json.loads(found[1])
        check_request(wired.registry, order["model"], order["inputs"])
        assert all(f"- `{name}`: " in page for name in spec.params), spec.name
        assert max(map(len, page.splitlines())) < MAX_URL_LENGTH


def test_a_price_with_conditions_names_them(wired: Services) -> None:
    page = build(wired.settings, wired).test_client().get("/models/nano-banana-edit.md").text

    assert "- 0.15 USD for each image" in page
    assert '- 0.30 USD where `resolution` is "4K"' in page
    assert "- 0.015 USD more where `enable_web_search` is true" in page


def test_a_page_that_is_known_is_not_sent_again(wired: Services) -> None:
    client = build(wired.settings, wired).test_client()

    for path in ("/llms.txt", "/models/flux-pro.md"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})

        assert (again.status_code, again.data) == (304, b"")
        assert first.headers["Cache-Control"] == "public, max-age=300"


def test_an_unknown_page_names_the_near_model(wired: Services) -> None:
    answer = build(wired.settings, wired).test_client().get("/models/flux-prp.md")

    assert answer.status_code == 404
    assert "Did you mean 'flux-pro'?" in answer.get_json()["message"]
