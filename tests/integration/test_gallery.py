"""The gallery, and what people note about jobs: favorites and tags."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.errors import NotFound
from app.domain.job import Job, JobStatus, SweepTimeouts
from app.domain.job_filter import JobFilter
from app.services.pictures.gallery import Gallery, PictureCursor
from app.services.reports.history import History
from app.stores.database import Database
from app.stores.indexes import ensure_indexes
from app.stores.jobs import JobStore
from tests.integration.test_history_queries import Heard, heard, listened, serving
from tests.integration.test_pictures_api import client_of
from tests.support.factories import certain, completed_job, make_job
from tests.support.gateway import Gateway

__all__ = ["heard", "listened"]


@pytest.fixture
def jobs(database: Database) -> JobStore:
    ensure_indexes(database)
    return JobStore(database, SweepTimeouts())


def kept(jobs: JobStore, count: int, **fields: Any) -> list[Job]:
    """Store completed jobs, each of three pictures; newest first."""
    made = [completed_job(requests=(3,), **fields) for _ in range(count)]
    assert all(jobs.insert(job) for job in made)
    return made[::-1]


def all_of(gallery: Gallery, wanted: JobFilter, limit: int) -> list[list[tuple[str, int]]]:
    """Return the pages of a gallery, as their pictures' jobs and numbers."""
    pages, cursor = [], None
    while True:
        page = gallery.page(wanted, cursor=cursor, limit=limit)
        pages.append([(picture.job.id, picture.image.number) for picture in page.pictures])
        if (cursor := page.next) is None:
            return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 100])
def test_every_picture_is_on_one_page_newest_job_first(jobs: JobStore, limit: int) -> None:
    whole = [(job.id, number) for job in kept(jobs, 3) for number in range(3)]
    jobs.insert(make_job())
    kept(jobs, 1, user_id="user-2")

    pages = all_of(Gallery(jobs=jobs, history=History(jobs=jobs)), JobFilter(user_id="user-1"), limit)

    assert [found for page in pages for found in page] == whole
    assert max(map(len, pages)) <= limit


def test_pictures_that_come_later_or_go_meanwhile_move_no_page(jobs: JobStore, database: Database) -> None:
    gallery, wanted = Gallery(jobs=jobs, history=History(jobs=jobs)), JobFilter(user_id="user-1")
    first, second, third = kept(jobs, 3)
    page = gallery.page(wanted, cursor=None, limit=4)
    kept(jobs, 1)
    database["jobs"].delete_one({"_id": second.id})

    rest = gallery.page(wanted, cursor=page.next, limit=4)

    assert page.next == PictureCursor(second.id, 0)
    assert [picture.job.id for picture in rest.pictures] == [third.id] * 3
    assert first.id not in {picture.job.id for picture in rest.pictures}


def test_a_gallery_has_no_pictures_of_other_states(jobs: JobStore) -> None:
    kept(jobs, 1)

    assert all_of(Gallery(jobs=jobs, history=History(jobs=jobs)), JobFilter(status=JobStatus.FAILED), 10) == [[]]


@pytest.mark.parametrize(
    "wanted",
    [JobFilter(user_id="u"), JobFilter(user_id=("u", "v")), JobFilter(user_id="u", favorite=True), JobFilter(user_id="u", tag="t")],
)
def test_a_page_of_the_gallery_is_one_walk_along_an_index(listened: Database, heard: Heard, wanted: JobFilter) -> None:
    store = JobStore(listened, SweepTimeouts())

    Gallery(jobs=store, history=History(jobs=store)).page(wanted, cursor=PictureCursor("a", None), limit=10)

    (command,) = heard.commands
    assert serving(command)


def test_the_gallery_is_turned_by_its_cursor_and_takes_the_filters_of_jobs(gateway: Gateway) -> None:
    client, user = client_of(gateway.services), "gallery-user"
    job = gateway.generated(gateway.order(num_images=3, user_id=user, prompt="a red boat"))
    query = {"userId": user, "prompt": "RED boat", "limit": 2}

    first = client.get("/api/images", query_string=query)
    second = client.get("/api/images", query_string={**query, "cursor": first.get_json()["cursor"]["next"]}).get_json()

    images = first.get_json()["images"] + second["images"]
    assert [(image["jobId"], image["number"]) for image in images] == [(job.id, number) for number in range(3)]
    assert (first.get_json()["cursor"]["hasMore"], second["cursor"]) == (True, {"next": None, "hasMore": False})
    assert 'rel="next"' in first.headers["Link"]
    assert images[0] == client.get(f"/api/images/{images[0]['imageId']}").get_json()
    assert client.get("/api/images", query_string={"userId": user, "prompt": "blue"}).get_json()["images"] == []


