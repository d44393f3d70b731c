"""`scripts/screenshots`: the pages as pictures, of a service of its own with orders in every state, for the documents and to look at."""

import argparse
import io
import json
import random
import shutil
import ssl
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from pymongo import MongoClient

from scripts.stack.stack import ROOT, Stack

KEPT_IN = ROOT / "docs" / "images"
WIDE, NARROW = (1280, 860), (360, 740)
PASSWORD = "a lighthouse at dawn"  # noqa: S105 - of somebody who lives for some seconds
PROMPTS = (
    "A red bicycle leaning against a blue wall",
    "A lighthouse at dusk, waves below it",
    "A cat asleep on a warm windowsill",
    "Mountains in the morning mist",
    "A bowl of oranges, painted in oil",
    "A sailing boat on a calm lake",
    "A small house in a field of lavender",
    "A robot watering house plants",
    "A tree on a hill, in autumn",
    "A fox in fresh snow",
    "A cup of coffee seen from above",
    "A desert road under a sky full of stars",
)
WAYS = ("in pencil", "in watercolour", "as a paper cut")
#: What the emulator refuses.
REFUSED = "fox"
MODELS = ("flux-pro", "flux-dev")
SIZES = ("square", "landscape_4_3", "portrait_4_3", "landscape_16_9")
SETTINGS = {
    "HOST": "127.0.0.1",
    "ALLOW_ANONYMOUS": "false",
    "REGISTRATION": "open",
    "APP_ENV": "development",
    "SIGNUP_TOKENS": "50000",
    "PUBLIC_ASSET_URL": "",
    "PUBLIC_URL": "",
}
TABLE = """prompt,image_size,num_images
A lighthouse at dusk,landscape_4_3,2
"A harbour, seen from the hill",square,1
A boat in the reeds,vast,1
"""


class World:
    """A running service, and what the emulator is told to do."""

    def __init__(self, stack: Stack, client: httpx.Client, database: Any) -> None:
        self.base_url = stack.base_url.replace("127.0.0.1", "localhost")
        self.client, self.database = client, database
        trusted = ssl.create_default_context(cafile=stack.bundle)
        self._emulator = httpx.Client(base_url=stack.emulator_url or "", verify=trusted)
        refused = {"on": "submit", "kind": "outcome", "value": "content_policy", "times": None, "promptContains": REFUSED}
        self._emulator.post("/_emulator/faults", json=refused).raise_for_status()

    def paint_in(self, seconds: float) -> None:
        self._emulator.post("/_emulator/settings", json={"seconds": seconds}).raise_for_status()


