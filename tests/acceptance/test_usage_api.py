"""Usage, exports and the filters of history over HTTP: who sees what, and that money adds up."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain import clock
from tests.acceptance.people import headers_of, registered
from tests.acceptance.service import Answer, Service, a_prompt, order


@pytest.fixture(scope="module")
def story(shared_service: Service) -> Answer:
    """A user of the script API: three pictures of two models, one refused; one project, one with metadata."""
    shared_service.calm()
    user, refused, marker = f"user-{uuid.uuid4().hex}", a_prompt(), uuid.uuid4().hex
    shared_service.emulator.outcome("content_policy", promptContains=refused)
    bodies: list[dict[str, Any]] = [
        order(f"A Lighthouse {marker}", num_images=2),
        {**order(a_prompt()), "model": "flux-dev", "metadata": {"campaign": "spring", "number": 7}},
        {**order(refused), "projectId": "=1+1"},
    ]
    ids = [shared_service.generate({**body, "userId": user}).json()["jobId"] for body in bodies]
    shared_service.footprint()
    return {"user": user, "ids": ids, "marker": marker}


@pytest.fixture(scope="module")
def person(shared_service: Service) -> dict[str, str]:
    """A signed-in user with one picture."""
    account = registered(shared_service.client)
    headers = headers_of(account)
    answer = shared_service.client.post("/api/generate/text-to-image", json={"prompt": "A lighthouse at dusk"}, headers=headers)
    shared_service.ended(answer.json()["data"]["jobId"])
    shared_service.footprint()
    return {**headers, "id": account["user"]["id"]}


def get(service: Service, path: str, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    sent = {"Authorization": headers["Authorization"]} if headers else {}
    return service.client.get(path, params=query, headers=sent)


def usage(service: Service, headers: dict[str, str] | None = None, **query: str) -> Answer:
    answer = get(service, "/api/usage", headers, **query)
    assert answer.status_code == 200, answer.text
    found: Answer = answer.json()
    return found


def found_ids(service: Service, story: Answer, **query: str) -> list[str]:
    answer = get(service, "/api/jobs", userId=story["user"], **query)
    assert answer.status_code == 200, answer.text
    return [job["jobId"] for job in answer.json()["jobs"]]


def test_usage_is_what_the_jobs_were_charged(service: Service, story: Answer) -> None:
    charged = {job_id: service.job(job_id)["cost"] for job_id in story["ids"]}

    found = usage(service, userId=story["user"])

    assert found == {
        "userId": story["user"],
        "totals": {"jobs": 3, "images": 3, "cost": pytest.approx(sum(charged.values()))},
        "groups": [
            {"key": "flux-dev", "jobs": 1, "images": 1, "cost": charged[story["ids"][1]]},
            {"key": "flux-pro", "jobs": 2, "images": 2, "cost": charged[story["ids"][0]]},
        ],
    }
    assert found["totals"]["cost"] > 0


def test_usage_groups_by_day_status_and_user(service: Service, story: Answer) -> None:
    user, today = story["user"], datetime.now(UTC).strftime("%Y-%m-%d")

    days, statuses, users = (usage(service, userId=user, groupBy=by)["groups"] for by in ("day", "status", "user"))

    assert [(group["key"], group["jobs"]) for group in days] == [(today, 3)]
    assert [(group["key"], group["jobs"], group["images"]) for group in statuses] == [("completed", 2, 3), ("failed", 1, 0)]
    assert [(group["key"], group["jobs"]) for group in users] == [(user, 3)]


def test_usage_of_another_time_is_nothing(service: Service, story: Answer) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")

    later = usage(service, userId=story["user"], **{"from": tomorrow})
    before = usage(service, userId=story["user"], to="2026-01-01")

    assert [later["totals"], later["groups"]] == [before["totals"], before["groups"]] == [{"jobs": 0, "images": 0, "cost": 0.0}, []]


def test_a_script_sees_all_users_and_a_user_only_itself(service: Service, story: Answer, person: dict[str, str]) -> None:
    everybody = usage(service, groupBy="user")
    own, named = usage(service, person), usage(service, person, userId=person["id"])
    others = [
        get(service, path, person, userId=story["user"]) for path in ("/api/usage", "/api/usage/export", "/api/jobs/export", "/api/jobs")
    ]

    assert everybody["userId"] is None
    assert {story["user"], person["id"]} <= {group["key"] for group in everybody["groups"]}
    assert own == named
    assert (own["userId"], own["totals"]["jobs"]) == (person["id"], 1)
    assert [answer.status_code for answer in others] == [403] * 4


def test_exports_of_a_user_hold_nobody_elses_jobs(service: Service, story: Answer, person: dict[str, str]) -> None:
    jobs = get(service, "/api/jobs/export", person, format="ndjson")
    days = get(service, "/api/usage/export", person, format="ndjson")

    assert {json.loads(line)["userId"] for line in jobs.text.splitlines()} == {person["id"]}
    assert {json.loads(line)["userId"] for line in days.text.splitlines()} == {person["id"]}


def test_exported_jobs_are_those_of_the_list(service: Service, story: Answer) -> None:
    listed = get(service, "/api/jobs", userId=story["user"]).json()["jobs"]

    table = get(service, "/api/jobs/export", userId=story["user"])
    lines = get(service, "/api/jobs/export", userId=story["user"], format="ndjson")

    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [json.loads(line) for line in lines.text.splitlines()] == listed
    assert [row["jobId"] for row in rows] == [job["jobId"] for job in listed]
    assert [float(row["cost"]) for row in rows] == [job["cost"] for job in listed]
    assert rows[0]["projectId"] == "'=1+1"
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"].startswith("attachment; filename=")


def test_exported_usage_adds_up_to_the_report(service: Service, story: Answer) -> None:
    report = usage(service, userId=story["user"], groupBy="status")

    rows = list(csv.DictReader(io.StringIO(get(service, "/api/usage/export", userId=story["user"]).text, newline="")))
    groups = get(service, "/api/usage/export", userId=story["user"], groupBy="status", format="ndjson")

    assert sum(int(row["jobs"]) for row in rows) == report["totals"]["jobs"]
    assert sum(float(row["cost"]) for row in rows) == pytest.approx(report["totals"]["cost"])
    assert [json.loads(line) for line in groups.text.splitlines()] == report["groups"]


def test_an_export_that_breaks_off_reaches_the_client_as_broken(service: Service) -> None:
    user = f"user-{uuid.uuid4().hex}"
    job_id = service.submit(a_prompt(), userId=user)
    service.ended(job_id)
    service.footprint()
    whole = service.document(job_id)
    copies = [{**whole, "_id": clock.new_id()} for _ in range(200)]
    for copy in copies:
        copy["orderKey"] = copy["_id"]
    del copies[0]["createdAt"]  # The last one to be exported: no job can be made of it.
    service.database["jobs"].insert_many(copies)
    service.database["jobs"].delete_one({"_id": job_id})

    got = b""
    with pytest.raises(httpx.RemoteProtocolError), service.client.stream("GET", "/api/jobs/export", params={"userId": user}) as answer:  # noqa: PT012
        for piece in answer.iter_bytes():
            got += piece
    service.database["jobs"].delete_many({"userId": user})

    assert answer.status_code == 200
    assert got.decode().splitlines()[-1].startswith("# incomplete")


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({"operation": "generate"}, [0, 1, 2]),
        ({"operation": "text_to_image"}, []),
        ({"metadata.campaign": "spring"}, [1]),
        ({"metadata.campaign": "spring", "metadata.number": "7"}, [1]),
        ({"metadata.number": "8"}, []),
        ({"prompt": "a lightHOUSE"}, [0]),
        ({"model": "flux-pro", "status": "failed"}, [2]),
        ({"projectId": "=1+1", "model": "flux-dev"}, []),
        ({"batchId": "none"}, []),
        ({"from": "2026-01-01"}, [0, 1, 2]),
    ],
)
def test_a_list_is_narrowed_by_every_filter(service: Service, story: Answer, query: dict[str, str], places: list[int]) -> None:
    found = found_ids(service, story, **query)

    assert found == [story["ids"][place] for place in sorted(places, reverse=True)]


def test_pages_turn_both_ways_by_links_and_cursors(service: Service, story: Answer) -> None:
    first = get(service, "/api/jobs", userId=story["user"], limit="2")
    second = service.client.get(first.links["next"]["url"])
    back = service.client.get(second.links["prev"]["url"])

    assert [job["jobId"] for job in second.json()["jobs"]] == story["ids"][:1]
    assert back.json()["jobs"] == first.json()["jobs"]
    assert (first.json()["cursor"]["previous"], second.json()["cursor"]["next"]) == (None, None)
    assert second.json()["cursor"]["hasMore"] is False
    assert second.links["prev"]["url"].endswith(second.json()["cursor"]["previous"])
    assert "prev" not in first.links


def test_a_total_tells_whether_it_is_exact(service: Service, story: Answer) -> None:
    plain = get(service, "/api/jobs", userId=story["user"], count="true", limit="1").json()
    searched = get(service, "/api/jobs", userId=story["user"], count="true", prompt=story["marker"]).json()

    assert (plain["total"], plain["totalIsExact"]) == (3, True)
    assert (searched["total"], searched["totalIsExact"]) == (1, True)


@pytest.mark.parametrize(
    ("path", "query", "pointer"),
    [
        ("/api/usage", {"groupBy": "hour"}, "/groupBy"),
        ("/api/usage", {"group": "day"}, "/group"),
        ("/api/usage", {"from": "2026-02-01", "to": "2026-01-01"}, "/to"),
        ("/api/usage", {"from": "2026-02-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}, "/to"),
        ("/api/usage", {"to": "0001-01-01T00:00:00Z"}, "/to"),
        ("/api/usage", {"userId": ""}, "/userId"),
        ("/api/usage/export", {"format": "xlsx"}, "/format"),
        ("/api/usage/export", {"groupBy": "week"}, "/groupBy"),
        ("/api/jobs/export", {"format": "xlsx"}, "/format"),
        ("/api/jobs/export", {"limit": "5"}, "/limit"),
        ("/api/jobs/export", {"from": "2026-02-01", "to": "2026-01-01"}, "/to"),
        ("/api/jobs", {"metadata.a.b": "1"}, "/metadata.a.b"),
        ("/api/jobs", {"metadata.$where": "1"}, "/metadata.$where"),
        ("/api/jobs", {"metadata.": "1"}, "/metadata."),
        ("/api/jobs", {"metadata": "1"}, "/metadata"),
        ("/api/jobs", {"operation": "video"}, "/operation"),
        ("/api/jobs", {"prompt": ""}, "/prompt"),
        ("/api/jobs", {"cursor": "b3RoZXI"}, "/cursor"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(service: Service, path: str, query: dict[str, str], pointer: str) -> None:
    answer = get(service, path, **query)

    assert answer.status_code == 400, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert answer.headers["content-type"] == "application/json"


def test_a_cursor_of_another_query_is_refused(service: Service, story: Answer) -> None:
    cursor = get(service, "/api/jobs", userId=story["user"], limit="1").json()["cursor"]["next"]

    other = get(service, "/api/jobs", userId=story["user"], limit="1", status="failed", cursor=cursor)
    more = get(service, "/api/jobs", userId=story["user"], limit="2", cursor=cursor)

    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (400, "/cursor")
    assert len(more.json()["jobs"]) == 2
