"""Stories: faults whose mending takes long are played beside each other from the first test on, and told when a test asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.place import Place, running_place
from tests.faults.soundness import problems

AT_ONCE = 3
#: How long a story may take on a machine that is busy with others'; each wait within it has a limit of its own.
STORY_LIMIT_S = 280
Story = Callable[[], Any]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "story(play): the function whose outcome the test looks at; it is played once for all its tests")


class Stories:
    """Plays each story once, however many tests ask for it."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._begun: dict[Story, Future[Any]] = {}

    def begin(self, play: Story) -> Future[Any]:
        if play not in self._begun:
            self._begun[play] = self._pool.submit(play)
        return self._begun[play]


@pytest.fixture(scope="session")
def stories() -> Iterator[Stories]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="story") as pool:
        yield Stories(pool)


@pytest.fixture(scope="session", autouse=True)
def _begun(request: pytest.FixtureRequest, stories: Stories) -> None:
    """Let the stories run while the other tests do; where several processes share the tests, each plays those it is given."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        for item in request.session.items:
            if mark := item.get_closest_marker("story"):
                stories.begin(mark.kwargs["play"])


@pytest.fixture
def story(request: pytest.FixtureRequest, stories: Stories) -> Any:
    """What the test's story came to; fails with the story where that failed."""
    mark = request.node.get_closest_marker("story")
    return stories.begin(mark.kwargs["play"]).result(STORY_LIMIT_S)


@pytest.fixture(scope="session")
def shared_place() -> Iterator[Place]:
    with running_place(webs=2) as running:
        yield running


@pytest.fixture
def place(shared_place: Place) -> Iterator[Place]:
    """A whole service, with two web processes; whatever a test did to it, the promise holds when it is done."""
    shared_place.calm()
    yield shared_place
    shared_place.settle_down(60)
    assert problems(shared_place) == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    place = getattr(item, "funcargs", {}).get("place")
    if report.failed and report.when == "call" and isinstance(place, Place):  # After the last test it is gone.
        report.sections.append(("last log lines of the processes", place.last_words()))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for the stories last: by then most have come to their end. Only this folder's tests change places."""
    for item in items:
        if item.get_closest_marker("story"):
            item.add_marker(pytest.mark.timeout(STORY_LIMIT_S + 20))
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    ours = [index for index, item in enumerate(items) if "tests/faults" in item.path.as_posix()]
    ordered = sorted((items[index] for index in ours), key=lambda item: item.get_closest_marker("story") is not None)
    for index, item in zip(ours, ordered, strict=True):
        items[index] = item
