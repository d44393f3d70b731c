"""Tokens: balance, history, top-up."""

from __future__ import annotations

import re
from typing import Any

from app.api.http import examples, paging, services
from app.api.http.access import needs_user
from app.api.http.answers import envelope_of, enveloped
from app.api.http.auth import caller, signed_in
from app.api.http.ordering import HEADER, idempotency_key, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.schemas import accounts as schemas
from app.domain.api_key import Scope
from app.domain.errors import FieldError, InvalidRequest

blueprint = ApiBlueprint("tokens", __name__, url_prefix="/api/tokens", description="What users may spend")

SORT_ID = re.compile(r"\d{13}:.{1,300}")


@blueprint.get("/balance")
@needs_user(Scope.READ)
@blueprint.response(200, envelope_of(schemas.BalanceAnswer))
@blueprint.errors(401)
def balance() -> dict[str, Any]:
    """Show what can be spent, and what is held for generations on their way."""
    user_id = signed_in().id
    found = services().billing.balance(user_id)
    return enveloped("OK", {"user_id": user_id, "tokens": found.tokens, "held": found.held})


@blueprint.get("/history")
@needs_user(Scope.READ)
@blueprint.arguments(schemas.HistoryQuery, location="query")
@blueprint.response(200, envelope_of(schemas.HistoryAnswer))
@blueprint.errors(401)
def history(query: dict[str, Any]) -> dict[str, Any]:
    """List the ledger's entries, newest first: signup, topup, hold, capture, release."""
    user_id, limit = signed_in().id, query["limit"]
    before = paging.place_of(query["cursor"], SORT_ID.fullmatch)
    found = services().billing.history(user_id, kind=query["type"], before_id=before, limit=limit + 1)
    more = len(found) > limit
    following = paging.opaque(found[limit - 1][0]) if more else None
    entries = [entry for _, entry in found[:limit]]
    return enveloped("OK", {"entries": entries, "cursor": {"next": following, "has_more": more}})


@blueprint.post("/topup")
@needs_user(Scope.ADMIN)
@blueprint.arguments(schemas.TopupBody, examples=examples.TOPUP)
@blueprint.response(201, envelope_of(schemas.TopupAnswer))
@blueprint.errors(400, 401, 403, 404)
def topup(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Add tokens to a user's balance, by its id or its address (administrators). The same key again adds nothing and answers the same.

    The key comes as `idempotencyKey` or in the header `Idempotency-Key`.
    """
    account = services().directory.account_of(body["user_id"])
    user_id, key = account.id if account else body["user_id"], topup_key_of(body)
    entry, replayed = services().grants.topup(caller().actor, user_id, body["amount"], key=key, notes=body["notes"])
    tokens = services().billing.balance(user_id).tokens
    return enveloped("Tokens added", {"entry": entry, "balance": tokens}), replay_headers(replayed=replayed)


def topup_key_of(body: dict[str, Any]) -> str:
    """Return the one key of a top-up. Raises InvalidRequest where it has none, or two."""
    keys = {key for key in (body["idempotency_key"], idempotency_key()) if key is not None}
    if len(keys) == 1:
        return str(keys.pop())
    detail = f"The header {HEADER} is another key." if keys else f"Send a key, here or in the header {HEADER}."
    raise InvalidRequest(f"idempotencyKey: {detail}", [FieldError("/idempotencyKey", detail)])
