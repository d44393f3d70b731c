"""How the service is doing, for administrators: the same figures as `/metrics`, with what to do about them."""

from __future__ import annotations

from typing import Any

from app.api.http import services
from app.api.http.access import needs
from app.api.http.requests import ApiBlueprint
from app.api.schemas import status as schemas
from app.domain import clock
from app.domain.api_key import Scope
from app.services.operator.now import Kept
from app.services.operator.warnings import warnings_of

blueprint = ApiBlueprint("admin-status", __name__, url_prefix="/api/admin/status", description="How the service is doing")


@blueprint.get("")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.StatusAnswer)
@blueprint.errors(401, 403)
def show_status() -> dict[str, Any]:
    """Show how the service is doing (administrators): what is in flight, waits, is paused, failed and was spent, and what needs you now."""
    now = services().status_now
    live, kept = now.live(), now.kept()
    return {
        "at": clock.now(),
        "warnings": warnings_of(live, kept, model_files=services().model_files.problem),
        "fal": {"limit": now.fal_limit, **{state: live.fal_requests.get(state) for state in ("running", "queued")}},
        "queues": live.queues,
        "pauses": live.pauses,
        "watcher": live.leader,
        "webhooks": {"waiting": live.webhooks_waiting, "oldest_s": live.webhooks_oldest_s},
        "ledger_imbalance": live.ledger_imbalance,
        **(_kept(kept) if kept else dict.fromkeys(("in_flight", "models", "failures", "spend"))),
    }


def _kept(kept: Kept) -> dict[str, Any]:
    return {
        "in_flight": {status.value: count for status, count in kept.in_flight.items()},
        "models": kept.paces,
        "failures": kept.failed,
        "spend": {"today": kept.today, "same_weekday": kept.same_weekday, "month": kept.month},
    }
