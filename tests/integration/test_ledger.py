"""Tokens on a real store: held, captured, released, topped up, by many at once, and through crashes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from app.domain import clock, ledger
from app.domain.errors import IdempotencyMismatch, InsufficientTokens, NotFound
from app.domain.job import Job
from app.domain.ledger import Balance, EntryType
from app.services.money.billing import HOLD_LOST_AFTER, OUTBOX_LOST_AFTER
from app.stores.database import Database
from app.stores.ledger import Difference
from tests.support.bank import PRICE, Bank
from tests.support.factories import completed_job, make_job


@pytest.fixture
def bank(database: Database) -> Iterator[Bank]:
    bank = Bank(database)
    yield bank
    assert bank.balance.tokens >= 0


def test_an_account_begins_with_a_thousand_tokens_and_an_entry_that_says_why(bank: Bank) -> None:
    assert bank.balance == Balance(1000, 0)
    assert bank.entries() == [(EntryType.SIGNUP, 1000, 0)]


def test_what_is_held_is_captured_for_the_delivered_and_released_for_the_rest(bank: Bank) -> None:
    job = bank.job(completed_job, requests=(4,))
    bank.billing.hold([job])
    held = bank.balance

    bank.store.end_hold(bank.ada, job.id, held=600, entries=ledger.settlement(bank.ada, job.id, held=600, used=450, at=clock.now()))

    assert (held, bank.balance) == (Balance(400, 600), Balance(550, 0))
    assert bank.entries()[1:] == [(EntryType.HOLD, -600, 600), (EntryType.CAPTURE, 0, -450), (EntryType.RELEASE, 150, -150)]
    assert bank.billing.verify() == (1, [])


def test_holding_settling_and_mending_again_changes_nothing(bank: Bank) -> None:
    job = bank.job(completed_job)

    holds = [bank.billing.hold([job]) for _ in range(3)]
    for _ in range(3):
        bank.billing.settle(job)
        bank.at(timedelta(hours=1)).mend()

    assert holds == [True, False, False]
    assert bank.balance == Balance(850, 0)
    assert [entry[0] for entry in bank.entries()] == [EntryType.SIGNUP, EntryType.HOLD, EntryType.CAPTURE]
    assert bank.billing.verify() == (1, [])


def test_a_hold_that_was_settled_cannot_be_taken_again(bank: Bank) -> None:
    job = bank.job(completed_job)
    bank.billing.hold([job])
    bank.billing.settle(job)

    bank.store.hold([ledger.hold(bank.ada, job.id, PRICE, clock.now())])

    assert bank.balance == Balance(850, 0)
    assert bank.billing.verify() == (1, [])


def test_a_job_that_delivers_nothing_costs_nothing(bank: Bank) -> None:
    job = bank.job(requests=(2,))
    bank.billing.hold([job])

    bank.billing.settle(job)

    assert bank.balance == Balance(1000, 0)
    assert bank.entries()[1:] == [(EntryType.HOLD, -300, 300), (EntryType.RELEASE, 300, -300)]


def test_a_refused_hold_says_what_is_needed_and_what_is_there_and_leaves_no_trace(bank: Bank) -> None:
    bank.billing.hold([bank.job(requests=(4,))])

    with pytest.raises(InsufficientTokens, match=r"^Insufficient tokens\. Need 450, have 400$"):
        bank.billing.hold([bank.job(requests=(3,))])

    assert bank.balance == Balance(400, 600)
    assert len(bank.entries()) == 2


def test_of_fifty_at_once_exactly_as_many_win_as_can_pay(bank: Bank) -> None:
    jobs = [bank.job() for _ in range(50)]
    seen = []

    def try_to_hold(job: Job) -> bool:
        try:
            return bank.billing.hold([job])
        except InsufficientTokens:
            return False
        finally:
            seen.append(bank.balance)

    with ThreadPoolExecutor(50) as threads:
        won = list(threads.map(try_to_hold, jobs))

    assert won.count(True) == 6
    assert bank.balance == Balance(100, 900)
    assert min(balance.tokens for balance in seen) == 100
    assert {balance.tokens + balance.held for balance in seen} == {1000}
    assert bank.billing.verify() == (1, [])


def test_of_twenty_settlements_of_one_job_one_counts(bank: Bank) -> None:
    job = bank.job(completed_job)
    bank.billing.hold([job])

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(bank.billing.settle, [job] * 20))

    assert bank.balance == Balance(850, 0)
    assert [entry[0] for entry in bank.entries()].count(EntryType.CAPTURE) == 1
    assert bank.billing.verify() == (1, [])


def test_an_entry_that_a_crash_kept_from_the_ledger_is_brought_there_by_the_sweep(bank: Bank) -> None:
    job = bank.job()
    hold = ledger.hold(bank.ada, job.id, PRICE, clock.now())
    bank.store.hold([hold])
    bank.crash_after_the_account(hold)
    during = bank.billing.verify()

    bank.billing.mend()
    too_soon = len(bank.entries())
    bank.at(OUTBOX_LOST_AFTER + timedelta(seconds=1)).mend()

    assert during == (1, [])
    assert too_soon == 1
    assert bank.entries()[1:] == [(EntryType.HOLD, -150, 150)]
    assert bank.database["accounts"].count_documents({"outbox": []}) == 1
    assert bank.billing.verify() == (1, [])


def test_an_entry_that_reached_the_ledger_before_the_crash_is_not_written_twice(bank: Bank) -> None:
    job = bank.job()
    hold = ledger.hold(bank.ada, job.id, PRICE, clock.now())
    bank.store.hold([hold])
    copied = bank.database["ledger"].find_one({"_id": hold.id})
    bank.database["accounts"].update_one({"_id": bank.ada}, {"$push": {"outbox": copied}, "$set": {"outboxAt": hold.at}})

    bank.at(OUTBOX_LOST_AFTER + timedelta(seconds=1)).mend()

    assert bank.entries()[1:] == [(EntryType.HOLD, -150, 150)]
    assert bank.database["accounts"].count_documents({"outbox": [], "outboxAt": None}) == 1


def test_a_hold_whose_job_never_was_or_is_settled_is_given_back_or_captured(bank: Bank) -> None:
    gone, done = make_job(user_id=bank.ada, tokens_per_image=PRICE), bank.job(completed_job)
    live, ended = bank.job(), bank.job(completed_job)
    for job in (gone, done, live, ended):
        bank.billing.hold([job])
    bank.jobs.change(done.id, lambda job: job.settled(now=clock.now()))

    bank.billing.mend()
    too_soon = bank.balance
    bank.at(HOLD_LOST_AFTER + timedelta(seconds=5)).mend()

    # The live job keeps its hold, and so does the ended one, whose settlement is still to come.
    assert too_soon == Balance(400, 600)
    assert bank.balance == Balance(1000 - 3 * PRICE, 2 * PRICE)
    assert sorted(bank.entries()[5:]) == [(EntryType.CAPTURE, 0, -150), (EntryType.RELEASE, 150, -150)]
    assert bank.billing.verify() == (1, [])


def test_a_top_up_counts_once_however_often_it_is_sent_at_once(bank: Bank) -> None:
    def top_up(_: int) -> ledger.Entry:
        return bank.billing.topup(bank.ada, 500, key="invoice-7", notes="October")

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(top_up, range(20)))

    assert {(entry.id, entry.balance, entry.notes) for entry in answers} == {("topup:invoice-7", 500, "October")}
    assert bank.balance == Balance(1500, 0)
    assert bank.entries()[1:] == [(EntryType.TOPUP, 500, 0)]


def test_a_top_up_key_buys_nothing_else_afterwards(bank: Bank) -> None:
    grace = bank.users.register("grace@example.com", "correct horse").id
    bank.billing.topup(bank.ada, 500, key="invoice-7", notes=None)

    for user_id, amount in ((bank.ada, 501), (grace, 500)):
        with pytest.raises(IdempotencyMismatch):
            bank.billing.topup(user_id, amount, key="invoice-7", notes=None)

    assert (bank.balance.tokens, bank.billing.balance(grace).tokens) == (1500, 1000)


@pytest.mark.parametrize("is_for_others", [False, True], ids=["other-amounts", "other-users"])
def test_of_different_top_ups_with_one_key_at_once_one_counts_and_the_others_are_told(bank: Bank, is_for_others: bool) -> None:
    others = [bank.users.outside_user(f"user-{n}", None).id for n in range(11)] if is_for_others else [bank.ada] * 11
    orders = [(bank.ada, 100), *((other, 100 if is_for_others else 101 + n) for n, other in enumerate(others))]

    def top_up(order: tuple[str, int]) -> int:
        try:
            return bank.billing.topup(*order, key="invoice-7", notes=None).balance
        except IdempotencyMismatch:
            return 0

    with ThreadPoolExecutor(12) as threads:
        added = [amount for amount in threads.map(top_up, orders) if amount]

    users = {bank.ada, *others}
    assert len(added) == 1
    assert sum(bank.billing.balance(user).tokens for user in users) == len(users) * 1000 + added[0]
    assert bank.billing.verify() == (len(users), [])


def test_a_top_up_that_a_crash_cut_off_is_answered_by_its_repeat(bank: Bank) -> None:
    first = bank.billing.topup(bank.ada, 500, key="invoice-7", notes=None)
    bank.crash_after_the_account(first)

    again = bank.billing.topup(bank.ada, 500, key="invoice-7", notes=None)
    with pytest.raises(IdempotencyMismatch):
        bank.billing.topup(bank.ada, 900, key="invoice-7", notes=None)

    assert again.balance == 500
    assert bank.balance == Balance(1500, 0)


def test_a_top_up_for_nobody_is_refused_and_leaves_its_key_free(bank: Bank) -> None:
    with pytest.raises(NotFound):
        bank.billing.topup("nobody", 500, key="invoice-7", notes=None)

    assert bank.billing.topup(bank.ada, 500, key="invoice-7", notes=None).balance == 500


@pytest.mark.parametrize(
    ("tampering", "difference"),
    [
        ({"$inc": {"tokens": 7}}, (857, 850, 150, 150)),
        ({"$inc": {"tokens": -850}}, (0, 850, 150, 150)),
        ({"$set": {"holds": {}}}, (850, 850, 0, 150)),
    ],
)
def test_an_account_somebody_tampered_with_is_found_with_its_difference(
    bank: Bank, tampering: dict[str, Any], difference: tuple[int, int, int, int]
) -> None:
    bank.users.register("grace@example.com", "correct horse")
    bank.billing.hold([bank.job()])
    bank.database["accounts"].update_one({"_id": bank.ada}, tampering)

    assert bank.billing.verify() == (2, [Difference(bank.ada, *difference)])


def test_a_ledger_somebody_tampered_with_is_found(bank: Bank) -> None:
    bank.billing.hold([bank.job()])
    bank.database["ledger"].delete_one({"type": "hold"})

    assert bank.billing.verify() == (1, [Difference(bank.ada, 850, 1000, 150, 0)])


def test_the_books_are_right_at_any_moment_of_a_busy_run(bank: Bank) -> None:
    bank.billing.topup(bank.ada, 1_000_000, key="plenty", notes=None)

    def live(_: int) -> None:
        job = bank.job(completed_job)
        bank.billing.hold([job])
        time.sleep(0.05)
        bank.billing.settle(job)
        time.sleep(0.05)

    with ThreadPoolExecutor(6) as threads:
        running = [threads.submit(live, n) for n in range(120)]
        checks = []
        while not all(task.done() for task in running):
            checks.append(bank.billing.verify())

    assert len(checks) >= 5
    assert set(map(repr, checks)) == {"(1, [])"}
    assert bank.balance == Balance(1_001_000 - 120 * PRICE, 0)
    assert bank.database["accounts"].count_documents({"outbox": []}) == 1
