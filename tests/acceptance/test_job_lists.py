"""Lists of jobs: newest first, page by page, narrowed by what the query names."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.service import Service, a_prompt, order


@pytest.fixture(scope="module")
def user(shared_service: Service) -> str:
    """A user with five finished jobs: of two models, of two projects, one of them failed."""
    shared_service.calm()
    user, refused = a_prompt(), a_prompt()
    shared_service.emulator.outcome("content_policy", promptContains=refused)
    bodies: list[dict[str, Any]] = [
        order(a_prompt()),
        {**order(a_prompt()), "model": "flux-dev"},
        {**order(a_prompt()), "projectId": "spring"},
        {**order(refused), "projectId": "spring"},
        order(a_prompt()),
    ]
    for body in bodies:
        shared_service.generate({**body, "userId": user})
    return user


def ids(service: Service, user: str, **query: str) -> list[str]:
    answer = service.client.get("/api/jobs", params={"userId": user, **query})
    assert answer.status_code == 200, answer.text
    return [job["jobId"] for job in answer.json()["jobs"]]


def test_following_the_link_header_gives_every_job_once_newest_first(service: Service, user: str) -> None:
    whole = ids(service, user)
    address: str | None = f"/api/jobs?userId={user}&limit=2"

    pages = []
    while address:
        answer = service.client.get(address)
        pages.append([job["jobId"] for job in answer.json()["jobs"]])
        assert answer.json()["cursor"]["hasMore"] == ("next" in answer.links)
        address = answer.links.get("next", {}).get("url")

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [job_id for page in pages for job_id in page] == whole == sorted(whole, reverse=True)


def test_the_cursor_of_the_body_leads_to_the_same_page_as_the_link(service: Service, user: str) -> None:
    first = service.client.get("/api/jobs", params={"userId": user, "limit": "2"})

    second = ids(service, user, limit="2", cursor=first.json()["cursor"]["next"])

    assert second == ids(service, user)[2:4]
    assert first.links["next"]["url"].endswith(first.json()["cursor"]["next"])


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"status": "failed"}, [1]),
        ({"status": "completed"}, [0, 2, 3, 4]),
        ({"status": "pending"}, []),
        ({"model": "flux-dev"}, [3]),
        ({"projectId": "spring"}, [1, 2]),
        ({"projectId": "spring", "status": "completed"}, [2]),
        ({"type": "image-generation", "model": "flux-pro"}, [0, 1, 2, 4]),
    ],
)
def test_a_list_is_narrowed_by_what_the_query_names(service: Service, user: str, query: dict[str, str], places: list[int]) -> None:
    whole = ids(service, user)

    found = ids(service, user, **query)

    assert found == [whole[place] for place in places]


def test_times_narrow_a_list_from_inclusive_to_exclusive(service: Service, user: str) -> None:
    whole = ids(service, user)
    third = service.job(whole[2])["createdAt"]
    later = (datetime.fromisoformat(third) + timedelta(milliseconds=1)).isoformat()

    assert ids(service, user, **{"from": third}) == whole[:3]
    assert ids(service, user, to=third) == whole[3:]
    assert ids(service, user, **{"from": third, "to": later}) == [whole[2]]


def test_the_total_is_counted_where_it_is_asked_for(service: Service, user: str) -> None:
    counted = service.client.get("/api/jobs", params={"userId": user, "limit": "1", "count": "true"}).json()
    plain = service.client.get("/api/jobs", params={"userId": user}).json()

    assert (len(counted["jobs"]), counted["total"]) == (1, 5)
    assert "total" not in plain
