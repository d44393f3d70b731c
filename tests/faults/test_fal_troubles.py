"""What fal may do to a request, each to a job of its own, all at once: what becomes of the job, what it costs, how often it was posted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from scripts.stack.stack import Stack
from tests.acceptance.service import Answer
from tests.faults.customers import TOKENS_AN_IMAGE, Customer, register
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems
from tests.support.cases import fal_case

DEADLINE_S = 3
PRICE = 0.025  # flux-dev: one started megapixel.


@dataclass(frozen=True)
class Trouble:
    """`posts`: what the emulator did with each submit it saw, oldest first."""

    on: str
    kind: str
    times: int | None = 1
    ordered: int = 1
    delivered: int = 0
    code: str | None = None
    posts: tuple[str, ...] = ("taken",)
    reported: bool = False
    case: str = ""

    @property
    def name(self) -> str:
        return f"{self.on}-{self.case or self.kind}"

    @property
    def value(self) -> Any:
        """What the emulator answers, where it is to answer one of the cases."""
        return dict(zip(("status", "body"), fal_case(self.case), strict=True)) if self.case else None

    @property
    def prompt(self) -> str:
        return f"a red bicycle <{self.name}>"


TROUBLES = [
    Trouble("submit", "error_503", delivered=1, posts=("error_503", "taken")),
    Trouble("submit", "error_504", delivered=1, posts=("error_504", "taken")),
    Trouble("submit", "refuse_429", delivered=1, posts=("refuse_429", "taken")),
    Trouble("submit", "error_503_nginx", delivered=1, posts=("error_503_nginx", "taken")),
    Trouble("submit", "bad_input_422", code="generation_failed", posts=("bad_input_422",)),
    Trouble("submit", "html", code="submit_outcome_unknown", posts=("html",), reported=True),
    Trouble("submit", "drop_after_read", times=None, code="submit_outcome_unknown", reported=True),
    Trouble("submit", "foreign_urls", delivered=1),
    Trouble("run", "content_policy", code="content_policy_violation"),
    Trouble("run", "error_500", code="generation_failed"),
    Trouble("run", "fewer", ordered=3, delivered=2),
    Trouble("run", "none", code="no_images"),
    Trouble("run", "html_result", code="bad_provider_answer"),
    Trouble("run", "private_url", code="bad_provider_answer"),
    Trouble("status", "html", times=2, delivered=1),
    Trouble("status", "error_503", times=2, delivered=1),
    Trouble("result", "error_503", times=1, delivered=1),
    Trouble("result", "html", times=1, delivered=1),
    Trouble("result", "drop", times=1, delivered=1),
    Trouble("result", "answer", times=None, code="generation_failed", case="422_detail_half_emoji"),
    Trouble("result", "answer", times=None, code="generation_failed", case="422_detail_object"),
    Trouble("result", "answer", times=None, code="generation_failed", case="422_msg_null"),
    Trouble("submit", "answer", code="generation_failed", posts=("answer",), case="submit_403_one_model_restricted"),
    Trouble("file", "error_503", times=1, ordered=2, delivered=2),
    Trouble("file", "drop", times=1, delivered=1),
]


@dataclass(frozen=True)
class Outcome:
    job: Answer
    posts: tuple[str, ...]
    balance: tuple[int, int]
    reported: bool


@dataclass(frozen=True)
class Played:
    outcomes: dict[str, Outcome]
    problems: list[str]
    ledger: str


def all_troubles_at_once() -> Played:
    """Order all pictures, each with its trouble, and wait until every job has ended."""
    with running_place() as place:
        customers = {trouble.name: place.customer() for trouble in TROUBLES}
        for trouble in TROUBLES:
            place.emulator.fault(trouble.on, trouble.kind, times=trouble.times, promptContains=trouble.prompt, value=trouble.value)
        ids = {trouble.name: customers[trouble.name].order(trouble.prompt, num_images=trouble.ordered) for trouble in TROUBLES}
        place.settle_down(90)
        outcomes = {
            trouble.name: Outcome(
                job=customers[trouble.name].job(ids[trouble.name]),
                posts=tuple(post["refusal"] or "taken" for post in place.posts(trouble.prompt)),
                balance=customers[trouble.name].balance(),
                reported=place.reported(ids[trouble.name]),
            )
            for trouble in TROUBLES
        }
        return Played(outcomes, problems(place), place.verify_ledger().stdout)


@pytest.mark.story(play=all_troubles_at_once)
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_a_trouble_of_fal_costs_no_more_than_what_was_delivered(story: Played, trouble: Trouble) -> None:
    outcome = story.outcomes[trouble.name]

    job = outcome.job
    assert (job["status"], (job["error"] or {}).get("code")) == ("completed" if trouble.delivered else "failed", trouble.code)
    assert (len(job["images"]), job["cost"]) == (trouble.delivered, pytest.approx(trouble.delivered * PRICE))
    assert outcome.balance == (1000 - trouble.delivered * TOKENS_AN_IMAGE, 0)
    assert outcome.posts == trouble.posts
    assert outcome.reported == trouble.reported


@pytest.mark.story(play=all_troubles_at_once)
def test_after_all_these_troubles_the_promise_holds(story: Played) -> None:
    assert story.problems == []
    assert story.ledger == f"{len(TROUBLES)} accounts checked, 0 do not add up\n"


def test_a_generation_that_never_ends_is_given_up_at_its_deadline_canceled_at_fal_and_free(place: Place) -> None:
    prompt = "a red bicycle [emulator: fail=never]"
    with hasty_web(place.stack) as web:
        customer = register(place.client)
        customer.client = place.client.__class__(base_url=web.base_url, timeout=30, trust_env=False)
        with customer.client:
            job_id = customer.order(prompt)

    place.settle_down(30)
    document, posts = place.document(job_id), place.posts(prompt)
    assert (document["status"], document["error"]["code"]) == ("failed", "deadline_exceeded")
    assert [post["cancelRequested"] for post in posts] == [True]
    assert money_of(place, customer) == (1000, {"hold": 1, "release": 1})


def hasty_web(stack: Stack) -> Stack:
    """A web process on the same stores that gives its jobs only a short time."""
    own = {"JOB_DEADLINE_SECONDS": str(DEADLINE_S)}
    return Stack(env=stack.env, overrides=own, processes=("web",), backing=(), quiet=True)


def money_of(place: Place, customer: Customer) -> tuple[int, dict[str, int]]:
    account = place.database["accounts"].find_one({"_id": customer.id})
    assert account is not None
    entries = place.database["ledger"].find({"userId": customer.id, "type": {"$ne": "signup"}})
    kinds: dict[str, int] = {}
    for entry in entries:
        kinds[entry["type"]] = kinds.get(entry["type"], 0) + 1
    return account["tokens"], kinds
