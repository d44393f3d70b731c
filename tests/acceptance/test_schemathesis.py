"""Requests nobody thought of: Schemathesis reads `/openapi.json` and looks for answers it does not promise.

Reads with any parameters, and writes whose data is wrong: none of it may make a job or an upload.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode

from tests.acceptance.service import Service

EXAMPLES = 12
SEED = 7
WRITES = ["POST", "PUT", "PATCH", "DELETE"]
bounded = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def headers(shared_service: Service) -> dict[str, str]:
    """The credential of an administrator, who gets past every door to where the data is checked."""
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse battery staple"}
    data = shared_service.client.post("/api/auth/register", json=body).json()["data"]
    shared_service.database["accounts"].update_one({"_id": data["user"]["id"]}, {"$set": {"role": "admin"}})
    return {"Authorization": f"Bearer {data['token']}"}


@pytest.fixture
def reads(shared_service: Service) -> Any:
    document = loaded(shared_service)
    document.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return document.include(method="GET")


@pytest.fixture
def wrong_writes(shared_service: Service) -> Any:
    document = loaded(shared_service)
    document.config.generation.update(modes=[GenerationMode.NEGATIVE])
    return document.include(method=WRITES)


def loaded(service: Service) -> Any:
    return schemathesis.openapi.from_url(f"{service.stack.base_url}/openapi.json")


@schemathesis.pytest.from_fixture("reads").parametrize()
@bounded
def test_every_read_is_answered_as_documented(case: Case, headers: dict[str, str]) -> None:
    case.call_and_validate(headers=headers)


@schemathesis.pytest.from_fixture("wrong_writes").parametrize()
@bounded
def test_every_write_with_wrong_data_is_refused_as_documented(case: Case, headers: dict[str, str]) -> None:
    case.call_and_validate(headers=headers)
