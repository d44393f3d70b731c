"""Users and API keys, for administrators."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.api.http import examples, paging, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.ordering import IDEMPOTENCY_KEY, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.schemas import admin_people as schemas
from app.api.tokens import topup_key_of
from app.domain.account import UserFilter, UserPlace, UserSort
from app.domain.api_key import ApiKey, KeyTerms, OrderLimits, Scope
from app.domain.budget import limit_of
from app.domain.errors import FieldError, InvalidRequest
from app.services.operator.directory import KeyEntry, Member
from app.services.operator.grants import KEPT, KeptType

users = ApiBlueprint("admin-users", __name__, url_prefix="/api/admin/users", description="Everybody who uses the service")
keys = ApiBlueprint("admin-keys", __name__, url_prefix="/api/admin/keys", description="API keys")

PASSWORD_BYTES = 15


@users.get("")
@needs(Scope.ADMIN)
@users.arguments(schemas.UsersQuery, location="query")
@users.response(200, schemas.AdminUsersAnswer)
@users.errors(400, 401, 403)
def list_users(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List users with balance and this month's spend (administrators).

    Beside accounts these are users whom only scripts have named: with `sort=spend` all who were charged something this month, with `q` on
    the first page those whose id it is, or, if they were charged this month, is a part of.
    """
    wanted = UserFilter(text=query["q"], role=query["role"], disabled=query["disabled"], sort=query["sort"])
    found, end = services().directory.users(wanted, after=_place_of(query["cursor"], wanted), limit=query["limit"])
    cursor = {"next": paging.opaque(json.dumps([wanted.sort, end.value, end.id])) if end else None, "has_more": end is not None}
    return {"users": found, "cursor": cursor}, paging.links(cursor)


def _place_of(cursor: str | None, wanted: UserFilter) -> UserPlace | None:
    """Return where a cursor leads. Raises InvalidRequest for one that was never handed out for this sort."""
    text = paging.place_of(cursor, lambda place: _is_place(place, wanted.sort))
    return UserPlace(*json.loads(text)[1:]) if text is not None else None


def _is_place(text: str, sort: UserSort) -> bool:
    try:
        name, value, user_id = json.loads(text)
        if sort is UserSort.NEWEST:
            datetime.fromisoformat(value)
    except (ValueError, TypeError, RecursionError):
        return False
    kind = int if sort in (UserSort.BALANCE, UserSort.SPEND) else str
    return name == sort.value and type(value) is kind and isinstance(user_id, str)


@users.post("")
@needs(Scope.ADMIN)
@users.arguments(schemas.UserCreateBody, example={"email": "grace.hopper@example.com"})
@users.response(201, schemas.UserCreatedAnswer)
@users.errors(400, 401, 403, 409)
def create_user(body: dict[str, Any]) -> dict[str, Any]:
    """Open an account, also while registration is closed (administrators). Its password is made here and shown this once."""
    services().readiness.require()  # Without its unique index one email would get two accounts.
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    account = services().grants.create_user(caller().actor, body["email"], password, role=body["role"])
    return {"user": services().directory.user(account.id), "password": password}


@users.get("/<user_id>")
@needs(Scope.ADMIN)
@users.response(200, schemas.AdminUserFileAnswer)
@users.errors(401, 403, 404)
def show_user(user_id: str) -> dict[str, Any]:
    """Show a user, by its id or its address, with the latest entries of its ledger (administrators)."""
    member = services().directory.user(user_id)
    return {"user": member, "ledger": services().directory.entries(member.id)}


@users.patch("/<user_id>")
@needs(Scope.ADMIN)
@users.arguments(schemas.UserChangeBody, example={"disabled": True})
@users.response(200, schemas.AdminUserAnswer)
@users.errors(400, 401, 403, 404, 409)
def change_user(body: dict[str, Any], user_id: str) -> Member:
    """Make a user an administrator or a plain user again; shut it out, or let it in again (administrators).

    The last administrator who can sign in stays one: 409 `last_administrator`.
    """
    account = services().directory.account(user_id)
    services().grants.change_user(caller().actor, account, **body)
    return services().directory.user(account.id)


