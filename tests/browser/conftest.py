"""One running service and one browser for the tests of pages, and visitors who note everything that a page must not do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from app.domain.account import Role
from tests.acceptance.people import Person, accounts_of
from tests.acceptance.service import Service, running_service
from tests.support.browser import PATIENCE_MS, chromium, page_of

expect.set_options(timeout=PATIENCE_MS)

#: How Chromium tells of an answer that is an error: some tests ask for one.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
LOST = re.compile(r"net::ERR_(INTERNET_DISCONNECTED|ABORTED|CONNECTION_REFUSED|FAILED)")
NOTE_VIOLATIONS = (
    "addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`))"
)


class Visitor:
    """Somebody with a page of the Studio open.

    `expected` are the statuses of errors that the test asks for; with `offline` it also takes the network away.
    """

    def __init__(self, service: Service, page: Page, errors: list[str]) -> None:
        self.service = service
        self.page = page
        # As the service names itself in links to pictures: another name would be another host.
        self.base_url = service.stack.base_url.replace("127.0.0.1", "localhost")
        self.expected: set[int] = set()
        self.offline = False
        self.hosts: set[str] = set()
        self._errors = errors
        page.add_init_script(NOTE_VIOLATIONS)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def open(self, path: str = "/studio", *, as_: Person | None = None) -> Page:
        """Go to a page; `as_`: as somebody who has signed in before."""
        if as_ is not None:
            self.remember(as_)
        self.page.goto(self.base_url + path)
        return self.page

    def remember(self, person: Person) -> None:
        """Let every page that is opened from now on find that somebody has signed in."""
        user = {"id": person.id, "email": person.email, "role": "user"}
        session = {"kind": "user", "token": person.token, "user": user, "userId": person.id}
        text = json.dumps(json.dumps(session))
        self.page.add_init_script(
            f"if (!sessionStorage.getItem('known')) {{ sessionStorage.setItem('known', 1); sessionStorage.setItem('studio.session', {text}) }}"
        )

    def wrong(self) -> list[str]:
        """Return what the page has done that no page may do."""
        foreign = sorted(self.hosts - {"", urlsplit(self.base_url).netloc})
        return [f"asked {host}" for host in foreign] + [error for error in self._errors if not self._is_expected(error)]

    def _is_expected(self, error: str) -> bool:
        refused = REFUSED.search(error)
        if refused:
            return int(refused[1]) in self.expected
        # A picture or stream that the page itself lets go of is no error of it.
        return bool(LOST.search(error)) and (self.offline or "ERR_ABORTED" in error)


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that operators can add models to: it has a folder for them."""
    with running_service(REGISTRY_PATH=str(tmp_path_factory.mktemp("models"))) as service:
        yield service


@pytest.fixture
def service(shared_service: Service) -> Service:
    shared_service.calm()
    return shared_service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the whole session: Playwright keeps an event loop running in this thread, beside which no other test can run its own.
    with chromium() as running:
        yield running


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(service: Service, browser: Browser) -> Iterator[Visit]:
    """Return what makes visitors, each in a profile of its own. At the end none of their pages may have done anything wrong."""
    visitors: list[Visitor] = []
    with ExitStack() as opened:

        def visitor(**look: Any) -> Visitor:
            page, errors = opened.enter_context(page_of(browser, **look))
            visitors.append(Visitor(service, page, errors))
            return visitors[-1]

        yield visitor
        wrong = [found for each in visitors for found in each.wrong()]
    assert wrong == []


@pytest.fixture
def visitor(visit: Visit) -> Visitor:
    return visit()


@pytest.fixture
def ada(service: Service) -> Person:
    return Person(service)


@pytest.fixture
def root(service: Service) -> Person:
    """An administrator, who signed in before it became one."""
    person = Person(service, "root")
    accounts_of(service).change(person.id, role=Role.ADMIN)
    return person
