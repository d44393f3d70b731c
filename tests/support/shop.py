"""Batches in one process, as their tests use them: a user with tokens and a budget, crashes at a step, and what is left."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from app.domain import clock
from app.domain.batch import Batch
from app.domain.fal_request import Failure
from app.domain.job import Job
from app.domain.ledger import Balance
from app.services.orders.batches import ACCEPT_WITHIN, Batches
from app.services.orders.order import Order, OrderKey, order_key
from tests.support.gateway import SMALL, Gateway

UNIT_MICROS = 25_000
"""What one picture of flux-dev costs."""


class Crash(BaseException):
    """The process dies here: nothing that would run after an error runs."""


class Shop:
    """Batches, a user of 1,000 tokens, and what is left when something goes wrong."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.services = gateway.services
        self.batches = gateway.services.batches
        self.ada = gateway.services.accounts.register("ada@example.com", "correct horse").id

    def order(self, items: int = 3, *, user_id: str = "user-1", key: OrderKey | None = None, **fields: Any) -> Batch:
        return self.batches.submit(orders(items, user_id=user_id, **fields), key=key, max_cost_micros=None).batch

    def paid(self, items: int = 3, *, key: OrderKey | None = None) -> Batch:
        """Order what costs Ada 100 tokens an item and draws on her budget."""
        return self.order(items, user_id=self.ada, pays_tokens=True, key=key)

    def single(self, *, num_images: int = 1, prompt: str = "a red bicycle") -> Job:
        """Order one job that costs Ada 100 tokens an image and draws on her budget."""
        (order,) = orders(1, user_id=self.ada, inputs={"prompt": prompt}, pays_tokens=True)
        return self.services.orders.submit(replace(order, options={**order.options, "num_images": num_images})).job

    def budget(self, monthly: str) -> None:
        self.services.budgets.set_monthly(f"user:{self.ada}", Decimal(monthly))

    def funds(self) -> tuple[Balance, int, int]:
        """Return Ada's tokens, and her budget's spent and held micro-USD."""
        (budget,) = self.services.budgets.all()
        return self.services.billing.balance(self.ada), budget.spent_micros, budget.held_micros

    def left(self) -> dict[str, int]:
        names = ("batches", "jobs", "uploads", "usage")
        return {name: found for name in names if (found := self.services.database[name].count_documents({}))}

    def with_crash(self, part: str, method: str, *, after: bool) -> Batches:
        """Return the service as it is in a process that dies at one step, before or after it is done."""
        crashing = copy.copy(self.batches)
        whole = getattr(crashing, part)
        crippled = copy.copy(whole)

        def dies(*args: Any, **kwargs: Any) -> Any:
            if after:
                getattr(whole, method)(*args, **kwargs)
            raise Crash

        setattr(crippled, method, dies)
        setattr(crashing, part, crippled)
        return crashing

    def time_passes(self, by: timedelta = ACCEPT_WITHIN + timedelta(seconds=1)) -> None:
        for batch in self.services.database["batches"].find({"attentionAt": {"$ne": None}}):
            self.services.database["batches"].update_one({"_id": batch["_id"]}, {"$set": {"attentionAt": batch["attentionAt"] - by}})

    def jobs(self, batch: Batch) -> list[Job]:
        return [self.gateway.job(job_id) for job_id in batch.job_ids]

    def work(self, *, fails: Sequence[str] = ()) -> list[str]:
        """Do what a worker does until nothing is queued; every job is ended at once. Returns whose jobs came in which order."""
        order: list[str] = []
        while tasks := self.gateway.tasks():
            for name, arguments in tasks:
                if name == "give_turns":
                    self.services.fair_share.give_turns()
                elif name == "submit":
                    job = self.gateway.job(arguments[0])
                    order.append(job.user_id)
                    self.services.jobs.change(job, lambda j: j.given_up(Failure("ended", "Ended"), now=clock.now()))
                    self.services.recovery.settle(job.id)
                elif name == "settle":
                    self.services.recovery.settle(arguments[0])
        return order


def orders(items: int, *, user_id: str = "user-1", **fields: Any) -> list[Order]:
    return [
        Order(**{"model": "flux-dev", "inputs": {"prompt": f"bicycle {n}"}, "options": {"image_size": SMALL}, "user_id": user_id, **fields})
        for n in range(items)
    ]


def key(text: str = "k-1", body: object = 1) -> OrderKey:
    return order_key(caller="anonymous", route="POST /api/images/batch", key=text, body={"body": body})
