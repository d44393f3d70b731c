"""Stories: faults whose mending takes long are played beside each other from the first test on, and told when a test asks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.place import Place, running_place
from tests.faults.soundness import problems

AT_ONCE = 3
PATIENCE_S = 110.0
Story = Callable[[], Any]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "story(play): the function whose outcome the test looks at; it is played once for all its tests")


@pytest.fixture(scope="session")
def stories(request: pytest.FixtureRequest) -> Iterator[dict[Story, Future[Any]]]:
    """Begin every story that a selected test asks for."""
    marks = [mark for item in request.session.items if (mark := item.get_closest_marker("story"))]
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="story") as pool:
        yield {play: pool.submit(play) for play in dict.fromkeys(mark.kwargs["play"] for mark in marks)}


@pytest.fixture(scope="session", autouse=True)
def _begun(stories: dict[Story, Future[Any]]) -> None:
    """Let the stories run while the other tests do."""


@pytest.fixture
def story(request: pytest.FixtureRequest, stories: dict[Story, Future[Any]]) -> Any:
    """What the test's story came to; fails with the story where that failed."""
    mark = request.node.get_closest_marker("story")
    return stories[mark.kwargs["play"]].result(PATIENCE_S)


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
    ours = [index for index, item in enumerate(items) if "tests/faults" in item.path.as_posix()]
    ordered = sorted((items[index] for index in ours), key=lambda item: item.get_closest_marker("story") is not None)
    for index, item in zip(ours, ordered, strict=True):
        items[index] = item
