"""The web side: who asks, the web app's own endpoints, and how jobs and their cost are looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.bootstrap.foundation import Foundation
from app.bootstrap.money import Money
from app.bootstrap.orders import Orders
from app.bootstrap.pictures import Pictures
from app.services.events.waiting import JobWaiters
from app.services.orders.web_generation import WebGeneration
from app.services.people.accounts import Accounts
from app.services.people.bearer_tokens import Tokens
from app.services.people.sessions import Sessions
from app.services.reports.history import History
from app.services.reports.usage import Usage


@dataclass(frozen=True)
class Web:
    accounts: Accounts
    tokens: Tokens
    sessions: Sessions
    web_generation: WebGeneration
    waiters: JobWaiters
    history: History
    usage: Usage


def build_web(foundation: Foundation, money: Money, pictures: Pictures, orders: Orders, offload: Callable[..., Any]) -> Web:
    stores = foundation.stores
    accounts = Accounts(
        accounts=stores.accounts,
        keys=stores.keys,
        is_open=foundation.settings.registration == "open",
        signup_tokens=foundation.settings.signup_tokens,
        offload=offload,
    )
    tokens = Tokens(settings=foundation.settings, accounts=accounts)
    return Web(
        accounts=accounts,
        tokens=tokens,
        sessions=Sessions(accounts=stores.accounts, keys=stores.keys, ended=stores.ended_sessions, tokens=tokens, passwords=accounts),
        web_generation=_web_generation(foundation, money, pictures, orders),
        waiters=JobWaiters(foundation.clients.redis, stores.jobs),
        history=History(jobs=stores.jobs),
        usage=Usage(days=stores.usage_days),
    )


def _web_generation(foundation: Foundation, money: Money, pictures: Pictures, orders: Orders) -> WebGeneration:
    return WebGeneration(
        generation=orders.generation,
        uploads=pictures.uploads,
        funds=money.funds,
        registry=foundation.catalog.registry,
        operations=foundation.catalog.operations,
        templates=foundation.catalog.templates,
    )
