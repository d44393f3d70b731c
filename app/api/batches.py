"""Batches: many orders in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Response

from app.api.files import sent_archive
from app.api.http import examples, paging, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.hooks import hook_of
from app.api.http.limits import submits
from app.api.http.ordering import IDEMPOTENCY_KEY, order_key_of, replay_headers
from app.api.http.requests import ApiBlueprint
from app.api.schemas import batches as schemas
from app.api.schemas.pictures import ARCHIVE_ANSWERS
from app.domain.api_key import Scope
from app.domain.batch import Batch, BatchView
from app.domain.endpoint import BATCH_COMPLETED, USUAL_JOB_EVENTS, OrderHook
from app.domain.errors import FieldError, Gone, InvalidRequest, NotFinished, NotFound
from app.domain.pricing import limit_micros
from app.services.orders.order import Order, PricedOrder

blueprint = ApiBlueprint("batches", __name__, url_prefix="/api", description="Many orders in one request")


@blueprint.post("/images/batch")
@needs(Scope.GENERATE)
@submits
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.BatchBody, examples=examples.BATCH)
@blueprint.response(202, schemas.BatchAccepted)
@blueprint.errors(400, 401, 402, 403, 409, 413)
def create_batch(body: dict[str, Any]) -> tuple[Batch, int, dict[str, str]]:
    """Order up to 500 generations at once. All are accepted or none: one bad item, and nothing is ordered.

    The jobs wait for free places in turn with other users' batches; single orders go first. Takes an Idempotency-Key.
    """
    key = order_key_of(body)
    hook = hook_of(body, (*USUAL_JOB_EVENTS, BATCH_COMPLETED))
    limit = body.pop("max_cost")
    max_cost = None if limit is None else limit_micros(limit)
    accepted = services().batches.submit(_orders(body, hook), key=key, max_cost_micros=max_cost)
    headers = {"Location": schemas.address_of(accepted.batch), **replay_headers(replayed=accepted.replayed)}
    return accepted.batch, 202, headers


@blueprint.post("/images/batch/estimate")
@needs(Scope.READ)
@blueprint.arguments(schemas.BatchBody, examples=examples.BATCH_ESTIMATE)
@blueprint.response(200, schemas.BatchEstimateAnswer)
@blueprint.errors(400, 401, 403, 413)
def estimate_batch(body: dict[str, Any]) -> Sequence[PricedOrder]:
    """Check and price a batch without ordering it: the same body, the same refusals of bad items, the same prices."""
    return services().batches.priced(_orders(body, hook_of(body, (*USUAL_JOB_EVENTS, BATCH_COMPLETED))))


@blueprint.get("/batches")
@needs(Scope.READ)
@blueprint.arguments(schemas.BatchesQuery, location="query")
@blueprint.response(200, schemas.BatchesAnswer)
@blueprint.errors(400, 401, 403)
def list_batches(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List batches, newest first, page by page."""
    limit = query["limit"]
    whose = caller().reads(query["user_id"])
    found = services().batches.page(user_id=whose, before_id=paging.id_of(query["cursor"]), limit=limit + 1)
    page, cursor = paging.page_of(found, limit)
    return {"batches": page, "cursor": cursor}, paging.links(cursor)


@blueprint.get("/batches/<batch_id>")
@needs(Scope.READ)
@blueprint.response(200, schemas.BatchAnswer)
@blueprint.errors(401, 404)
def show_batch(batch_id: str) -> BatchView:
    """Show how far a batch is. Its jobs are listed by `GET /api/jobs?batchId=`."""
    return services().batches.view(batch_id, user_id=caller().sees)


@blueprint.get("/batches/<batch_id>/archive")
@needs(Scope.READ)
@blueprint.doc(responses=ARCHIVE_ANSWERS)
@blueprint.errors(401, 403, 404, 503)
def archive_batch(batch_id: str) -> Response:
    """Fetch the pictures that a batch has by now as one zip file."""
    batch = services().batches.view(batch_id, user_id=caller().sees).batch
    return sent_archive(f"batch-{batch.id}", services().archives.of_batch(batch.id))


@blueprint.post("/batches/<batch_id>/cancel")
@needs(Scope.GENERATE)
@blueprint.response(200, schemas.BatchAnswer)
@blueprint.alt_response(202, schema=schemas.BatchAnswer, description="Asked for: fal is working on some jobs, and its answer decides.")
@blueprint.errors(401, 404, 409)
def cancel_batch(batch_id: str) -> tuple[BatchView, int]:
    """Cancel every job of a batch that has not finished, each as a single job is. Those that have keep their images, and are charged."""
    view = services().batches.cancel(batch_id, user_id=caller().owns)
    return view, 200 if view.is_over else 202


def _orders(body: dict[str, Any], hook: OrderHook | None) -> list[Order]:
    """Return the caller's orders; a signed-in user pays for each in tokens, as everywhere."""
    who = caller()
    shared: dict[str, Any] = {
        "user_id": who.acts_for(body["user_id"]),
        "project_id": body["project_id"],
        "metadata": body["metadata"],
        "retain_days": body.get("retain_days"),
        "hook": hook,
    }
    payer: dict[str, Any] = {"caller_key": who.key_id, "limits": who.order_limits}
    pays_tokens = who.account is not None

    def order(place: int, job_id: UUID | None, item: Mapping[str, Any]) -> Order:
        if job_id is None:
            return Order(**item, **shared, **payer, pays_tokens=pays_tokens)
        try:
            again = services().job_actions.order_again(str(job_id), user_id=who.sees, hook=hook, **payer)
            if again.user_id != shared["user_id"]:
                raise NotFound("This job is not of the batch's user")
        except (NotFound, Gone, NotFinished) as exc:
            raise InvalidRequest(f"items/{place}/jobId: {exc.message}", [FieldError(f"/items/{place}/jobId", exc.message)]) from exc
        return again

    return [order(place, item.pop("job_id"), item) for place, item in enumerate(body["items"])]