class Somebody:
    """A user of the service, and what is ordered for it."""

    def __init__(self, world: World, email: str) -> None:
        self.world, self.email, self.token, self.id = world, email, "", ""
        data = self.call("POST", "/api/auth/register", {"email": email, "password": PASSWORD})["data"]
        self.id, self.token = data["user"]["id"], data["token"]

    def order(self, prompt: str, number: int = 0, **options: Any) -> str:
        given = {"image_size": SIZES[number % len(SIZES)], **options}
        body = {"model": MODELS[number % len(MODELS)], "inputs": {"prompt": prompt}, "options": given, "async": True}
        return str(self.call("POST", "/api/images/generate", body)["jobId"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = self.world.client.request(method, path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def wait(self, within_s: float = 180.0) -> None:
        """Wait until nothing is on its way. Raises TimeoutError."""
        deadline = time.monotonic() + within_s
        while any(self.call("GET", f"/api/jobs?status={status}&limit=1")["jobs"] for status in ("pending", "processing")):
            if time.monotonic() > deadline:
                raise TimeoutError("the orders have not ended")
            time.sleep(0.3)


def order_nothing(_: Somebody) -> None:
    """Leave everything empty."""


def order_one(user: Somebody) -> None:
    user.order(PROMPTS[0], seed=7)
    user.wait()


def order_running(user: Somebody) -> None:
    for number, prompt in enumerate(PROMPTS[:4]):
        user.order(prompt, number)
    user.wait()
    user.world.paint_in(900)
    for number, prompt in enumerate(PROMPTS[4:7]):
        user.order(prompt, number, num_images=1 + number)
    time.sleep(1)
    user.world.paint_in(0.3)


def order_failing(user: Somebody) -> None:
    for number, prompt in enumerate(PROMPTS[6:]):
        user.order(prompt, number)
    items = [{"model": "flux-dev", "inputs": {"prompt": f"{prompt}, {way}"}} for way in WAYS for prompt in PROMPTS[7:]]
    user.call("POST", "/api/images/batch", {"items": items, "maxCost": 1})
    user.wait()


def order_many(user: Somebody, count: int = 10_000) -> None:
    """Order some, and write copies of them over sixty days into the store, with what they come to."""
    for number, prompt in enumerate(PROMPTS * 2):
        user.order(prompt, number, num_images=1 + number % 3, seed=1000 + number)
    order_failing(user)
    for job in user.call("GET", "/api/jobs?status=completed&limit=3")["jobs"]:
        user.call("PATCH", f"/api/jobs/{job['jobId']}", {"favorite": True, "tags": ["cover", "spring"]})
    _copy_into_the_past(user, count)


SCENES: Mapping[str, Callable[[Somebody], None]] = {
    "none": order_nothing,
    "one": order_one,
    "running": order_running,
    "failed": order_failing,
    "many": order_many,
}


def _copy_into_the_past(user: Somebody, count: int) -> None:
    chance, database, now = random.Random(7), user.world.database, datetime.now(UTC)  # noqa: S311 - which picture is copied where
    originals = list(database["jobs"].find({"userId": user.id, "batchId": None}))
    template = database["uploads"].find_one({"jobId": {"$ne": None}})
    jobs, uploads = [], []
    days: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for number in range(count):
        original = chance.choice(originals)
        at = now - timedelta(minutes=8.6 * (number + 1) * (0.7 + 0.3 * chance.random()))
        images = [{**image, "uploadId": _id_of(at, chance)} for image in original["images"]]
        fresh = {"_id": _id_of(at, chance), "createdAt": at, "updatedAt": at, "completedAt": at + timedelta(seconds=4), "images": images}
        jobs.append({**original, **fresh, "orderKey": uuid.uuid4().hex, "marks": []})
        owned = {"userId": user.id, "jobId": fresh["_id"]}
        uploads += [{**template, **owned, "_id": image["uploadId"], "key": image["uploadId"]} for image in images]
        sums = days[at.strftime("%Y-%m-%d"), original["model"]]
        for name, amount in (("jobs", 1), ("images", len(images)), ("micros", original["cost"]["chargedMicros"])):
            sums[f"{original['status']}.{name}"] += amount
    database["jobs"].insert_many(jobs)
    database["uploads"].insert_many(uploads)
    for (day, model), sums in days.items():
        whose = {"userId": user.id, "day": day, "model": model}
        database["usageDays"].update_one(
            {"_id": f"{day}/{user.id}/{model}"}, {"$inc": dict(sums), "$setOnInsert": {**whose, "open": []}}, upsert=True
        )


def _id_of(moment: datetime, chance: random.Random) -> str:
    """Return a UUIDv7 of a moment in the past."""
    value = (int(moment.timestamp() * 1000) << 80) | (7 << 76) | (chance.getrandbits(12) << 64) | (2 << 62) | chance.getrandbits(62)
    return str(uuid.UUID(int=value))


# -- looking ----------------------------------------------------------------------------------------------------------------------------


def _open_picture(page: Page) -> None:
    page.locator(".shot a").nth(4).click()
    page.locator(".stage .picture.there").wait_for()


def _open_batch(page: Page) -> None:
    page.locator("a.batch").first.click()
    page.locator(".orders").wait_for()


def _paste(page: Page) -> None:
    page.get_by_label("Model").select_option("flux-dev")
    page.locator("textarea").fill(TABLE)
    page.locator("tr.bad").wait_for()


def _write(page: Page) -> None:
    page.get_by_label("Prompt", exact=True).fill("A red bicycle leaning against a blue wall, morning light")


@dataclass(frozen=True)
class Shot:
    """One picture: of whose page, at which address, in which look, and what is done before."""

    name: str
    scene: str
    path: str
    size: tuple[int, int] = WIDE
    dark: bool = False
    act: Callable[[Page], None] = lambda _: None


#: Those of the documents.
KEPT = (
    Shot("create", "running", "", act=_write),
    Shot("create-telephone-dark", "running", "", NARROW, dark=True),
    Shot("gallery", "many", "/gallery"),
    Shot("gallery-telephone", "many", "/gallery", NARROW),
    Shot("picture", "many", "/gallery", dark=True, act=_open_picture),
    Shot("orders", "failed", "/gallery?view=orders"),
    Shot("batch", "failed", "/batches", dark=True, act=_open_batch),
    Shot("new-batch", "failed", "/batches/new", (1280, 1100), act=_paste),
    Shot("spend", "many", "/spend?period=30"),
    Shot("spend-telephone", "many", "/spend?period=30", NARROW, dark=True),
)
SCREENS: Mapping[str, tuple[str, Callable[[Page], None]]] = {
    "create": ("", lambda _: None),
    "gallery": ("/gallery", lambda _: None),
    "orders": ("/gallery?view=orders", lambda _: None),
    "batches": ("/batches", lambda _: None),
    "new-batch": ("/batches/new", lambda _: None),
    "spend": ("/spend", lambda _: None),
}


def _every() -> Iterator[Shot]:
    for scene in SCENES:
        for screen, (path, act) in SCREENS.items():
            for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
                for dark in (False, True):
                    yield Shot(f"{screen}-{scene}-{width}-{'dark' if dark else 'light'}", scene, path, size, dark, act)


def _shoot(browser: Browser, shot: Shot, user: Somebody) -> bytes:
    width, height = shot.size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if shot.dark else "light", locale="en-GB"
    )
    known = {"id": user.id, "email": user.email, "role": "user"}
    session = json.dumps(json.dumps({"kind": "user", "token": user.token, "user": known, "userId": user.id}))
    context.add_init_script(f"sessionStorage.setItem('studio.session', {session})")
    page = context.new_page()
    try:
        page.goto(f"{user.world.base_url}/studio{shot.path}")
        page.locator("h1, .order").first.wait_for()
        shot.act(page)
        page.wait_for_load_state("networkidle")
        page.mouse.move(0, 0)
        page.wait_for_timeout(600)  # What fades in has faded in.
        return page.screenshot()
    finally:
        context.close()


@contextmanager
def _world() -> Iterator[World]:
    with (
        Stack(overrides=SETTINGS, quiet=True, emulator_seconds=0.3) as stack,
        MongoClient[Any](stack.mongo_uri, tz_aware=True) as mongo,
        httpx.Client(base_url=stack.base_url, timeout=60, trust_env=False) as client,
    ):
        yield World(stack, client, mongo.get_default_database())


def main() -> None:
    """Write the pictures of the documents, or, into a folder, every screen in every state."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=main.__doc__)
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="every screen: with no, one, running, failed and 10,000 jobs")
    folder = parser.parse_args().all
    shots = tuple(_every()) if folder else KEPT
    target, prefix = folder or KEPT_IN, "" if folder else "studio-"
    target.mkdir(parents=True, exist_ok=True)
    with _world() as world, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        users: dict[str, Somebody] = {}
        for shot in shots:
            if shot.scene not in users:
                users[shot.scene] = Somebody(world, f"{shot.scene}@example.com")
                SCENES[shot.scene](users[shot.scene])
            with Image.open(io.BytesIO(_shoot(browser, shot, users[shot.scene]))) as image:
                image.save(target / f"{prefix}{shot.name}.webp", quality=80, method=6)
            print(shot.name, flush=True)
        browser.close()
    print(f"{sum(path.stat().st_size for path in target.glob('*.webp')) / 1000:.0f} kB in {target}")


def _chromium() -> str:
    found = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("scripts/screenshots needs Debian's chromium")
    return found


if __name__ == "__main__":
    main()