@users.post("/<user_id>/topup")
@needs(Scope.ADMIN)
@users.doc(parameters=[IDEMPOTENCY_KEY])
@users.arguments(schemas.UserTopupBody, examples=examples.USER_TOPUP)
@users.response(201, schemas.UserTopupAnswer)
@users.errors(400, 401, 403, 404)
def top_up(body: dict[str, Any], user_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Add tokens to a user's balance, by its id or its address (administrators). The same key again adds nothing."""
    account = services().directory.account(user_id)
    key = topup_key_of(body)
    entry, replayed = services().grants.topup(caller().actor, account.id, body["amount"], key=key, notes=body["notes"])
    balance = services().billing.balance(account.id).tokens
    return {"entry": entry, "user_id": account.id, "balance": balance}, replay_headers(replayed=replayed)


# -- keys -----------------------------------------------------------------------------------------------------------------------------


@keys.get("")
@needs(Scope.ADMIN)
@keys.arguments(schemas.KeysQuery, location="query")
@keys.response(200, schemas.AdminKeysAnswer)
@keys.errors(400, 401, 403)
def list_keys(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List API keys, the newest first, with what limits them, their last use, and what was charged this month (administrators)."""
    last = paging.place_of(query["cursor"], lambda text: text.isalnum() and text.isascii())
    found, following = services().directory.keys(query["q"], live=query["live"], after_id=last, limit=query["limit"])
    cursor = {"next": paging.opaque(following) if following else None, "has_more": following is not None}
    return {"found": found, "cursor": cursor}, paging.links(cursor)


@keys.post("")
@needs(Scope.ADMIN)
@keys.arguments(schemas.KeyCreateBody, example={"name": "nightly script", "users": ["user123"], "monthlyBudget": 25.0})
@keys.response(201, schemas.KeyCreatedAnswer)
@keys.errors(400, 401, 403)
def create_key(body: dict[str, Any]) -> dict[str, Any]:
    """Make an API key (administrators). Its text is shown this once; only a hash of it is kept."""
    monthly = body.pop("monthly_budget", None)
    terms = _changed(KeyTerms(), body)
    key, text = services().grants.make_key(caller().actor, body["name"], terms, monthly)
    return {"key": services().directory.key(key.id), "text": text}


@keys.get("/<key_id>")
@needs(Scope.ADMIN)
@keys.response(200, schemas.AdminKeyAnswer)
@keys.errors(401, 403, 404)
def show_key(key_id: str) -> KeyEntry:
    """Show one API key (administrators)."""
    return services().directory.key(key_id)


@keys.patch("/<key_id>")
@needs(Scope.ADMIN)
@keys.arguments(schemas.KeyChangeBody, example={"ratePerMinute": 60})
@keys.response(200, schemas.AdminKeyAnswer)
@keys.errors(400, 401, 403, 404)
def change_key(body: dict[str, Any], key_id: str) -> KeyEntry:
    """Change an API key's name and limits, at once (administrators). What is left out stays; null is no limit any more."""
    monthly: Decimal | KeptType | None = body.pop("monthly_budget", KEPT)

    def changed(key: ApiKey) -> ApiKey:
        return replace(key, name=body.get("name", key.name), terms=_changed(key.terms, body))

    services().grants.change_key(caller().actor, key_id, changed, monthly)
    return services().directory.key(key_id)


@keys.delete("/<key_id>")
@needs(Scope.ADMIN)
@keys.response(204)
@keys.errors(401, 403, 404)
def revoke_key(key_id: str) -> None:
    """Revoke an API key at once and for good (administrators)."""
    services().grants.revoke_key(caller().actor, key_id)


def _changed(terms: KeyTerms, body: Mapping[str, Any]) -> KeyTerms:
    """Return terms with what a body names. Raises InvalidRequest for an amount that cannot be one."""
    named: dict[str, Any] = {name: tuple(dict.fromkeys(body[name])) for name in ("users", "scopes", "ip_ranges") if name in body}
    named |= {name: body[name] for name in ("rate_per_minute", "expires_at") if name in body}
    orders: OrderLimits = terms.orders
    if "models" in body:
        orders = replace(orders, models=tuple(dict.fromkeys(body["models"])))
    if "max_cost_per_order" in body:
        orders = replace(orders, max_micros=_limit(body["max_cost_per_order"]))
    return replace(terms, **named, orders=orders)


def _limit(amount: Decimal | None) -> int | None:
    try:
        return None if amount is None else limit_of(amount)
    except InvalidRequest as exc:
        detail = exc.errors[0].detail
        raise InvalidRequest(f"maxCostPerOrder: {detail}", [FieldError("/maxCostPerOrder", detail)]) from exc
