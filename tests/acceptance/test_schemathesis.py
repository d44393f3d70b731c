"""Requests nobody thought of: Schemathesis reads `/openapi.json` and looks for answers it does not promise.

Reads with any parameters, and writes whose data is wrong: none of it may make a job or an upload.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.control import SkipTest
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.acceptance.people import headers_of, registered
from tests.acceptance.service import Service

READS, WRITES = ["GET"], ["POST", "PUT", "PATCH", "DELETE"]
bounded = settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def headers(shared_service: Service) -> dict[str, str]:
    """The credential of an administrator, who gets past every door to where the data is checked."""
    data = registered(shared_service.client)
    shared_service.database["accounts"].update_one({"_id": data["user"]["id"]}, {"$set": {"role": "admin"}})
    return headers_of(data)


@pytest.mark.parametrize(("mode", "at_least"), [(GenerationMode.POSITIVE, 10), (GenerationMode.NEGATIVE, 4)], ids=["right", "wrong"])
def test_every_read_is_answered_as_documented(service: Service, headers: dict[str, str], mode: GenerationMode, at_least: int) -> None:
    asked, wrong = tried(service, headers, READS, mode)

    assert asked >= at_least
    assert not wrong, "\n\n".join(wrong)


def test_every_write_with_wrong_data_is_refused_as_documented_and_does_nothing(service: Service, headers: dict[str, str]) -> None:
    before = service.footprint()

    asked, wrong = tried(service, headers, WRITES, GenerationMode.NEGATIVE)

    assert asked >= 8
    assert not wrong, "\n\n".join(wrong)
    assert service.footprint() == before


def tried(service: Service, headers: dict[str, str], methods: list[str], mode: GenerationMode) -> tuple[int, list[str]]:
    """Send each operation of these methods what Schemathesis makes up; return how many were asked, and what was wrong."""
    document = schemathesis.openapi.from_url(f"{service.stack.base_url}/openapi.json").include(method=methods)
    # The credential is the same for all: one that is made up would stand beside it.
    document.config.generation.update(with_security_parameters=False)
    # Told that nothing else is wanted, it says at the first try where there is no wrong data, and does not try hundreds of times.
    document.config.generation.update(modes=[mode])
    document.config.generation.update(allow_x00=False)  # Refused everywhere; that no schema says so is no discrepancy.
    asked, wrong = 0, []
    for found in document.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()

        @bounded
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.call_and_validate(headers=headers, excluded_checks=beyond_a_schema(case))

        asked += 1
        try:
            check()
        except (Unsatisfiable, SkipTest):
            asked -= 1  # There is no such data: an operation without parameters cannot be asked wrongly.
        except (Exception, BaseExceptionGroup) as failure:  # noqa: BLE001 - Schemathesis' failures have no base of their own
            wrong.append(f"{operation.label}: {failure}")
    return asked, wrong


def beyond_a_schema(case: Any) -> list[Any]:
    """Return the checks that cannot hold: no schema tells which cursors a list has given out, or that `from` comes before `to`.

    Nor which addresses of fal's are answered by a proxy's one address, and how; nor how long before now a period may begin.
    """
    asked, path = set(case.query or {}), case.operation.path
    is_proxy = path == "/api/fal/proxy"
    is_period = path.startswith(("/api/admin/spend", "/api/admin/failures")) and "from" in asked
    # Projects are those of a user, whom an administrator has to name.
    is_anybodys = path.startswith("/api/usage") and (case.query or {}).get("groupBy") == "project" and "userId" not in asked
    return [positive_data_acceptance] if "cursor" in asked or asked >= {"from", "to"} or is_proxy or is_period or is_anybodys else []
