"""Batches and spend: a table becomes orders at a price that was shown, what failed is ordered again, and the sums are those of the orders."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from app.domain import budget, clock
from app.domain.api_key import KeyTerms
from tests.acceptance.people import PASSWORD, Person, accounts_of
from tests.acceptance.service import Service, wait_until
from tests.browser.orders import ordered
from tests.browser.test_sign_in import closed_to_guests

TABLE = 'prompt,image_size,num_images\na red bicycle,square,2\n"a lighthouse, at dusk",{size},1\n'


def order_button(page: Page) -> Any:
    return page.get_by_role("button", name=re.compile(r"^Order"))


def test_a_bad_row_is_named_and_a_good_table_is_ordered_at_its_price(visitor: Any, ada: Person) -> None:
    visitor.expected = {400}
    page = visitor.open("/studio/batches/new", as_=ada)
    table = page.get_by_role("textbox", name="Table")
    page.get_by_label("Model").select_option("flux-dev")

    table.fill("words,size\na,b")
    expect(page.get_by_role("alert")).to_contain_text('one of them "prompt"')
    table.fill(TABLE.format(size="vast"))
    expect(page.locator("tr.bad")).to_have_count(1)
    expect(page.locator("tr.bad")).to_contain_text("image_size")
    expect(order_button(page)).to_be_disabled()
    table.fill(TABLE.format(size="square"))
    expect(order_button(page)).to_have_text("Order · 300 tokens")
    order_button(page).dblclick()

    expect(page.get_by_role("heading", name="2 orders")).to_be_visible()
    expect(page.locator(".orders")).to_contain_text("a lighthouse, at dusk")
    expect(page.get_by_text("2 completed")).to_be_visible()
    batches = ada.get("/api/batches").json()["batches"]
    assert [batch["counts"]["completed"] for batch in batches] == [2]
    assert ada.balance() == (700, 0)


def test_a_table_is_picked_as_a_file_and_a_broken_one_says_why(visitor: Any, ada: Person, tmp_path: Path) -> None:
    page = visitor.open("/studio/batches/new", as_=ada)
    (tmp_path / "open.csv").write_text('prompt\n"a boat')
    (tmp_path / "good.csv").write_bytes("\ufeffprompt;seed\r\nein Boot, rot;7\r\n".encode())

    page.get_by_label("Pick a file").set_input_files(tmp_path / "open.csv")
    expect(page.get_by_role("alert")).to_contain_text("never closed")
    page.get_by_label("Pick a file").set_input_files(tmp_path / "good.csv")

    expect(order_button(page)).to_have_text("Order · 100 tokens")
    expect(page.get_by_role("cell", name="ein Boot, rot")).to_be_visible()


def test_what_failed_of_a_batch_is_ordered_again_as_a_new_one(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.outcome("content_policy", promptContains="a bad boat")
    items = [{"model": "flux-dev", "inputs": {"prompt": prompt}} for prompt in ("a bad boat", "a good boat")]
    batch = ada.post("/api/images/batch", json={"items": items, "maxCost": 1}).json()["batchId"]
    wait_until(lambda: ada.get(f"/api/batches/{batch}").json()["status"] == "completed", 60, "the end of the batch")
    page = visitor.open("/studio/batches", as_=ada)

    page.get_by_role("link", name=re.compile("1 failed")).click()
    expect(page.get_by_text("of 1.00 USD")).to_be_visible()
    with page.expect_download() as table:
        page.get_by_role("button", name="CSV").click()
    assert Path(table.value.path()).read_text().count("content_policy_violation") == 1
    page.get_by_role("button", name="Retry 1 failed").click()
    page.get_by_role("button", name="Order · 100 tokens").click()

    expect(page.get_by_role("heading", name="1 order ")).to_be_visible()
    expect(page.get_by_text("1 completed")).to_be_visible()
    assert [job["config"]["inputs"]["prompt"] for job in ada.get("/api/jobs", limit=1).json()["jobs"]] == ["a bad boat"]


def test_spend_adds_up_to_what_was_ordered(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.outcome("content_policy", promptContains="a bad boat")
    ordered(ada, "a boat", "a bad boat", num_images=2)
    ordered(ada, "a house")

    page = visitor.open("/studio/spend", as_=ada)

    month = page.get_by_label("This month").first
    expect(month).to_contain_text("0.075 USD")
    expect(month).to_contain_text("3 pictures in 3 orders")
    expect(month).to_contain_text("700")
    expect(page.get_by_role("row", name="Together")).to_contain_text("0.075 USD")
    ledger = page.locator("section").filter(has=page.get_by_role("heading", name="Tokens", exact=True))
    expect(ledger.locator("tbody tr")).to_have_count(len(ada.data("/api/tokens/history", limit=100)["entries"]))
    page.get_by_label("Show").select_option("release")
    expect(ledger.locator("tbody tr").first).to_contain_text("+200")
    ledger.get_by_role("link", name="Show").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Not charged")


def test_with_a_key_all_is_there_but_tokens_and_priced_in_money(service: Service, visitor: Any) -> None:
    user = f"user-{uuid.uuid4().hex[:12]}"
    _, key = accounts_of(service).make_key("a studio's key", KeyTerms(users=(user,)))
    known = json.dumps(json.dumps({"kind": "key", "key": key, "name": "a studio's key", "userId": user}))
    visitor.page.add_init_script(f"sessionStorage.setItem('studio.session', {known})")
    page = visitor.open("/studio/batches/new")
    page.get_by_label("Model").select_option("flux-dev")
    page.get_by_role("textbox", name="Table").fill("prompt\na boat\na house")
    page.get_by_role("button", name="Order · 0.05 USD").click()
    expect(page.get_by_text("2 completed")).to_be_visible()

    page.get_by_role("link", name="Gallery").click()
    expect(page.locator(".grid .shot a")).to_have_count(2)
    page.get_by_role("link", name="Spend").click()

    expect(page.get_by_label("This month").first).to_contain_text("0.05 USD")
    expect(page.get_by_role("heading", name="Tokens")).to_have_count(0)


def test_a_budget_is_shown_with_where_it_leads(service: Service, visitor: Any, ada: Person) -> None:
    service.database["budgets"].insert_one(_budget(ada, limit=20_000_000, spent=19_000_000))

    page = visitor.open("/studio/spend", as_=ada)

    card = page.locator(".figure").filter(has=page.get_by_role("heading", name="Budget"))
    expect(card).to_contain_text("1.00 USD left of 20.00 USD")
    expect(card).to_contain_text("At this pace")


def _budget(person: Person, *, limit: int, spent: int) -> dict[str, Any]:
    month = budget.month_of(clock.now())
    sums = {"limitMicros": limit, "spentMicros": spent, "heldMicros": 0, "roomMicros": limit - spent}
    return {"_id": f"user:{person.id}", "month": month, **sums, "holds": {}, "ended": [], "isDefault": False}


def test_a_password_is_changed_and_all_sessions_are_ended(visitor: Any, ada: Person) -> None:
    closed_to_guests(visitor.page)
    page = visitor.open("/studio/spend", as_=ada)

    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Change password").click()
    page.get_by_label("Password now").fill(PASSWORD)
    page.get_by_label("New password").fill("another lighthouse at dawn")
    page.get_by_role("dialog").get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Sign out everywhere").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()

    expect(page.get_by_label("Email")).to_be_visible()
    assert ada.get("/api/auth/me").status_code == 401


def test_somebody_takes_their_data_along_and_has_it_all_deleted(visitor: Any, ada: Person) -> None:
    ordered(ada, "a boat")
    visitor.expected = {401, 404}
    closed_to_guests(visitor.page)
    page = visitor.open("/studio/spend", as_=ada)

    page.get_by_role("button", name="Account:").click()
    with page.expect_download() as data:
        page.get_by_role("button", name="Export my data").click()
    assert "a boat" in Path(data.value.path()).read_text()
    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Delete my data").click()
    expect(page.get_by_role("button", name="Delete everything for good")).to_be_disabled()
    page.get_by_role("dialog").get_by_role("textbox").fill(ada.email)
    page.get_by_role("button", name="Delete everything for good").click()

    expect(page.get_by_label("Email")).to_be_visible()
    assert ada.service.database["jobs"].count_documents({"userId": ada.id}) == 0
    assert ada.get("/api/auth/me").status_code == 401
