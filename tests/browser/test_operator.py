"""What an operator answers from the screen alone, and stops from there."""

from __future__ import annotations

import uuid
from typing import Any

from playwright.sync_api import expect

from app.domain import clock
from app.domain.api_key import KeyTerms, Scope
from app.domain.delivery import DeliveryStatus
from app.stores.deliveries import DeliveryStore, EndpointStore
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Service, a_prompt, order, wait_until
from tests.support.deliveries import a_delivery, an_endpoint
from tests.support.history import failed_copies


def summed(root: Person, by: str, key: str, jobs: int) -> None:
    """Wait until the service has counted the jobs of a user or a key: it takes seconds."""

    def found() -> bool:
        groups = root.get("/api/admin/spend", groupBy=by, limit=1000).json()["groups"]
        return any(group["key"] == key and group["jobs"] >= jobs for group in groups)

    wait_until(lambda: found() or None, 60, f"the sums of {by} {key}")


def counted(root: Person, code: str) -> int:
    """Return how many failures of a code the service has counted by now."""
    groups = root.get("/api/admin/failures").json()["groups"]
    return sum(int(group["count"]) for group in groups if group["code"] == code)


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
    wait_until(lambda: counted(root, "provider_unavailable") == len(many) or None, 60, "the sums of failures")
    wait_until(lambda: counted(root, "generation_timeout") == len(few) or None, 60, "the sums of failures")
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


