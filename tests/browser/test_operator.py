"""What an operator answers from the screen alone, and stops from there."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from app.domain.account import Role
from app.domain.api_key import KeyTerms, Scope
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Service


@pytest.fixture
def root(service: Service) -> Person:
    """An administrator, who signed in before it became one."""
    person = Person(service, "root")
    accounts_of(service).change(person.id, role=Role.ADMIN)
    return person


def test_only_administrators_and_keys_of_scope_admin_see_the_page_and_others_are_told(service: Service, visit: Any, ada: Person) -> None:
    plain, guest, keyed = visit(), visit(), visit()
    _, text = accounts_of(service).make_key("operators", KeyTerms(scopes=(Scope.ADMIN,)))

    plain.open("/operator", as_=ada)
    expect(plain.page.get_by_role("heading", name="This account may not see this page")).to_be_visible()
    expect(plain.page.get_by_text(f"python -m app users set-role {ada.email} admin")).to_be_visible()
    expect(plain.page.get_by_role("navigation")).to_have_count(0)
    guest.open("/operator/jobs")
    expect(guest.page.get_by_text("For administrators, and API keys of scope admin")).to_be_visible()
    keyed.open("/operator")
    keyed.page.get_by_role("button", name="Use an API key").click()
    keyed.page.get_by_label("API key").fill(text)
    keyed.page.get_by_role("button", name="Use this key").click()

    expect(keyed.page.get_by_role("heading", name="Now", level=1)).to_be_visible()
    expect(keyed.page.get_by_role("list", name="Figures")).to_contain_text("Jobs in flight")


def test_now_tells_how_the_service_is_and_is_asked_again_until_it_is_paused(visitor: Any, root: Person) -> None:
    page = visitor.open("/operator", as_=root)

    expect(page.get_by_text("Nothing needs you.")).to_be_visible()
    expect(page.get_by_role("list", name="Figures").locator("li").filter(has_text="Watcher")).to_contain_text("at work")
    with page.expect_response("**/api/admin/status"):
        expect(page.get_by_text("as of")).to_be_visible()
    page.get_by_role("button", name="Pause").click()

    expect(page.get_by_role("button", name="Go on")).to_have_attribute("aria-pressed", "true")
