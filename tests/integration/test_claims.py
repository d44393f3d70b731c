"""A submit is a purchase: it is posted once its claim is confirmed, by whoever can know that the claim is its own, and never twice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from app.bootstrap import Services
from app.domain.errors import StoreUnavailable
from app.domain.fal_request import RequestState
from app.domain.job import JobStatus
from app.services.fulfilment.receipts import RetryingWrites
from tests.support.emulator import Emulator
from tests.support.fal_calls import wait_until
from tests.support.fal_place import FalPlace
from tests.support.gateway import Gateway
from tests.support.services import Backing, running_services
from tests.support.strange_mongo import NOT_CONFIRMED, Message, StrangeMongo, strange_mongo


@pytest.fixture
def strange(tmp_path: Path) -> Iterator[StrangeMongo]:
    with strange_mongo(tmp_path / "mongo") as server:
        yield server


@pytest.fixture
def gateway(strange: StrangeMongo, backing: Backing, fal_place: FalPlace, fal_emulator: Emulator, redis: Redis) -> Iterator[Gateway]:
    """The service on a server that may be made strange; it insists for as long as a busy machine may take."""
    with running_services(Backing(strange.uri(socketTimeoutMS=1000, retryWrites="false"), backing.redis_url), fal_place) as services:
        insist(services, seconds=20)
        yield Gateway(services, fal_emulator)


def insist(services: Services, seconds: float) -> None:
    """Let writes be tried again for this long: short where the test's server never confirms them."""
    services.dispatcher._writes._insist_s = seconds
    services.dispatcher._receipts._writes._insist_s = seconds


def is_claim(command: Message) -> bool:
    return command.get("update") == "jobs" and "'submitting'" in repr(command["updates"])


def is_receipt(command: Message) -> bool:
    return command.get("update") == "jobs" and "'submitted'" in repr(command["updates"])


class Trouble:
    """Meddles with the first `times` commands of a kind; they are carried out, or not, and answered as `answer` says."""

    def __init__(self, kind: Callable[[Message], bool], *, times: int = 10**6, carried_out: bool = True, confirmed: bool = False) -> None:
        self.kind, self.left, self.carried_out, self.confirmed = kind, times, carried_out, confirmed

    def __call__(self, command: Message, carry_out: Callable[[], Message]) -> Message | None:
        if not self.left or not self.kind(command):
            return carry_out()
        self.left -= 1
        answer = carry_out() if self.carried_out else {}
        return {**answer, "writeConcernError": NOT_CONFIRMED} if self.confirmed else None


SILENT = {
    "carried out": Trouble(is_claim),
    "lost": Trouble(is_claim, carried_out=False),
    "not by a majority": Trouble(is_claim, confirmed=True),
}


@pytest.mark.parametrize("kind", SILENT)
def test_no_submit_is_posted_while_its_claim_is_not_confirmed(gateway: Gateway, strange: StrangeMongo, kind: str) -> None:
    job = gateway.order()
    insist(gateway.services, seconds=1)
    strange.meddle = SILENT[kind]

    with pytest.raises(StoreUnavailable):
        gateway.services.dispatcher.post(job.id)

    assert gateway.posts() == []


@pytest.mark.parametrize("kind", ["carried out", "lost", "not by a majority"])
def test_who_lost_the_answer_to_its_claim_finds_its_name_in_it_and_the_order_goes_on(
    gateway: Gateway, strange: StrangeMongo, kind: str
) -> None:
    job = gateway.order()
    strange.meddle = trouble = Trouble(is_claim, times=1, carried_out=kind != "lost", confirmed=kind == "not by a majority")

    sent = gateway.dispatch(job)

    assert (sent.requests[0].state, sent.requests[0].attempts, sent.status) == (RequestState.SUBMITTED, 1, JobStatus.PROCESSING)
    assert (len(gateway.posts()), trouble.left) == (1, 0)


def test_of_several_that_lose_answers_to_their_claims_one_posts(gateway: Gateway, strange: StrangeMongo) -> None:
    job = gateway.order(num_images=4)
    strange.meddle = Trouble(is_claim, times=3)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: gateway.services.dispatcher.post(job.id), range(4)))

    assert gateway.posts() == [4]
    assert gateway.job(job.id).requests[0].state is RequestState.SUBMITTED