def test_a_key_that_runs_wild_is_found_by_what_it_spends_and_stopped(service: Service, visitor: Any, root: Person) -> None:
    made, text = accounts_of(service).make_key(f"web shop {uuid.uuid4().hex[:8]}")
    headers = {"X-API-Key": text}
    orders = [service.client.post("/api/images/generate", json=order(a_prompt()), headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in orders] == [201] * 3
    summed(root, "key", made.id, jobs=3)
    page = visitor.open("/operator/spend?by=key&days=1", as_=root)

    row = page.get_by_role("row").filter(has_text=made.name)
    expect(row).to_contain_text("0.15 USD")
    expect(page.locator(".legend")).to_contain_text(made.name)
    row.get_by_role("link", name=made.name).click()
    expect(page.get_by_role("heading", name=made.name)).to_be_visible()
    page.get_by_role("button", name="Revoke …").click()
    page.get_by_role("button", name=f"Revoke {made.name}").click()

    expect(page.locator(".heading").get_by_text("Revoked")).to_be_visible()
    assert service.client.post("/api/images/generate", json=order(a_prompt()), headers=headers).status_code == 401


def test_who_spent_what_this_week_is_read_by_name_and_saved_as_a_table(service: Service, visitor: Any, root: Person, ada: Person) -> None:
    ada.ended(ada.ordered(ada.text()))
    summed(root, "user", ada.id, jobs=1)
    page = visitor.open("/operator/spend", as_=root)

    page.get_by_role("group", name="By").get_by_role("button", name="User").click()
    expect(page.get_by_role("row").filter(has_text=ada.email)).to_contain_text("0.05 USD")
    expect(page.get_by_role("img", name="Charged by day: at most")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export CSV").first.click()

    assert saved.value.suggested_filename == "spend-by-user.csv"
    assert ada.id in saved.value.path().read_text("utf-8")


def test_what_fal_overcharged_is_found_by_reading_its_bill(service: Service, visitor: Any, root: Person, ada: Person) -> None:
    job_id = ada.ordered(ada.text())
    ada.ended(job_id)
    # As if fal had raised its price since: 0.04 USD are billed for what was expected to cost 0.01.
    service.database["jobs"].update_one({"_id": job_id}, {"$set": {"quote.providerMicros": 10_000, "quote.providerAmount": "0.01"}})
    page = visitor.open("/operator/spend?days=1", as_=root)

    page.get_by_role("button", name="Reconcile now").click()
    row = page.get_by_role("row").filter(has_text=job_id)
    expect(row).to_contain_text("0.04 USD")
    expect(row).to_contain_text("0.03 USD")
    expect(page.get_by_text("fal has billed")).to_contain_text("more")
    row.get_by_role("link").click()

    expect(page.get_by_text("by fal's bill")).to_be_visible()


def test_a_user_is_topped_up_once_given_a_budget_and_shut_out(service: Service, visitor: Any, root: Person, ada: Person) -> None:
    page = visitor.open("/operator/users", as_=root)

    page.get_by_role("searchbox").fill(ada.email)
    page.get_by_role("link", name=ada.email).click()
    page.get_by_label("Tokens").fill("500")
    page.get_by_role("button", name="Add 500 tokens").dblclick()
    expect(page.get_by_role("status").filter(has_text="the balance is 1,500")).to_be_visible()
    page.get_by_label("Budget in USD a month").fill("2.5")
    page.get_by_role("button", name="Set 2.50 USD a month").click()
    expect(page.get_by_role("meter", name="0.00 USD of 2.50 USD")).to_be_visible()
    page.get_by_role("button", name="Disable …").click()
    page.get_by_role("button", name="Disable the user").click()
    expect(page.locator(".heading").get_by_text("Disabled")).to_be_visible()

    assert ada.get("/api/auth/me").status_code == 401
    assert service.database["accounts"].find_one({"_id": ada.id})["tokens"] == 1500


def test_a_new_key_is_shown_once_and_its_limits_hold_and_change(service: Service, visitor: Any, root: Person) -> None:
    name = f"importer {uuid.uuid4().hex[:8]}"
    page = visitor.open("/operator/keys", as_=root)

    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Models").fill("flux-dev")
    page.get_by_label("USD an order").fill("0.1")
    page.get_by_role("button", name="Make the key").click()
    text = page.get_by_label(f'The API key "{name}"').input_value()
    headers = {"X-API-Key": text}
    refused = service.client.post("/api/images/generate", json=order(a_prompt()), headers=headers)
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text(text)).to_have_count(0)
    page.get_by_role("link", name=name).click()
    page.get_by_role("button", name="Change …").click()
    page.get_by_label("Models").fill("")
    page.get_by_role("button", name="Change it at once").click()
    expect(page.get_by_text("Changed, at once.")).to_be_visible()

    allowed = service.client.post("/api/images/generate", json=order(a_prompt()), headers=headers)
    assert (refused.status_code, allowed.status_code) == (403, 201), (refused.text, allowed.text)


def test_a_model_is_imported_after_a_look_at_its_file_and_is_in_use(service: Service, visitor: Any, root: Person) -> None:
    page = visitor.open("/operator/models", as_=root)

    expect(page.get_by_role("row").filter(has_text="fal-ai/flux-pro/v1.1").first).to_contain_text("USD a")
    page.get_by_role("button", name="Import a model").click()
    page.get_by_label("Endpoint at fal").fill("fal-ai/flux/krea")
    page.get_by_label("Name here").fill("flux-krea")
    page.get_by_role("button", name="Show the file").click()
    expect(page.get_by_role("region", name="flux-krea.toml")).to_contain_text("fal-ai/flux/krea")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download flux-krea.toml").click()
    page.get_by_role("button", name="Save it here").click()

    assert "fal-ai/flux/krea" in saved.value.path().read_text("utf-8")
    expect(page.get_by_text("flux-krea is saved")).to_be_visible()
    wait_until(lambda: service.client.get("/api/images/models/flux-krea").status_code == 200 or None, 30, "the new model")


def test_a_webhook_that_fails_comes_first_is_caught_up_and_stopped_and_the_log_tells_by_whom(
    service: Service, visitor: Any, root: Person, ada: Person
) -> None:
    endpoint = an_endpoint(owner=f"user:{ada.id}", url="https://hooks.example.com/a", failing_since=clock.now(), failures=7)
    EndpointStore(service.database).insert(endpoint)
    delivery = a_delivery(endpoint, status=DeliveryStatus.FAILED)
    DeliveryStore(service.database).insert_all([delivery])
    page = visitor.open("/operator/webhooks", as_=root)

    page.get_by_role("table", name="Webhooks that fail").get_by_role("link", name=endpoint.url).click()
    expect(page.get_by_role("link", name=ada.email)).to_be_visible()
    page.get_by_role("button", name="Stop it …").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("disabled by the operator")).to_be_visible()
    page.get_by_role("button", name="Send again what was given up …").click()
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_text("1 delivery sent again.")).to_be_visible()
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("searchbox").fill(f"webhook:{endpoint.id}")

    row = page.get_by_role("row").filter(has_text="Webhook stopped")
    expect(row).to_contain_text(root.email)
    expect(page.get_by_role("row").filter(has_text="Webhook caught up")).to_contain_text("Done")
