"""The gallery: pictures are found again, looked at, noted, saved, deleted, and made again, by mouse and by keyboard."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.people import Person
from tests.acceptance.service import Service
from tests.browser.orders import ended, order, ordered


def tiles(page: Page) -> Any:
    return page.locator(".grid .shot a")


@pytest.fixture
def gallery(visitor: Any, ada: Person) -> Page:
    """A gallery of three pictures: a boat, a house with a seed, and a tree; the last is the newest."""
    for job_id in (order(ada, "a boat"), order(ada, "a house", seed=77), order(ada, "a tree")):
        ended(ada, job_id)
    page: Page = visitor.open("/studio/gallery", as_=ada)
    expect(tiles(page)).to_have_count(3)
    return page


def test_filters_are_in_the_address_and_survive_a_reload_and_the_back_button(visitor: Any, gallery: Page, ada: Person) -> None:
    gallery.get_by_label("Search in prompts").fill("HOUSE")
    expect(tiles(gallery)).to_have_count(1)
    gallery.reload()
    expect(tiles(gallery)).to_have_count(1)
    expect(gallery.get_by_label("Search in prompts")).to_have_value("HOUSE")

    tiles(gallery).first.click()
    expect(gallery.get_by_role("dialog")).to_contain_text("a house")
    gallery.go_back()
    expect(gallery.get_by_role("dialog")).to_have_count(0)
    gallery.get_by_role("button", name="Filters").click()
    gallery.get_by_label("Model").select_option("flux-pro")
    expect(gallery.get_by_role("heading", name="Nothing fits")).to_be_visible()
    gallery.get_by_role("button", name="Clear the filters").click()

    expect(tiles(gallery)).to_have_count(3)


def test_a_picture_is_opened_turned_and_closed_by_keyboard_alone(gallery: Page) -> None:
    gallery.keyboard.press("/")
    expect(gallery.get_by_label("Search in prompts")).to_be_focused()
    gallery.keyboard.press("Tab")
    gallery.keyboard.press("j")
    expect(tiles(gallery).nth(0)).to_be_focused()
    gallery.keyboard.press("j")
    gallery.keyboard.press("ArrowRight")
    gallery.keyboard.press("k")
    gallery.keyboard.press("Enter")
    dialog = gallery.get_by_role("dialog", name="a house")
    expect(dialog).to_contain_text("77")
    gallery.keyboard.press("ArrowRight")
    expect(gallery.get_by_role("dialog", name="a boat")).to_be_visible()
    gallery.keyboard.press("Escape")

    expect(gallery.get_by_role("dialog")).to_have_count(0)
    expect(tiles(gallery).nth(2)).to_be_focused()
    gallery.keyboard.press("g")
    expect(gallery).to_have_url(re.compile(r"/studio$"))


def test_favorites_and_tags_are_kept_and_filtered_by(gallery: Page) -> None:
    tiles(gallery).nth(1).hover()
    gallery.get_by_role("button", name="Favorite: a house").click()
    tiles(gallery).nth(2).click()
    gallery.get_by_label("New tag").fill("cover")
    gallery.get_by_role("button", name="Add").click()
    expect(gallery.get_by_role("link", name="cover")).to_be_visible()
    gallery.keyboard.press("Escape")
    gallery.get_by_role("button", name="Only favorites").click()
    expect(tiles(gallery)).to_have_count(1)
    expect(tiles(gallery).get_by_alt_text("a house")).to_be_visible()

    gallery.goto(f"{gallery.url.split('?')[0]}?tag=cover")

    expect(tiles(gallery)).to_have_count(1)
    expect(tiles(gallery).get_by_alt_text("a boat")).to_be_visible()


def test_selected_pictures_are_saved_as_one_zip_and_deleted_for_good(visitor: Any, gallery: Page, ada: Person) -> None:
    gallery.get_by_role("checkbox", name="Select: a tree").check()
    gallery.get_by_role("checkbox", name="Select: a boat").check()
    gallery.get_by_role("button", name="Compare").click()
    gallery.get_by_label("How much of the first is shown").fill("25")
    expect(gallery.locator(".compare .picture.there")).to_have_count(2)
    gallery.keyboard.press("Escape")
    with gallery.expect_download() as started:
        gallery.get_by_role("button", name="Download zip").click()
    names = zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())).namelist()
    assert sorted(names) == ["flux-dev-a-boat-1.jpg", "flux-dev-a-tree-1.jpg"]

    gallery.get_by_role("button", name="Delete").click()
    gallery.get_by_role("button", name="Delete 2 orders").click()
    expect(tiles(gallery)).to_have_count(1)

    assert [image["prompt"] for image in ada.get("/api/images").json()["images"]] == ["a house"]


def test_a_picture_shows_what_made_it_and_gives_it_to_create(gallery: Page, ada: Person) -> None:
    known = ada.get("/api/images").json()["images"][1]

    tiles(gallery).nth(1).click()
    dialog = gallery.get_by_role("dialog")
    for text in (
        "Made by AI",
        "flux-dev",
        "77",
        known["jobId"],
        known["requestId"],
        known["sha256"][:16],
        "100 tokens (0.025 USD)",
    ):
        expect(dialog).to_contain_text(text)
    dialog.get_by_role("button", name="Use all settings").click()

    expect(gallery.get_by_role("textbox", name="Prompt")).to_have_value("a house")
    draft = gallery.evaluate("JSON.parse(sessionStorage.getItem('studio.draft'))")
    assert (draft["model"], draft["values"]["prompt"], str(draft["values"]["seed"])) == ("flux-dev", "a house", "77")


def test_a_pictures_seed_prompt_and_itself_are_taken_to_create(gallery: Page) -> None:
    draft = "JSON.parse(sessionStorage.getItem('studio.draft')).values"
    for button, taken in (("Use prompt", "prompt"), ("Use seed", "seed"), ("As reference", "reference")):
        gallery.goto(gallery.url.split("/studio")[0] + "/studio/gallery")
        tiles(gallery).nth(1).click()
        gallery.get_by_role("dialog").get_by_role("button", name=button).click()
        expect(gallery).to_have_url(re.compile(r"/studio$"))
        assert gallery.evaluate(f"{draft}.{taken}"), button


def test_orders_are_placed_again_only_after_their_price_was_shown(gallery: Page, ada: Person) -> None:
    gallery.get_by_role("checkbox", name="Select: a tree").check()
    gallery.get_by_role("checkbox", name="Select: a boat").check()
    gallery.get_by_role("button", name="Order again").click()

    gallery.get_by_role("button", name="Order · 200 tokens").click()

    expect(gallery.get_by_text("2 orders placed.")).to_be_visible()
    batch = ada.get("/api/batches").json()["batches"][0]
    assert sorted(job["config"]["inputs"]["prompt"] for job in ada.get("/api/jobs", batchId=batch["batchId"]).json()["jobs"]) == [
        "a boat",
        "a tree",
    ]
    assert sum(ada.balance()) in (500, 600, 700)  # None, one or both of them have ended by now.


def test_nobody_sees_the_pictures_of_another(service: Service, visitor: Any, gallery: Page, ada: Person) -> None:
    image = ada.get("/api/images").json()["images"][0]["imageId"]
    visitor.expected = {404}
    eve = Person(service, "eve")
    key = f"JSON.stringify({{kind: 'user', token: {eve.token!r}, user: {{id: {eve.id!r}, email: {eve.email!r}}}, userId: {eve.id!r}}})"

    gallery.evaluate(f"sessionStorage.setItem('studio.session', {key})")
    gallery.reload()
    expect(gallery.get_by_role("heading", name="No pictures yet")).to_be_visible()
    gallery.goto(f"{visitor.base_url}/studio/gallery?picture={image}")

    expect(gallery.get_by_role("alert")).to_contain_text("it was never yours")


def test_a_deleted_pictures_link_says_so(visitor: Any, gallery: Page, ada: Person) -> None:
    image = ada.get("/api/images").json()["images"][0]
    ada.request("DELETE", f"/api/jobs/{image['jobId']}")
    visitor.expected = {404, 410}

    gallery.goto(f"{visitor.base_url}/studio/gallery?picture={image['imageId']}")

    expect(gallery.get_by_role("dialog").get_by_role("alert")).to_contain_text("deleted")
    gallery.keyboard.press("Escape")
    expect(tiles(gallery)).to_have_count(2)


def test_links_that_have_ended_are_asked_for_anew(visitor: Any, ada: Person) -> None:
    ordered(ada, "a boat")
    visitor.expected = {403}
    page = visitor.page
    page.route("**/api/images?*", _with_ended_links)

    visitor.open("/studio/gallery", as_=ada)

    expect(page.locator(".shot .picture.there")).to_have_count(1)


def _with_ended_links(route: Any) -> None:
    answer = route.fetch()
    body = answer.json()
    for image in body["images"]:
        image["thumbnailUrl"] = re.sub(r"expires=\d+", "expires=1", image["thumbnailUrl"])
    route.fulfill(response=answer, json=body)


def test_failed_orders_tell_why_that_they_are_free_and_are_found_by_status(service: Service, visitor: Any, ada: Person) -> None:
    service.emulator.outcome("content_policy", promptContains="a bad boat")
    ordered(ada, "a bad boat", "a good boat")

    page = visitor.open("/studio/gallery?view=orders&status=failed", as_=ada)

    expect(page.locator(".orders tbody tr")).to_have_count(1)
    expect(page.locator(".orders")).to_contain_text("Not charged")
    page.get_by_role("button", name="a bad boat").click()
    expect(page.get_by_role("dialog")).to_contain_text("content_policy_violation")


def test_two_thousand_pictures_are_scrolled_through_in_a_bounded_page(service: Service, visitor: Any, ada: Person) -> None:
    _copy_pictures(service, ada, ordered(ada, "a boat")[0], 2200)
    page = visitor.open("/studio/gallery", as_=ada)
    expect(tiles(page).first).to_be_visible()
    nodes = [page.evaluate("document.getElementsByTagName('*').length")]

    while page.get_by_text("That is all.").count() == 0:
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(50)
        nodes.append(page.evaluate("document.getElementsByTagName('*').length"))
    page.evaluate("scrollTo(0, 0)")

    expect(page.locator("[data-index='0'] a")).to_be_visible()
    assert max(nodes) < 1500, nodes
    assert int(page.locator(".grid .shot").last.get_attribute("data-index") or 0) < 100


def _copy_pictures(service: Service, person: Person, job_id: str, count: int) -> None:
    """Put copies of a job beside it, each a millisecond older."""
    job = service.document(job_id)
    first = int(job_id.replace("-", ""), 16) - (1 << 80)

    def older(number: int) -> str:
        digits = f"{first - (number << 80):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    service.database["jobs"].insert_many([{**job, "_id": older(n), "orderKey": older(n)} for n in range(count)])