def test_a_refused_submit_whose_return_is_not_answered_is_tried_again_and_not_ended_as_unknown(
    gateway: Gateway, strange: StrangeMongo
) -> None:
    gateway.fal.fault("submit", "error_503")
    job = gateway.order()
    strange.meddle = trouble = Trouble(lambda c: c.get("update") == "jobs" and "'notBefore': datetime" in repr(c["updates"]), times=1)

    put_back = gateway.dispatch(job)

    assert (put_back.requests[0].state, put_back.requests[0].attempts, trouble.left) == (RequestState.NEW, 1, 0)


def test_a_receipt_that_cannot_be_written_down_is_in_a_file_and_in_redis_and_is_taken_in_later(
    gateway: Gateway, strange: StrangeMongo, redis: Redis
) -> None:
    job = gateway.order()
    insist(gateway.services, seconds=1)
    strange.meddle = Trouble(is_receipt, carried_out=False)
    with pytest.raises(StoreUnavailable):
        gateway.services.dispatcher.post(job.id)
    folder = gateway.services.settings.receipts_dir
    kept = (len(list(folder.glob("*.receipt"))), redis.hlen("imagegw:receipts"))

    strange.meddle = Trouble(is_receipt, times=0)
    taken_in = gateway.services.dispatcher.replay()
    again = gateway.services.dispatcher.replay()
    completed = gateway.collect(gateway.job(job.id))

    assert (kept, taken_in, again) == ((1, 1), 1, 0)
    assert (completed.status, len(gateway.posts())) == (JobStatus.COMPLETED, 1)
    assert (list(folder.iterdir()), redis.hlen("imagegw:receipts")) == ([], 0)


def test_a_receipt_whose_answer_is_lost_is_kept_once_and_leaves_nothing_behind(
    gateway: Gateway, strange: StrangeMongo, redis: Redis
) -> None:
    job = gateway.order()
    strange.meddle = trouble = Trouble(is_receipt, times=1)

    sent = gateway.dispatch(job)

    assert (sent.requests[0].receipt is not None, trouble.left) == (True, 0)
    assert (list(gateway.services.settings.receipts_dir.iterdir()), redis.hlen("imagegw:receipts")) == ([], 0)


def test_a_claim_that_was_rolled_back_is_not_bought_again_once_its_receipt_is_taken_in(gateway: Gateway, strange: StrangeMongo) -> None:
    job = gateway.order()
    before = gateway.services.database["jobs"].find_one({"_id": job.id})
    insist(gateway.services, seconds=1)
    strange.meddle = Trouble(is_receipt, carried_out=False)
    with pytest.raises(StoreUnavailable):
        gateway.services.dispatcher.post(job.id)
    strange.meddle = Trouble(is_receipt, times=0)
    assert before is not None
    gateway.services.database["jobs"].replace_one({"_id": job.id}, before)

    gateway.services.dispatcher.replay()
    sent = gateway.dispatch(job)

    assert (sent.requests[0].state, len(gateway.posts())) == (RequestState.SUBMITTED, 1)


def test_a_receipt_that_no_job_takes_is_told_and_set_aside(
    gateway: Gateway, strange: StrangeMongo, caplog: pytest.LogCaptureFixture
) -> None:
    job = gateway.order()
    insist(gateway.services, seconds=1)
    strange.meddle = Trouble(is_receipt, carried_out=False)
    with pytest.raises(StoreUnavailable):
        gateway.services.dispatcher.post(job.id)
    strange.meddle = Trouble(is_receipt, times=0)
    gateway.services.database["jobs"].delete_one({"_id": job.id})

    taken_in = [gateway.services.dispatcher.replay() for _ in range(2)]

    told = [record for record in caplog.records if "no job that takes it" in record.getMessage()]
    assert (taken_in, len(told)) == ([0, 0], 1)
    assert [path.suffix for path in gateway.services.settings.receipts_dir.iterdir()] == [".bad"]


def test_a_task_stops_before_its_own_limit_and_leaves_the_rest_to_the_next(gateway: Gateway) -> None:
    job = gateway.order(num_images=10)
    hasty = copy.copy(gateway.services.dispatcher)
    hasty._writes = RetryingWrites(task_s=1.0)

    hasty.post(job.id)
    none = gateway.posts()
    gateway.dispatch(job)

    assert none == []
    wait_until(lambda: sorted(gateway.posts()) == [2, 4, 4])
