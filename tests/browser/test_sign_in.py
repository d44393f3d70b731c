"""How people come into the Studio, and how they leave it."""

from __future__ import annotations

import uuid
from typing import Any

from playwright.sync_api import expect

from tests.acceptance.people import PASSWORD, Person, accounts_of
from tests.acceptance.service import Service

OPTIONS = "**/api/auth/options"
CLOSED = {"anonymous": False, "signupTokens": 1000, "tokensPerUsd": 1000}


def closed_to_guests(page: Any, registration: str = "open") -> None:
    """Let the page believe that nobody may order without a credential."""
    page.route(OPTIONS, lambda route: route.fulfill(json={**CLOSED, "registration": registration}))


def test_who_has_only_the_address_registers_and_stays_signed_in_over_a_reload(visitor: Any) -> None:
    page = visitor.page
    closed_to_guests(page)
    email = f"ada-{uuid.uuid4().hex[:12]}@example.com"

    visitor.open("/")
    page.get_by_role("button", name="Create account").first.click()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").last.click()
    expect(page.locator(".balance")).to_have_text("1,000 tokens")
    page.reload()

    expect(page.locator(".balance")).to_have_text("1,000 tokens")
    expect(page.get_by_role("navigation", name="Screens")).to_be_visible()
    assert page.url == f"{visitor.base_url}/studio"


def test_a_wrong_password_is_told_and_nothing_typed_is_lost(service: Service, visitor: Any, ada: Person) -> None:
    page = visitor.page
    closed_to_guests(page)
    visitor.expected = {401}
    visitor.open()

    page.get_by_label("Email").fill(ada.email)
    page.get_by_label("Password").fill("not it at all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("wrong")

    expect(page.get_by_label("Email")).to_have_value(ada.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".balance")).to_have_text("1,000 tokens")


def test_where_registration_is_closed_no_account_is_offered(visitor: Any) -> None:
    closed_to_guests(visitor.page, registration="closed")

    visitor.open()

    expect(visitor.page.get_by_role("button", name="Sign in")).to_have_count(1)
    expect(visitor.page.get_by_role("button", name="Create account")).to_have_count(0)


def test_a_key_that_is_pasted_serves_and_a_wrong_one_is_refused(service: Service, visitor: Any) -> None:
    page = visitor.page
    closed_to_guests(page)
    visitor.expected = {401}
    _, key = accounts_of(service).make_key("somebody's studio")
    visitor.open()

    page.get_by_role("button", name="Use an API key").click()
    page.get_by_label("API key").fill("igw_nonsense")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()

    page.get_by_role("button", name="Account: somebody's studio").click()
    expect(page.get_by_text("With an API key")).to_be_visible()


def test_signing_out_ends_the_session_here_and_at_the_service(visitor: Any, ada: Person) -> None:
    page = visitor.page
    closed_to_guests(page)
    visitor.open(as_=ada)

    page.get_by_role("button", name="Account:").click()
    with page.expect_response("**/api/auth/logout"):
        page.get_by_role("button", name="Sign out", exact=True).click()

    expect(page.get_by_label("Email")).to_be_visible()
    assert ada.get("/api/auth/me").status_code == 401
    assert page.evaluate("[sessionStorage.getItem('studio.session'), localStorage.getItem('studio.session')]") == [None, None]


def test_who_asks_for_it_stays_signed_in_beyond_the_tab_and_others_do_not(visitor: Any, ada: Person) -> None:
    page = visitor.page
    page.context.route(OPTIONS, lambda route: route.fulfill(json={**CLOSED, "registration": "open"}))

    def signed_in(*, stay: bool) -> None:
        page.get_by_label("Email").fill(ada.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Stay signed in").set_checked(stay)
        page.keyboard.press("Enter")
        expect(page.locator(".balance")).to_be_visible()

    visitor.open()
    signed_in(stay=False)
    tab = page.context.new_page()
    tab.goto(f"{visitor.base_url}/studio")
    expect(tab.get_by_label("Email")).to_be_visible()
    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    signed_in(stay=True)
    tab.reload()

    expect(tab.locator(".balance")).to_be_visible()


def test_a_guest_is_let_in_where_orders_need_no_credential(visitor: Any) -> None:
    visitor.open()

    visitor.page.get_by_role("button", name="Account: Guest").click()

    expect(visitor.page.get_by_role("button", name="Sign in")).to_be_visible()