@pytest.mark.parametrize("change", [lambda text: text[:-3], lambda text: "x" + text, lambda _: "%%", lambda _: "bzEuYS5i"])
def test_a_cursor_that_was_not_handed_out_is_refused(gateway: Gateway, change: Any) -> None:
    client, user = client_of(gateway.services), "cursor-user"
    gateway.generated(gateway.order(num_images=2, user_id=user))
    cursor = client.get("/api/images", query_string={"userId": user, "limit": 1}).get_json()["cursor"]["next"]

    answers = [
        client.get("/api/images", query_string={"userId": user, "limit": 1, "cursor": change(cursor)}),
        client.get("/api/images", query_string={"userId": "another", "limit": 1, "cursor": cursor}),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]


def test_favorites_and_tags_are_noted_and_found(gateway: Gateway) -> None:
    client, user = client_of(gateway.services), "noting-user"
    noted, other = (gateway.generated(gateway.order(user_id=user)) for _ in range(2))

    answer = client.patch(f"/api/jobs/{noted.id}", json={"favorite": True, "tags": ["spring", "Großes", "spring"]}).get_json()
    found = {
        text: [job["jobId"] for job in client.get(f"/api/jobs?userId={user}&{text}").get_json()["jobs"]]
        for text in ("favorite=true", "favorite=false", "tag=spring", "tag=Großes&favorite=true", "tag=sprin")
    }
    shown = client.get("/api/images", query_string={"userId": user, "favorite": "true"}).get_json()["images"]

    assert (answer["favorite"], answer["tags"]) == (True, ["spring", "Großes"])
    assert found == {
        "favorite=true": [noted.id],
        "favorite=false": [other.id],
        "tag=spring": [noted.id],
        "tag=Großes&favorite=true": [noted.id],
        "tag=sprin": [],
    }
    assert [(image["jobId"], image["favorite"], image["tags"]) for image in shown] == [(noted.id, True, ["spring", "Großes"])]


def test_what_is_left_out_of_a_note_stays_and_nothing_else_changes(gateway: Gateway) -> None:
    client = client_of(gateway.services)
    job = gateway.generated(gateway.order())
    client.patch(f"/api/jobs/{job.id}", json={"favorite": True, "tags": ["a"]})

    steps = [client.patch(f"/api/jobs/{job.id}", json=body).get_json() for body in ({}, {"tags": []}, {"favorite": False})]

    assert [(step["favorite"], step["tags"]) for step in steps] == [(True, ["a"]), (True, []), (False, [])]
    assert dataclasses.replace(gateway.job(job.id), rev=0) == dataclasses.replace(job, rev=0)
    assert steps[-1]["updatedAt"] == client.get(f"/api/jobs/{job.id}").get_json()["updatedAt"]


def test_a_note_on_a_running_job_moves_nothing_of_its_work(gateway: Gateway) -> None:
    job = gateway.dispatch(gateway.order())

    noted = certain(job.noted(tags=("a",)))

    assert (noted.attention_at, noted.history) == (job.attention_at, job.history)
    gateway.services.job_actions.note(job.id, user_id=None, favorite=True, tags=None)
    assert gateway.collect(gateway.job(job.id)).favorite


@pytest.mark.parametrize(
    "body", [{"favorite": "yes"}, {"tags": "a"}, {"tags": [""]}, {"tags": ["x" * 65]}, {"tags": ["a"] * 21}, {"tags": ["\0"]}, {"stars": 5}]
)
def test_a_note_that_is_none_is_refused(gateway: Gateway, body: dict[str, Any]) -> None:
    client: FlaskClient = client_of(gateway.services)

    assert client.patch(f"/api/jobs/{gateway.order().id}", json=body).status_code == 400


def test_somebody_elses_job_is_not_noted(gateway: Gateway) -> None:
    job = gateway.order()

    with pytest.raises(NotFound):
        gateway.services.job_actions.note(job.id, user_id="user-2", favorite=True, tags=None)
    assert not gateway.job(job.id).favorite
