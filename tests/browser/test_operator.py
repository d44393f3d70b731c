"""What an operator answers from the screen alone, and stops from there."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from app.domain.account import Role
from app.domain.api_key import KeyTerms, Scope
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Service, a_prompt
from tests.support.history import failed_copies


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


def test_any_job_is_found_by_what_is_known_of_it_looked_into_and_ordered_again(
    service: Service, visitor: Any, root: Person, ada: Person
) -> None:
    prompt = f"{a_prompt()} [emulator: fail=content_policy]"
    job_id = ada.ordered(ada.text(prompt=prompt))
    ada.ended(job_id)
    request_id = service.document(job_id)["requests"][0]["requestId"]
    page = visitor.open("/operator/jobs", as_=root)

    page.get_by_role("searchbox", name="Search in everybody's jobs").fill(f"user:{ada.email} code:content_policy_violation")
    expect(page.get_by_text("1 job", exact=True)).to_be_visible()
    row = page.get_by_role("row").filter(has_text=prompt)
    expect(row).to_contain_text("content_policy_violation")
    expect(row.get_by_role("link", name=ada.email)).to_be_visible()
    page.get_by_role("searchbox").fill(f"fal:{request_id}")
    row.get_by_role("link", name=prompt).click()
    expect(page.get_by_role("heading", name=prompt)).to_be_visible()
    expect(page.get_by_text(request_id)).to_be_visible()
    expect(page.get_by_role("list").filter(has_text="Taken by fal")).to_contain_text("Finished: failed")
    page.get_by_role("button", name="Order again …").click()
    expect(page.get_by_role("button", name="Order 1 job · 100 tokens")).to_be_visible()
    page.get_by_label("You: nobody's tokens are taken").check()
    page.get_by_role("button", name="Order 1 job · 0.05 USD").click()

    expect(page.get_by_text("Retry of")).to_be_visible()
    retry = service.database["jobs"].find_one({"retryOf": job_id})
    assert retry is not None
    assert page.url.endswith(f"/operator/jobs/{retry['_id']}")
    assert ada.balance() == (1000, 0)


def test_a_job_that_runs_is_canceled_and_one_that_ended_is_deleted_by_who_is_asked_first(
    service: Service, visitor: Any, root: Person, ada: Person
) -> None:
    service.emulator.settings(queueSeconds=60)
    job_id = ada.ordered(ada.text(prompt=a_prompt()))
    page = visitor.open(f"/operator/jobs/{job_id}", as_=root)
    visitor.expected = {410}

    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".heading").get_by_text("Canceled")).to_be_visible()
    assert ada.balance() == (1000, 0)
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the job").click()

    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    assert service.client.get(f"/api/jobs/{job_id}").status_code in {404, 410}
    actions = [entry["action"] for entry in service.database["audit"].find({"subject": f"job:{job_id}"})]
    assert sorted(actions) == ["job.cancel", "job.delete"]


def test_failures_are_told_by_cause_and_many_are_ordered_again_only_after_their_number_and_price(
    service: Service, visitor: Any, root: Person, ada: Person
) -> None:
    few, many = failed_copies(service, ada, "generation_timeout", 2), failed_copies(service, ada, "provider_unavailable", 51)
    page = visitor.open("/operator/failures?days=1", as_=root)
    groups = {code: page.get_by_role("row").filter(has_text=code) for code in ("generation_timeout", "provider_unavailable")}

    expect(groups["generation_timeout"]).to_contain_text("flux-pro")
    groups["provider_unavailable"].get_by_role("checkbox").check()
    page.get_by_role("button", name="Order again … (1 group, 51 failed jobs)").click()
    order = page.get_by_role("button", name="Order 51 jobs · 2.55 USD")
    expect(order).to_be_disabled()
    page.get_by_label("Type their number, 51").fill("51")
    expect(order).to_be_enabled()
    page.get_by_role("button", name="Keep everything as it is").click()
    groups["provider_unavailable"].get_by_role("checkbox").uncheck()
    groups["generation_timeout"].get_by_role("checkbox").check()
    page.get_by_role("button", name="Order again … (1 group, 2 failed jobs)").click()
    page.get_by_role("button", name="Order 2 jobs · 0.10 USD").click()

    expect(page.get_by_role("status").filter(has_text="2 jobs ordered again.")).to_be_visible()
    assert service.database["jobs"].count_documents({"retryOf": {"$in": few}}) == len(few)
    assert service.database["jobs"].count_documents({"retryOf": {"$in": many}}) == 0
