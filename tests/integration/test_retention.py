"""What has been kept long enough goes, whole, and nothing else does: the sweep in one process, cut off wherever it can be."""

from __future__ import annotations

import copy
import dataclasses
import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.bootstrap import Services
from app.clients.storage import LocalStorage
from app.domain import clock, keys
from app.domain.asset import REFERENCE_PREFIX
from app.domain.errors import ProviderBusy, StorageUnavailable
from app.domain.fal_request import RequestState
from app.domain.job import Job
from app.services.erasure.jobs import Eraser
from app.services.erasure.retention import Retention
from app.services.orders.order import Order
from app.services.people.uploads import ANY_SIDE
from app.stores.steady_clock import SteadyClock
from tests.support.deliveries import a_delivery, an_endpoint
from tests.support.factories import picture, with_request
from tests.support.gateway import Gateway
from tests.support.services import with_parts
from tests.support.shop import Crash

DAY = timedelta(days=1)


class Steady(SteadyClock):
    """A clock that is always believed."""

    def __init__(self) -> None:
        """Notes nothing."""

    def is_steady(self, now: datetime) -> bool:
        return True


class Asked:
    """fal's platform, as it is asked to forget."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.is_away = False

    def delete_payloads(self, request_id: str) -> None:
        if self.is_away:
            raise ProviderBusy("away")
        self.forgotten.append(request_id)


@pytest.fixture
def fal() -> Asked:
    return Asked()


@pytest.fixture
def eraser(gateway: Gateway, fal: Asked) -> Eraser:
    eraser = copy.copy(gateway.services.eraser)
    eraser._platform, eraser._asks_fal = fal, True  # type: ignore[assignment]
    return eraser


@pytest.fixture
def client(gateway: Gateway) -> FlaskClient:
    services = with_parts(gateway.services, settings=dataclasses.replace(gateway.services.settings, allow_anonymous=True))
    return create_app(services.settings, services).test_client()


def retention(services: Services, eraser: Eraser, *, days: int = 0, later: timedelta = timedelta(0)) -> Retention:
    """Return the sweep as it will be after some time."""
    found = copy.copy(services.retention)
    now: Callable[[], datetime] = lambda: clock.now() + later  # noqa: E731
    found._eraser = copy.copy(eraser)
    found._eraser._now = found._now = now
    found._steady_clock, found._retention_days = Steady(), days
    return found


def after_days(eraser: Eraser, days: float) -> Eraser:
    later = copy.copy(eraser)
    later._uploads = copy.copy(eraser._uploads)
    later._now = later._uploads._now = lambda: clock.now() + days * DAY
    return later


def done(gateway: Gateway, **order: Any) -> Job:
    """Return a job that has ended and is settled."""
    job = gateway.generated(gateway.order(**order))
    gateway.services.recovery.settle(job.id)
    return gateway.job(job.id)


def left_of(gateway: Gateway, job: Job) -> dict[str, Any]:
    database = gateway.services.database
    folder = gateway.folder_of(job)
    return {
        "files": sorted(path.name for path in folder.glob("*")) if folder.is_dir() else [],
        "jobs": database["jobs"].count_documents({"_id": job.id}),
        "uploads": database["uploads"].count_documents({"jobId": job.id}),
        "deliveries": database["deliveries"].count_documents({"jobId": job.id}),
    }


NOTHING = {"files": [], "jobs": 0, "uploads": 0, "deliveries": 0}


def test_after_its_days_a_job_goes_with_all_of_it_and_what_it_cost_stays(
    gateway: Gateway, eraser: Eraser, client: FlaskClient, fal: Asked
) -> None:
    job, newer = done(gateway, num_images=2), done(gateway)
    gateway.services.delivery_store.insert_all([a_delivery(an_endpoint(), job_id=job.id)])
    gateway.services.thumbnails.of(job.images[0].key, 320)
    usage = client.get("/api/usage").get_json()
    gateway.services.database["jobs"].update_one({"_id": newer.id}, {"$set": {"completedAt": clock.now() + DAY}})

    early = retention(gateway.services, eraser, days=7, later=6.9 * DAY).sweep()
    whole = left_of(gateway, job)
    gone = retention(gateway.services, eraser, days=7, later=7.1 * DAY).sweep()
    after_days(eraser, 7.2).sweep()

    assert (early, gone) == (0, 1)
    assert whole == {"files": ["image_0.jpg", "image_0.jpg.320.webp", "image_1.jpg"], "jobs": 1, "uploads": 2, "deliveries": 1}
    assert left_of(gateway, job) == NOTHING
    assert fal.forgotten == [job.requests[0].receipt.request_id]  # type: ignore[union-attr]
    answer = client.get(f"/api/jobs/{job.id}")
    assert (answer.status_code, answer.get_json()["code"]) == (410, "gone")
    assert "for as long as was agreed" in answer.get_json()["message"]
    assert client.post(f"/api/jobs/{job.id}/retry").status_code == 410
    assert [each["jobId"] for each in client.get("/api/jobs").get_json()["jobs"]] == [newer.id]
    assert client.get("/api/usage").get_json() == usage


def test_an_orders_own_days_hold_where_nothing_else_ends(gateway: Gateway, eraser: Eraser) -> None:
    order = Order(model="flux-dev", inputs={"prompt": "a red bicycle"}, options={}, user_id="user-1", retain_days=2)
    short = gateway.generated(gateway.services.orders.submit(order).job)
    gateway.services.recovery.settle(short.id)
    kept = done(gateway)

    gone = [retention(gateway.services, eraser, later=days * DAY).sweep() for days in (1.9, 2.1)]

    assert gone == [0, 1]
    assert (left_of(gateway, short), left_of(gateway, kept)["jobs"]) == (NOTHING, 1)


def test_nothing_goes_that_still_runs_or_whose_money_or_fate_is_open(gateway: Gateway, eraser: Eraser) -> None:
    unsettled, unknown = done(gateway), done(gateway)
    pending, at_fal = gateway.order(), gateway.dispatch(gateway.order())
    gateway.services.database["jobs"].update_one({"_id": unsettled.id}, {"$set": {"settlement": "due"}})
    gateway.services.jobs.change(unknown, lambda job: with_request(job, 0, state=RequestState.UNKNOWN))

    gone = retention(gateway.services, eraser, days=1, later=400 * DAY).sweep()

    assert gone == 0
    assert [left_of(gateway, job)["jobs"] for job in (pending, at_fal, unsettled, unknown)] == [1, 1, 1, 1]


@pytest.mark.parametrize("favorite", [True, False])
def test_a_favorite_is_kept_no_longer(gateway: Gateway, eraser: Eraser, favorite: bool) -> None:
    job = done(gateway)
    gateway.services.job_actions.note(job.id, user_id=None, favorite=favorite, tags=("spring",))

    assert retention(gateway.services, eraser, days=1, later=2 * DAY).sweep() == 1


STEPS = {
    "the tombstone is written": ("_tombstones", "write"),
    "the job is removed": ("_jobs", "remove_settled"),
    "the files are removed": ("_storage", "delete_tree"),
    "a picture's record is removed": ("_upload_store", "forget_output"),
    "what was told is removed": ("_deliveries", "remove_of_job"),
    "it is said that all is done": ("_tombstones", "attend"),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_who_dies_in_the_middle_is_followed_by_the_sweep_until_it_is_whole(
    gateway: Gateway, eraser: Eraser, client: FlaskClient, step: str, after: bool
) -> None:
    job = done(gateway, num_images=2)
    gateway.services.delivery_store.insert_all([a_delivery(an_endpoint(), job_id=job.id)])
    dying, (part, name) = copy.copy(eraser), STEPS[step]
    setattr(dying, part, copy.copy(getattr(eraser, part)))
    real = getattr(getattr(eraser, part), name)

    def dies(*args: Any, **options: Any) -> None:
        if after:
            real(*args, **options)
        raise Crash

    setattr(getattr(dying, part), name, dies)
    with pytest.raises(Crash):
        retention(gateway.services, dying, days=1, later=2 * DAY).sweep()
    later = after_days(eraser, 2.1)
    later.sweep()
    retention(gateway.services, later, days=1, later=2.1 * DAY).sweep()
    later.sweep()

    assert left_of(gateway, job) == NOTHING
    assert client.get(f"/api/jobs/{job.id}").status_code == 410
    assert gateway.services.database["deletedJobs"].count_documents({"attentionAt": {"$exists": True}}) == 0
    assert after_days(eraser, 9).sweep() == 0


def test_while_storage_is_away_readers_are_told_and_the_files_go_later(
    gateway: Gateway, eraser: Eraser, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [done(gateway), done(gateway)]
    storage = gateway.services.storage
    assert isinstance(storage, LocalStorage)
    sweep = retention(gateway.services, eraser, days=1, later=2 * DAY)

    def away(folder: str) -> None:
        raise StorageUnavailable(folder)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete_tree", away)
        begun = sweep.sweep()
        codes = [client.get(f"/api/jobs/{job.id}").status_code for job in jobs]
        after_days(eraser, 2.1).sweep()
        files = [left_of(gateway, job)["files"] for job in jobs]
    back = after_days(eraser, 2.2)
    back.sweep()
    rest = sweep.sweep()

    assert (begun, codes, rest) == (0, [410, 200], 1), "no more is begun than can be finished"
    assert files == [["image_0.jpg"], ["image_0.jpg"]]
    assert [left_of(gateway, job) for job in jobs] == [NOTHING, NOTHING]


def test_a_cost_that_is_corrected_while_its_job_goes_is_kept_with_its_tombstone(gateway: Gateway, eraser: Eraser) -> None:
    job = done(gateway)
    busy = copy.copy(eraser)
    busy._tombstones = copy.copy(eraser._tombstones)
    real, first = busy._tombstones.write, True

    def corrected_meanwhile(stone: Any) -> None:
        nonlocal first
        real(stone)
        if first:
            first = False
            gateway.services.jobs.change(job.id, lambda j: j.invoiced(77_000, now=clock.now()))

    busy._tombstones.write = corrected_meanwhile  # type: ignore[method-assign]

    assert retention(gateway.services, busy, days=1, later=2 * DAY).sweep() == 1
    assert gateway.services.database["deletedJobs"].find_one({"_id": job.id})["actualMicros"] == 77_000  # type: ignore[index]


def test_a_picture_that_a_running_order_works_from_stays_until_that_has_ended(gateway: Gateway, eraser: Eraser) -> None:
    first = done(gateway)
    reference = REFERENCE_PREFIX + first.images[0].upload_id
    second = gateway.order(model="flux-dev-image-to-image", image_url=reference)
    sweep = retention(gateway.services, eraser, days=1, later=2 * DAY)

    while_it_runs = sweep.sweep()
    ended = gateway.generated(second)
    gateway.services.recovery.settle(ended.id)
    afterwards = sweep.sweep()

    assert (while_it_runs, afterwards) == (0, 2)
    assert ended.images


def with_picture(gateway: Gateway, content: bytes, **more: Any) -> tuple[Job, str]:
    """Order with a picture that comes along; return the settled job, and the upload that the picture became."""
    kept = gateway.services.uploads.keep("user-1", io.BytesIO(content), sides=ANY_SIDE, for_order=True).upload
    inputs = {"prompt": "a blue bicycle", "image_url": REFERENCE_PREFIX + kept.id}
    job = gateway.generated(
        gateway.services.orders.submit(Order(model="flux-dev-image-to-image", inputs=inputs, options={}, user_id="user-1", **more)).job
    )
    gateway.services.recovery.settle(job.id)
    return gateway.job(job.id), kept.id


def upload_is_there(gateway: Gateway, upload_id: str) -> bool:
    doc = gateway.services.database["uploads"].find_one({"_id": upload_id})
    assert doc is None or gateway.services.storage.has(doc["objectKey"])
    return doc is not None


def test_a_picture_that_came_along_goes_with_the_last_order_that_has_it(gateway: Gateway, eraser: Eraser) -> None:
    content = picture(color="navy")
    one, upload_id = with_picture(gateway, content, retain_days=1)
    two, same = with_picture(gateway, content, retain_days=3)

    retention(gateway.services, eraser, later=1.1 * DAY).sweep()
    after_days(eraser, 1.2).sweep()
    while_one_is_left = upload_is_there(gateway, upload_id)
    retention(gateway.services, eraser, later=3.1 * DAY).sweep()
    after_days(eraser, 3.2).sweep()

    assert same == upload_id
    assert (left_of(gateway, one)["jobs"], left_of(gateway, two)["jobs"]) == (0, 0)
    assert (while_one_is_left, upload_is_there(gateway, upload_id)) == (True, False)


def test_a_picture_that_was_also_uploaded_by_itself_outlives_the_order(gateway: Gateway, eraser: Eraser) -> None:
    content = picture(color="teal")
    job, upload_id = with_picture(gateway, content, retain_days=1)
    gateway.services.uploads.keep("user-1", io.BytesIO(content), sides=ANY_SIDE)

    retention(gateway.services, eraser, later=1.1 * DAY).sweep()
    after_days(eraser, 1.2).sweep()

    assert (left_of(gateway, job)["jobs"], upload_is_there(gateway, upload_id)) == (0, True)


def test_a_picture_that_was_just_sent_again_waits_for_the_order_that_may_come_with_it(gateway: Gateway, eraser: Eraser) -> None:
    content = picture(color="olive")
    job, upload_id = with_picture(gateway, content, retain_days=1)
    retention(gateway.services, eraser, later=1.1 * DAY).sweep()
    gateway.services.database["uploads"].update_one({"_id": upload_id}, {"$set": {"changedAt": clock.now() + 1.1 * DAY}})

    after_days(eraser, 1.11).sweep()
    just_sent = upload_is_there(gateway, upload_id)
    after_days(eraser, 1.2).sweep()

    assert (left_of(gateway, job)["jobs"], just_sent, upload_is_there(gateway, upload_id)) == (0, True, False)


def test_uploads_go_after_the_days_of_the_settings_unless_a_job_that_is_kept_has_them(gateway: Gateway, eraser: Eraser) -> None:
    _, used = with_picture(gateway, picture(color="pink"))
    idle = gateway.services.uploads.keep("user-1", io.BytesIO(picture(color="gray")), sides=ANY_SIDE).upload.id
    sweep = retention(gateway.services, eraser, days=5, later=5.1 * DAY)
    gateway.services.database["jobs"].update_many({}, {"$set": {"completedAt": clock.now() + DAY}})

    gone = sweep.sweep()
    both = (upload_is_there(gateway, used), upload_is_there(gateway, idle))
    gateway.services.database["jobs"].update_many({}, {"$set": {"completedAt": clock.now() - DAY}})
    rest = sweep.sweep()

    assert (gone, both) == (1, (True, False))
    assert (rest, upload_is_there(gateway, used)) == (2, False), "the job, and then its upload"


def test_an_upload_stays_while_its_user_has_jobs_that_do_not_say_what_they_use(gateway: Gateway, eraser: Eraser) -> None:
    job, used = with_picture(gateway, picture(color="gold"))
    gateway.services.database["jobs"].update_one({"_id": job.id}, {"$unset": {"uploadIds": ""}, "$set": {"completedAt": clock.now() + DAY}})

    assert retention(gateway.services, eraser, days=5, later=5.1 * DAY).sweep() == 0
    assert upload_is_there(gateway, used)


def test_more_jobs_than_are_looked_at_at_once_all_get_their_turn(gateway: Gateway, eraser: Eraser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.erasure.retention.LOOKED_AT_ONCE", 2)
    running = [gateway.order() for _ in range(3)]
    ended = [done(gateway) for _ in range(3)]
    orders_own = [done(gateway) for _ in range(3)]
    for job in orders_own:
        gateway.services.database["jobs"].update_one(
            {"_id": job.id}, {"$set": {"retainDays": 1, "retainUntil": clock.now() - DAY, "completedAt": clock.now() - 2 * DAY}}
        )
    sweep = retention(gateway.services, eraser, days=5, later=5.1 * DAY)

    for _ in range(12):
        sweep.sweep()

    assert [left_of(gateway, job)["jobs"] for job in (*running, *ended, *orders_own)] == [1] * 3 + [0] * 6


def test_fal_is_asked_again_for_days_and_then_no_more(gateway: Gateway, eraser: Eraser, fal: Asked) -> None:
    done(gateway)
    fal.is_away = True
    retention(gateway.services, eraser, days=1, later=2 * DAY).sweep()

    looked_at = [after_days(eraser, days).sweep() for days in (2.1, 2.2, 5.3, 9)]

    assert looked_at == [1, 1, 1, 0]
    assert fal.forgotten == []


def test_without_an_administrators_key_fal_is_not_asked(gateway: Gateway, eraser: Eraser, fal: Asked) -> None:
    eraser._asks_fal = False
    done(gateway)
    retention(gateway.services, eraser, days=1, later=2 * DAY).sweep()

    assert (after_days(eraser, 3).sweep(), fal.forgotten) == (0, [])


def test_after_a_jump_of_the_clock_an_hour_passes_before_anything_goes(gateway: Gateway, eraser: Eraser) -> None:
    job = done(gateway)
    moment = clock.now()
    sweep = retention(gateway.services, eraser, days=30)
    sweep._steady_clock = SteadyClock(gateway.services.database)

    def swept_at(by: timedelta) -> int:
        sweep._now = lambda: moment + by
        return sweep.sweep()

    before = swept_at(timedelta(0))
    ten_years, minutes = 3650 * DAY, timedelta(minutes=30)
    jumped = [swept_at(ten_years), swept_at(ten_years + minutes)]
    back = [swept_at(minutes), swept_at(2 * minutes)]
    stayed = [swept_at(ten_years), swept_at(ten_years + minutes), swept_at(ten_years + 2 * minutes)]

    assert (before, jumped, back, stayed) == (0, [0, 0], [0, 0], [0, 0, 1])
    assert left_of(gateway, job) == NOTHING


def test_the_keys_of_files_beside_the_folder_are_those_that_are_kept(gateway: Gateway, eraser: Eraser) -> None:
    job = done(gateway)
    gateway.services.jobs.change(job, lambda j: dataclasses.replace(j, images=()))
    key = keys.unreadable_file(job.created_at.date(), job.id, 0)
    gateway.services.storage.put(key, io.BytesIO(b"no picture"), "application/octet-stream")

    retention(gateway.services, eraser, days=1, later=2 * DAY).sweep()

    assert not gateway.services.storage.has(key)
