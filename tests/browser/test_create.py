"""Ordering in the Studio: the form, its price, the order, and what becomes of it on the screen."""

from __future__ import annotations

import base64
import re
import uuid
from typing import Any

from playwright.sync_api import Locator, Page, expect

from app.domain.api_key import KeyTerms, Scope
from tests.acceptance.people import PASSWORD, Person, accounts_of
from tests.acceptance.service import Service, a_prompt, wait_until
from tests.support.factories import picture

DROP = """([zone, name, type, bytes, size]) => {
  const transfer = new DataTransfer();
  const content = Uint8Array.from(atob(bytes), (each) => each.charCodeAt(0));
  transfer.items.add(new File([content, new Uint8Array(Math.max(0, size - content.length))], name, {type}));
  for (const kind of ['dragover', 'drop']) zone.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""


def dropped(page: Page, content: bytes, name: str = "me.png", size: int = 0) -> None:
    """Drop a file on the place for pictures, zeros behind its content where it is to be larger."""
    zone = page.locator("[data-drop]").first.element_handle()
    page.evaluate(DROP, [zone, name, "image/png", base64.b64encode(content).decode(), size])


def button(page: Page) -> Locator:
    """Return the button that orders."""
    return page.locator(".order button[type=submit]")


def ordered(page: Page, prompt: str, price: str = "100 tokens") -> Locator:
    """Write a prompt, wait for the price and order; return what the strip shows of it."""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(button(page)).to_have_text(f"Generate · {price}")
    button(page).click()
    return strip(page, prompt)


def strip(page: Page, prompt: str) -> Locator:
    return page.locator(".job").filter(has_text=prompt)


def delivered(job: Locator, count: int = 1) -> None:
    expect(job.locator(".tile img")).to_have_count(count)
    expect(job.locator(".picture.there")).to_have_count(count)


def jobs_of(service: Service, person: Person) -> list[dict[str, Any]]:
    return list(service.database["jobs"].find({"userId": person.id}))


def test_who_has_only_the_address_gets_to_a_picture_in_three_steps(visitor: Any) -> None:
    prompt = a_prompt()
    page = visitor.page
    options = {"registration": "open", "anonymous": False, "signupTokens": 1000, "tokensPerUsd": 1000}
    page.route("**/api/auth/options", lambda route: route.fulfill(json=options))

    visitor.open("/")
    page.get_by_role("button", name="Create account").first.click()
    page.get_by_label("Email").fill(f"new-{uuid.uuid4().hex[:12]}@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    job = ordered(page, prompt)

    delivered(job)


def test_an_order_shows_its_place_at_once_and_then_its_picture_by_events(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.settings(seconds=0.6)
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    polled: list[str] = []
    page.on("request", lambda request: polled.append(request.url))

    job = ordered(page, prompt)
    expect(job.locator(".tile.coming")).to_have_count(1)
    delivered(job)

    expect(job).to_contain_text("100 tokens")
    expect(page.locator(".balance")).to_have_text("900 tokens")
    assert job.locator(".tile").get_attribute("href", timeout=1000).startswith("/studio/gallery?picture=")
    assert len([url for url in polled if re.search(r"/api/jobs/[0-9a-f-]{36}$", url)]) == 1  # Its end; all before came by Socket.IO.


def test_several_pictures_have_a_place_each_and_the_price_follows_the_form(visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    expect(button(page)).to_have_text("Generate · 100 tokens")

    page.get_by_label("How many", exact=True).fill("3")
    page.get_by_role("radio", name="Square", exact=True).check()
    job = ordered(page, prompt, "300 tokens")

    delivered(job, 3)
    sizes = job.locator("img").evaluate_all("all => all.map((each) => each.naturalWidth === each.naturalHeight)")
    assert sizes == [True] * 3


def test_a_dearer_option_has_its_price_on_the_button_and_is_what_the_job_costs(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    page.get_by_role("radio", name="nano-banana-edit").check()
    dropped(page, picture())
    expect(page.locator(".chosen img")).to_be_visible()
    page.locator("summary").click()
    page.get_by_role("radio", name="4K").check()

    job = ordered(page, prompt, "300 tokens")

    delivered(job)
    expect(page.locator(".balance")).to_have_text("700 tokens")


def test_a_reload_in_the_middle_finds_the_order_again(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.settings(seconds=2)
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    job = ordered(page, prompt)
    expect(job.locator(".tile.coming")).to_have_count(1)

    page.reload()

    expect(strip(page, prompt).locator(".tile.coming")).to_have_count(1)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(prompt)
    delivered(strip(page, prompt))
    assert len(jobs_of(service, ada)) == 1


def test_a_double_click_buys_once_also_where_the_answer_is_slow_or_fast(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(button(page)).to_have_text("Generate · 100 tokens")

    button(page).dblclick(delay=20)
    delivered(strip(page, prompt))
    expect(button(page)).to_have_text("Generate · 100 tokens")

    assert len(service.posts(prompt)) == 1
    assert len(jobs_of(service, ada)) == 1


def test_the_same_form_ordered_again_afterwards_is_another_order(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    ordered(page, prompt)
    expect(button(page)).to_have_text("Generate · 100 tokens")

    button(page).click()

    expect(strip(page, prompt)).to_have_count(2)
    wait_until(lambda: len(service.posts(prompt)) == 2, 30, "the second order")


def test_an_order_whose_answer_was_lost_is_sent_again_and_bought_once(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    visitor.offline = True
    page = visitor.open(as_=ada)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(button(page)).to_have_text("Generate · 100 tokens")

    def lose_the_answer(route: Any) -> None:
        route.fetch()
        route.abort("failed")

    page.route("**/api/images/generate", lose_the_answer, times=1)
    button(page).click()
    expect(page.locator(".refusal")).to_contain_text("cannot be reached")
    button(page).click()

    delivered(strip(page, prompt))
    assert len(jobs_of(service, ada)) == 1
    assert len(service.posts(prompt)) == 1


def test_a_network_that_goes_and_comes_back_loses_neither_the_form_nor_the_job(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.settings(seconds=1.5)
    prompt, later = a_prompt(), a_prompt()
    visitor.offline = True
    page = visitor.open(as_=ada)
    job = ordered(page, prompt)
    expect(job.locator(".tile.coming")).to_have_count(1)

    page.context.set_offline(True)
    page.get_by_label("Prompt", exact=True).fill(later)
    page.get_by_label("How many", exact=True).fill("2")
    expect(page.locator("#order-reason")).to_contain_text("cannot be reached")
    page.context.set_offline(False)

    expect(button(page)).to_have_text("Generate · 200 tokens")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(later)
    delivered(job)


def test_who_has_too_few_tokens_is_told_before_anything_is_sent(service: Service, visitor: Any, ada: Person) -> None:
    ada.spend_down_to(50)
    page = visitor.open(as_=ada)

    page.get_by_label("Prompt", exact=True).fill(a_prompt())

    expect(page.locator("#order-reason")).to_have_text("This needs 100 tokens, and you have 50 tokens.")
    expect(button(page)).to_be_disabled()
    assert jobs_of(service, ada) == []


def test_what_the_model_refuses_is_said_in_words_is_not_charged_and_can_be_tried_again(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)

    job = ordered(page, f"{prompt} [emulator: fail=content_policy]")
    expect(job.locator(".ended")).to_contain_text("The model refused this")
    expect(job.locator(".ended")).to_contain_text("not charged")
    expect(page.locator(".balance")).to_have_text("1,000 tokens")
    job.get_by_role("button", name="Try again · 100 tokens").click()

    wait_until(lambda: len(jobs_of(service, ada)) == 2, 30, "the second try")
    expect(strip(page, prompt)).to_have_count(1)


def test_an_order_that_waits_is_canceled_and_free(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.settings(queueSeconds=30)
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    job = ordered(page, prompt)
    expect(page.locator(".balance")).to_have_text("900 tokens")

    job.get_by_role("button", name="Cancel").click()

    expect(job.locator(".ended")).to_contain_text("Canceled")
    expect(page.locator(".balance")).to_have_text("1,000 tokens")


def test_the_seed_and_all_settings_of_an_order_are_taken_over(visitor: Any, ada: Person) -> None:
    first, second = a_prompt(), a_prompt()
    page = visitor.open(as_=ada)
    page.locator("summary").click()
    page.get_by_label("Seed", exact=True).fill("4711")
    job = ordered(page, first)
    delivered(job)

    page.get_by_role("button", name="Let the seed be another each time").click()
    page.get_by_label("Prompt", exact=True).fill(second)
    job.get_by_role("button", name="Use seed 4711").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("4711")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(second)
    job.get_by_role("button", name="Use all settings").click()

    expect(page.get_by_label("Prompt", exact=True)).to_have_value(first)


def test_a_picture_that_is_dropped_becomes_the_reference_of_an_order(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    page.get_by_role("radio", name="After a reference").check()
    page.get_by_role("radio", name="Face Keeps").check()
    dropped(page, picture(), name="صورتي.png")
    expect(page.locator(".chosen img")).to_be_visible()
    expect(page.locator(".chosen figcaption")).to_contain_text("صورتي.png")

    job = ordered(page, prompt, "150 tokens")

    delivered(job)
    (found,) = ada.data("/api/generate/my-generations")["results"]
    assert found["metadata"]["referenceType"] == "face"
    assert ada.data("/api/uploads", purpose="generation_input")["uploads"][0]["fileName"] == "صورتي.png"


def test_files_that_are_no_pictures_or_too_large_are_refused_in_words_and_never_sent(visitor: Any, ada: Person) -> None:
    page = visitor.open(as_=ada)
    prompt = a_prompt()
    page.get_by_role("radio", name="flux-dev-image-to-image").check()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/api/uploads") else None)

    dropped(page, b"just some words", name="notes.png")
    expect(page.locator(".chosen")).to_contain_text("This file is no picture")
    page.get_by_role("button", name="Remove notes.png").click()
    dropped(page, picture(), name="large.png", size=11 * 1024 * 1024)
    expect(page.locator(".chosen")).to_contain_text("11.0 MB; a picture may have 10 MB")

    expect(button(page)).to_be_enabled()
    expect(page.locator("#order-reason")).to_have_text("Add a picture.")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(prompt)
    assert sent == []


def test_a_picture_that_only_the_service_can_refuse_is_refused_in_its_words(visitor: Any, ada: Person) -> None:
    visitor.expected = {400}
    page = visitor.open(as_=ada)
    page.get_by_role("radio", name="flux-dev-image-to-image").check()

    dropped(page, picture(size=(8, 8)), name="tiny.png")

    expect(page.locator(".chosen")).to_contain_text("32")


def test_who_has_no_account_sends_pictures_along_with_the_order(service: Service, visitor: Any) -> None:
    prompt = a_prompt()
    page = visitor.open()
    page.get_by_role("radio", name="flux-dev-image-to-image").check()
    dropped(page, picture())

    job = ordered(page, prompt, "0.03 USD")

    delivered(job)
    assert service.posts(prompt)[0]["arguments"]["image_url"]


def test_markup_in_a_prompt_stays_words(visitor: Any, ada: Person) -> None:
    prompt = f"<img src=x onerror=alert(1)><script>alert(2)</script> & {a_prompt()}"
    page = visitor.open(as_=ada)
    page.on("dialog", lambda dialog: dialog.accept())

    job = ordered(page, prompt)

    delivered(job)
    expect(job.locator(".prompt")).to_have_text(prompt)
    assert page.evaluate("document.querySelectorAll('script:not([src]), img[onerror]').length") == 0


def test_a_session_that_ends_in_the_middle_asks_for_the_password_and_keeps_what_was_typed(
    service: Service, visitor: Any, ada: Person
) -> None:
    visitor.expected = {401}
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(button(page)).to_have_text("Generate · 100 tokens")
    assert ada.post("/api/auth/logout").status_code == 200

    button(page).click()
    dialog = page.get_by_role("dialog", name="Sign in again")
    expect(dialog.get_by_label("Email")).to_have_value(ada.email)
    dialog.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)

    expect(page.get_by_label("Prompt", exact=True)).to_have_value(prompt)
    expect(button(page)).to_have_text("Generate · 100 tokens")
    button(page).click()
    delivered(strip(page, prompt))
    assert len(jobs_of(service, ada)) == 1


def test_everything_can_be_done_by_keyboard(visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    expect(button(page)).to_have_text("Generate · 100 tokens")
    keyboard = page.keyboard

    keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(page.get_by_role("radio", name="flux-pro")).to_be_focused()
    keyboard.press("ArrowUp")
    expect(page.get_by_role("radio", name="flux-lora")).to_be_checked()
    keyboard.press("ArrowDown")
    page.get_by_label("Prompt", exact=True).focus()
    keyboard.type(prompt)
    expect(button(page)).to_have_text("Generate · 100 tokens")
    keyboard.press("Control+Enter")

    delivered(strip(page, prompt))
    keyboard.press("Control+A")
    keyboard.press("Delete")
    keyboard.press("ArrowUp")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(prompt)


def test_what_is_missing_is_said_at_its_field_which_gets_the_focus(visitor: Any, ada: Person) -> None:
    page = visitor.open(as_=ada)
    expect(button(page)).to_have_text("Generate · 100 tokens")

    button(page).click()

    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    expect(page.locator("#field-prompt-error")).to_have_text("Say what you want to see.")
    expect(page.get_by_label("Prompt", exact=True)).to_have_attribute("aria-invalid", "true")


def test_what_the_service_refuses_is_said_at_its_field(visitor: Any, ada: Person) -> None:
    visitor.expected = {400}
    page = visitor.open(as_=ada)
    page.get_by_label("Prompt", exact=True).fill(a_prompt())

    page.get_by_role("radio", name="Own size").check()
    page.get_by_label("Width").fill("9000")
    page.get_by_label("Height").fill("9000")

    expect(page.locator("#field-image_size-error")).to_contain_text("megapixels")
    expect(button(page)).to_be_disabled()


def test_two_users_see_nothing_of_each_other(service: Service, visit: Any, ada: Person) -> None:
    grace = Person(service, "grace")
    first, second = a_prompt(), a_prompt()
    one, other = visit(), visit()
    one.open(as_=ada)
    other.open(as_=grace)

    delivered(ordered(one.page, first))
    delivered(ordered(other.page, second))

    for mine, own, foreign in ((one.page, first, second), (other.page, second, first)):
        mine.reload()
        delivered(strip(mine, own))
        expect(strip(mine, foreign)).to_have_count(0)


def test_who_signs_out_leaves_nothing_for_the_next(service: Service, visitor: Any, ada: Person) -> None:
    prompt = a_prompt()
    page = visitor.open(as_=ada)
    delivered(ordered(page, prompt))

    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.get_by_label("Email").fill(Person(service, "grace").email)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")

    expect(page.get_by_text("Your pictures appear here")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("")
    assert prompt not in page.content()


def test_a_picture_from_before_is_taken_for_the_next_order(service: Service, visitor: Any, ada: Person) -> None:
    first, second = a_prompt(), a_prompt()
    page = visitor.open(as_=ada)
    delivered(ordered(page, first))
    page.get_by_role("radio", name="flux-dev-image-to-image").check()

    page.get_by_role("button", name="Take one of my pictures").click()
    page.get_by_role("button", name="Take picture 1").click()
    expect(page.locator(".chosen img")).to_be_visible()
    job = ordered(page, second, "150 tokens")

    delivered(job)
    before, after = ada.get("/api/jobs").json()["jobs"][::-1]
    assert after["config"]["inputs"]["image_url"] == f"upload:{before['images'][0]['imageId']}"


def test_a_key_that_may_only_read_is_told_so_on_the_button(service: Service, visitor: Any) -> None:
    _, key = accounts_of(service).make_key("somebody's eyes", KeyTerms(scopes=(Scope.READ,)))
    page = visitor.open()
    page.get_by_role("button", name="Account: Guest").click()
    page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Use an API key").click()
    dialog.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)

    page.get_by_label("Prompt", exact=True).fill(a_prompt())

    expect(page.locator("#order-reason")).to_have_text("This key may look, and not order.")
    expect(button(page)).to_be_disabled()
