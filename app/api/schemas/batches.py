"""Bodies and answers of batches."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Usd, shows
from app.api.http.paging import CursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.fields import metadata_field, retain_days_field, text_field, user_id_field
from app.api.schemas.hooks import BatchHookBody
from app.api.schemas.images import OrderBody, require_user
from app.domain.batch import MAX_ITEMS, Batch
from app.domain.job import JobStatus

MAX_COST_USD = 1_000_000_000


class ItemBody(OrderBody):
    """One order; or, with `jobId` and nothing else, an ended job's again."""

    model = ma.fields.String(load_default=None, validate=ma.validate.Length(1, 200))
    job_id = ma.fields.UUID(
        data_key="jobId", load_default=None, metadata={"description": "An ended job, to be ordered again as it was, at today's price."}
    )

    @ma.validates_schema(skip_on_field_errors=False, pass_original=True)
    def _is_one_kind(self, _: dict[str, Any], original: Any, **__: Any) -> None:
        if not isinstance(original, dict):
            return  # That is told already.
        if "jobId" not in original and "model" not in original:
            raise ma.ValidationError("Missing data for required field.", "model")
        if "jobId" in original and (beside := sorted(original.keys() - {"jobId"})):
            raise ma.ValidationError("Leave it out: with `jobId` all is as that job had it.", beside[0])


class BatchBody(BatchHookBody):
    """Up to 500 orders of one user; `projectId` and `metadata` go to every job."""

    items = ma.fields.List(
        ma.fields.Nested(ItemBody), required=True, validate=ma.validate.Length(1, MAX_ITEMS), metadata={"description": "1 to 500 orders."}
    )
    user_id = user_id_field(metadata={"description": "Whom the jobs are for; a signed-in user may leave it out."})
    max_cost = ma.fields.Float(
        data_key="maxCost",
        load_default=None,
        validate=ma.validate.Range(0, MAX_COST_USD),
        metadata={"description": "USD; a batch that may cost more is refused."},
    )
    project_id = text_field("projectId")
    metadata = metadata_field()
    retain_days = retain_days_field()

    @ma.validates_schema(skip_on_field_errors=False)
    def _has_user(self, data: dict[str, Any], **_: Any) -> None:
        require_user(data)


def address_of(batch: Batch) -> str:
    return f"/api/batches/{batch.id}"


class BatchAccepted(Answer):
    success = shows(ma.fields.Boolean(), lambda _: True)
    id = ma.fields.UUID(data_key="batchId")
    job_ids = ma.fields.List(ma.fields.UUID(), data_key="jobIds", metadata={"description": "In the order of the items."})
    quoted_micros = Usd(data_key="cost", metadata={"description": "USD, what the user is charged if every image comes."})
    status_url = shows(ma.fields.String(data_key="statusUrl"), address_of)


class ItemEstimateAnswer(Answer):
    """An order's price, at its place among the items."""

    cost = Usd(attribute="quote.micros", metadata={"description": "USD, what the user is charged if every image comes."})
    tokens = ma.fields.Integer(metadata={"description": "What a signed-in user pays; 0 for others."})
    num_images = ma.fields.Integer(data_key="numImages", attribute="checked.num_images")


class BatchEstimateAnswer(Answer):
    cost = shows(Usd(), lambda priced: sum(each.quote.micros for each in priced))
    tokens = shows(ma.fields.Integer(), lambda priced: sum(each.tokens for each in priced))
    num_images = shows(ma.fields.Integer(data_key="numImages"), lambda priced: sum(each.checked.num_images for each in priced))
    items = shows(ma.fields.List(ma.fields.Nested(ItemEstimateAnswer)), lambda priced: priced)


class CountsAnswer(Answer):
    pending = ma.fields.Integer()
    processing = ma.fields.Integer()
    completed = ma.fields.Integer()
    failed = ma.fields.Integer()
    canceled = ma.fields.Integer()


class BatchAnswer(Answer):
    batch_id = ma.fields.UUID(data_key="batchId", attribute="batch.id")
    user_id = ma.fields.String(data_key="userId", attribute="batch.user_id")
    status = ma.fields.Enum(
        JobStatus,
        by_value=True,
        metadata={"description": "`completed` when all jobs have ended and one at least has delivered; see `counts` for the rest."},
    )
    cancel_requested = shows(
        ma.fields.Boolean(
            data_key="cancelRequested", metadata={"description": "It was canceled; jobs that fal works on end as fal ends them."}
        ),
        lambda view: view.batch.canceled_at is not None,
    )
    counts = shows(
        ma.fields.Nested(CountsAnswer, metadata={"description": "How many of its jobs have which status."}),
        lambda view: {status.value: view.jobs.get(status, 0) for status in JobStatus},
    )
    charged_micros = Usd(data_key="cost", metadata={"description": "USD, what the user is charged so far."})
    quoted_micros = Usd(
        data_key="estimatedCost", attribute="batch.quoted_micros", metadata={"description": "USD, the `cost` it was accepted with."}
    )
    max_cost_micros = Usd(
        data_key="maxCost", attribute="batch.max_cost_micros", allow_none=True, metadata={"description": "USD, the `maxCost` of its order."}
    )
    progress = ma.fields.Integer(metadata={"description": "Percent; a job that has ended counts whole, however it ended."})
    created_at = ma.fields.AwareDateTime(data_key="createdAt", attribute="batch.created_at")


class BatchesQuery(BodySchema):
    user_id = user_id_field(metadata={"description": "A signed-in user sees only its own; for a script, none means all users."})
    limit = limit_field()
    cursor = cursor_field()


class BatchesAnswer(Answer):
    batches = ma.fields.List(ma.fields.Nested(BatchAnswer))
    cursor = ma.fields.Nested(CursorAnswer)
