from __future__ import annotations

import pytest

from app.clients.fal.status import FalState, FalStatus
from app.domain.fal_request import FalRequest
from app.services.fulfilment.progress import Progress, progress_of
from tests.support.factories import NOON, after

REQUEST = FalRequest(index=0, num_images=1, submitted_at=NOON)


def told(state: FalState, *, at: float = 0, position: int | None = None, usual_s: float = 10) -> Progress:
    return progress_of(REQUEST, FalStatus(state, position), usual_s=usual_s, now=after(at))


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (None, "Waiting in fal's queue"),
        (0, "Waiting in fal's queue, 0 ahead"),
        (10, "Waiting in fal's queue, 10 ahead"),
        (11, "Waiting in fal's queue, more than 10 ahead"),
        (50, "Waiting in fal's queue, more than 50 ahead"),
        (149, "Waiting in fal's queue, more than 100 ahead"),
    ],
)
def test_a_queued_request_tells_its_position_roughly_when_it_is_far(position: int | None, message: str) -> None:
    assert told(FalState.IN_QUEUE, position=position) == Progress(10, message, position)


@pytest.mark.parametrize(("seconds", "percent"), [(0, 20), (5, 55), (10, 90), (1000, 90)])
def test_a_running_request_moves_along_its_usual_duration_and_never_to_the_end(seconds: float, percent: int) -> None:
    assert told(FalState.IN_PROGRESS, at=seconds) == Progress(percent, "Generating")


def test_a_slow_model_moves_slowly() -> None:
    assert told(FalState.IN_PROGRESS, at=5, usual_s=50).percent == 27


def test_a_request_of_unknown_start_has_just_begun() -> None:
    request = FalRequest(index=0, num_images=1)

    assert progress_of(request, FalStatus(FalState.IN_PROGRESS), usual_s=10, now=NOON).percent == 20


def test_a_finished_request_is_being_stored() -> None:
    assert told(FalState.COMPLETED) == Progress(95, "Storing the images")


def test_the_stages_follow_each_other_upwards() -> None:
    stages = [told(FalState.IN_QUEUE), told(FalState.IN_PROGRESS), told(FalState.IN_PROGRESS, at=99), told(FalState.COMPLETED)]

    assert [stage.percent for stage in stages] == sorted(stage.percent for stage in stages)
