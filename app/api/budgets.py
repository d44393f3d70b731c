"""Monthly budgets, for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.http import examples, paging, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.requests import ApiBlueprint
from app.api.schemas import budgets as schemas
from app.domain import budget
from app.domain.api_key import Scope
from app.domain.budget import Budget

blueprint = ApiBlueprint("budgets", __name__, url_prefix="/api/budgets", description="What may be spent in a month")


@blueprint.get("")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.BudgetsQuery, location="query")
@blueprint.response(200, schemas.BudgetsAnswer)
@blueprint.errors(400, 401, 403)
def list_budgets(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List the budgets in force with what is spent and held in the current month (administrators)."""
    limit = query["limit"]
    found = services().budgets.after(paging.place_of(query["cursor"], _is_id) or "", limit=limit + 1)
    page, cursor = paging.page_of(found, limit)
    return {"budgets": page, "cursor": cursor}, paging.links(cursor)


@blueprint.put("")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.BudgetBody, examples=examples.BUDGET)
@blueprint.response(200, schemas.BudgetAnswer)
@blueprint.errors(400, 401, 403, 404)
def set_budget(body: dict[str, Any]) -> Budget:
    """Set or change the monthly budget of a user or an API key (administrators).

    It counts from now on. Below what is spent and held already it only refuses new work, with 402 `budget_exceeded`.
    """
    return services().grants.set_budget(caller().actor, _named(body), body["monthly"])


@blueprint.delete("")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.BudgetQuery, location="query")
@blueprint.response(204)
@blueprint.errors(400, 401, 403, 404)
def remove_budget(query: dict[str, Any]) -> None:
    """Remove a budget (administrators): nothing limits its user or key any more."""
    services().grants.remove_budget(caller().actor, _named(query))


def _named(fields: Mapping[str, Any]) -> str:
    return budget.of_user(fields["user_id"]) if fields["user_id"] is not None else budget.of_key(fields["key_id"])


def _is_id(place: str) -> bool:
    return place == budget.GLOBAL or place.startswith(("user:", "key:"))
