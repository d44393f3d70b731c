"""One running service for all acceptance tests that leave it whole; the last words of its processes when one fails."""

from collections.abc import Generator, Iterator

import httpx
import pytest

from tests.acceptance.service import Service, running_service
from tests.support.emulator import Emulator


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Service]:
    with running_service() as service:
        yield service


@pytest.fixture
def service(shared_service: Service) -> Service:
    shared_service.calm()
    return shared_service


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.client


@pytest.fixture
def emulator(service: Service) -> Emulator:
    return service.emulator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    service = getattr(item, "funcargs", {}).get("service")
    if report.failed and isinstance(service, Service):
        report.sections.append(("last log lines of the processes", service.last_words()))
    return report
