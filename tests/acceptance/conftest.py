"""One running service for all acceptance tests that leave it whole, ways to it, and the last words of its processes when one fails."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.people import accounts_of
from tests.acceptance.service import Service, running_service
from tests.support.emulator import Emulator
from tests.support.factories import picture
from tests.support.tls_front import tls_front

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def key(shared_service: Service) -> str:
    """An API key as the operator makes one for somebody's scripts."""
    return accounts_of(shared_service).make_key("somebody's scripts")[1]


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "portrait.png"
    file.write_bytes(picture())
    return file


@pytest.fixture(scope="session")
def https_server(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The service behind a proxy that ends TLS: its address there, and the authority to trust."""
    address = urlsplit(shared_service.stack.base_url)
    target = (str(address.hostname), int(address.port or 0))
    with tls_front(target, tmp_path_factory.mktemp("tls"), "localhost", "queue.localhost") as (port, authority):
        yield f"https://localhost:{port}", authority


@pytest.fixture(scope="session")
def fal_environment(https_server: tuple[str, Path], key: str) -> dict[str, str]:
    """What `imagegen fal-env` prints: the environment that leads fal's Python client to the service."""
    server, authority = https_server
    command = [sys.executable, "-m", "imagegen", "fal-env", "--json", "--server", server, "--ca-file", str(authority)]
    settings = {"PATH": os.environ["PATH"], "IMAGEGEN_KEY": key}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    service = getattr(item, "funcargs", {}).get("service")
    if report.failed and isinstance(service, Service):
        report.sections.append(("last log lines of the processes", service.last_words()))
    return report
