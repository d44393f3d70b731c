"""`/api-docs` in a browser, as somebody sees it who wants to try the service."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.people import Person
from tests.acceptance.service import Service
from tests.support.browser import chromium, page_of
from tests.support.factories import picture

GENERATE = "#operations-images-post_api_images_generate"
#: What somebody would have to scroll for, sideways.
BEYOND = "found => found.filter((each) => each.getBoundingClientRect().right > innerWidth).map((each) => each.outerHTML)"
REFERENCE = "#operations-generations-post_api_generate_image_reference"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def opened(page: Page, operation: str) -> None:
    page.click(f"#operations-tag-{operation.split('-')[1]}")
    page.click(f"{operation} .opblock-summary-control")
    page.click(f"{operation} .try-out__btn")


def executed(page: Page, operation: str) -> tuple[str, str]:
    """Press Execute; return the status that the page shows, and the body."""
    page.click(f"{operation} .execute")
    live = page.locator(f"{operation} .live-responses-table .response")
    return live.locator(".response-col_status").inner_text(), live.locator(".highlight-code").first.inner_text()


def test_the_page_opens_without_a_warning_and_sends_an_order_as_it_stands(service: Service, browser: Browser) -> None:
    with page_of(browser) as (page, errors):
        hosts = set()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))

        page.goto(f"{service.stack.base_url}/api-docs/")
        opened(page, GENERATE)
        headers = page.locator(f"{GENERATE} tr[data-param-in=header]").evaluate_all("rows => rows.map((row) => row.dataset.paramName)")
        status, body = executed(page, GENERATE)

        assert urlsplit(page.url).path == "/api-docs/"
        assert page.get_by_text("jsonSchemaDialect").count() == 0
        assert headers == ["Idempotency-Key", "Prefer"]
        assert status == "201", body
        assert hosts - {""} == {urlsplit(service.stack.base_url).netloc}
        assert errors == []


def test_on_a_telephone_who_has_logged_in_sends_a_reference_by_choosing_a_file(service: Service, browser: Browser) -> None:
    ada = Person(service)
    with page_of(browser, width=360, height=780) as (page, errors):
        page.goto(f"{service.stack.base_url}/api-docs/")
        page.click(".btn.authorize")
        schemes = page.locator(".auth-container h4").all_inner_texts()
        page.fill("#auth-bearer-value", ada.token)
        page.click(".auth-container:has(#auth-bearer-value) .auth.authorize")
        page.click(".btn-done")
        opened(page, REFERENCE)
        page.set_input_files(f"{REFERENCE} input[type=file]", {"name": "me.png", "mimeType": "image/png", "buffer": picture()})

        status, body = executed(page, REFERENCE)

        assert [scheme.split()[0] for scheme in schemes] == ["bearer", "apiKey"]
        assert status == "202", body
        assert page.locator(f"{REFERENCE} :is(input, select, button)").evaluate_all(BEYOND) == []
        assert errors == []
