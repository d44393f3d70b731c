"""Jobs as administrators see them, and what they do to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, Usd, shows
from app.api.http.paging import TwoWayCursorAnswer
from app.api.http.requests import BodySchema
from app.api.schemas.accounts import EntryAnswer
from app.api.schemas.endpoints import DeliveryAnswer
from app.api.schemas.fields import usd_to
from app.api.schemas.jobs import FailureAnswer, JobAnswer, JobFilterQuery
from app.domain import clock
from app.domain.budget import MAX_MONTHLY_USD
from app.domain.costs import cost_of_units
from app.domain.fal_request import RequestState
from app.domain.job import Job, Settlement
from app.domain.trouble import Trouble, trouble_of
from app.services.operator.jobs import Payer
from app.services.operator.retries import MAX_JOBS

STATE = {"description": "What fal says: IN_QUEUE, IN_PROGRESS, COMPLETED, GONE (it does not know it); null where it does not answer."}
_TROUBLE = {"description": "Why somebody ought to look at it; null where it goes its way, or is over and done."}


class AdminJobAnswer(JobAnswer):
    """A job with who ordered it, and whether it needs attention."""

    caller_key = ma.fields.String(data_key="keyId", allow_none=True, metadata={"description": "The API key that ordered it."})
    retry_of = ma.fields.UUID(data_key="retryOf", allow_none=True)
    trouble = shows(ma.fields.Enum(Trouble, by_value=True, allow_none=True, metadata=_TROUBLE), lambda job: trouble_of(job, clock.now()))


class AdminJobsAnswer(Answer):
    jobs = ma.fields.List(ma.fields.Nested(AdminJobAnswer))
    cursor = ma.fields.Nested(TwoWayCursorAnswer)
    total = ma.fields.Integer(metadata={"description": "Only with `count=true`."})
    total_is_exact = ma.fields.Boolean(data_key="totalIsExact")


class FalRequestAnswer(Answer):
    """One call to fal. Its result's address is not told: it opens without a credential."""

    index = ma.fields.Integer()
    num_images = ma.fields.Integer(data_key="numImages")
    state = ma.fields.Enum(RequestState, by_value=True)
    request_id = shows(ma.fields.String(data_key="requestId", allow_none=True), lambda each: each.receipt and each.receipt.request_id)
    attempts = ma.fields.Integer(metadata={"description": "How often it was posted."})
    collect_attempts = ma.fields.Integer(data_key="collectAttempts")
    bad_tries = ma.fields.Integer(data_key="badTries")
    billable_units = ma.fields.String(data_key="billableUnits", allow_none=True, metadata={"description": "As fal's header says."})
    seed = ma.fields.String(allow_none=True)
    failure = ma.fields.Nested(FailureAnswer, data_key="error", allow_none=True)
    submitting_at = ma.fields.AwareDateTime(data_key="submittingAt", allow_none=True)
    submitted_at = ma.fields.AwareDateTime(data_key="submittedAt", allow_none=True)
    ended_at = ma.fields.AwareDateTime(data_key="endedAt", allow_none=True)
    collected_at = ma.fields.AwareDateTime(data_key="collectedAt", allow_none=True)
    cancel_heard_at = ma.fields.AwareDateTime(data_key="cancelHeardAt", allow_none=True)
    next_at = ma.fields.AwareDateTime(data_key="nextAt", allow_none=True, metadata={"description": "When the sweep looks at it."})


class HistoryEntryAnswer(Answer):
    seq = ma.fields.Integer()
    at = ma.fields.AwareDateTime()
    status = ma.fields.String()
    progress = ma.fields.Integer()
    message = ma.fields.String()
    queue_position = ma.fields.Integer(data_key="queuePosition", allow_none=True)


class MomentAnswer(Answer):
    at = ma.fields.AwareDateTime()
    what = ma.fields.String(
        metadata={
            "description": "`ordered`, `event`, `posting`, `taken`, `ended`, `collected`, `cancel_requested`, `cancel_heard`, `finished`."
        }
    )
    text = ma.fields.String(allow_none=True)
    request = ma.fields.Integer(allow_none=True, metadata={"description": "The call to fal that it is of."})


class JobMoneyAnswer(Answer):
    """From the quote to the invoice."""

    quoted = Usd(attribute="quote.micros", metadata={"description": "USD, what the user was to be charged at most."})
    expected = Usd(attribute="quote.cost_micros", metadata={"description": "USD, what fal was expected to bill."})
    held_tokens = ma.fields.Integer(attribute="tokens_held", data_key="tokensHeld")
    budgets = shows(ma.fields.List(ma.fields.String()), lambda job: list(job.budgets))
    charged_micros = Usd(data_key="charged")
    tokens_used = ma.fields.Integer(data_key="tokensUsed")
    units = shows(
        Usd(allow_none=True, metadata={"description": "USD, by the units of fal's results; null while a part is unknown."}),
        lambda job: units.micros if job.is_terminal and (units := cost_of_units(job.quote, job.requests)) else None,
    )
    actual = shows(Usd(allow_none=True), lambda job: job.actual and job.actual.micros)
    source = ma.fields.String(attribute="cost_source")
    price_id = ma.fields.String(attribute="quote.price_id", data_key="priceId")
    settlement = ma.fields.Enum(Settlement, by_value=True)


class OfferAnswer(Answer):
    """What it would cost to order it again now."""

    micros = Usd(data_key="cost")
    tokens = ma.fields.Integer()
    payer = ma.fields.Enum(Payer, by_value=True)
    refusal = ma.fields.String(allow_none=True, metadata={"description": "Why it cannot be ordered; null where it can."})


class RetryOfAnswer(Answer):
    id = ma.fields.UUID(data_key="jobId")
    status = ma.fields.String()
    charged_micros = Usd(data_key="cost")
    created_at = ma.fields.AwareDateTime(data_key="createdAt")


class JobFileAnswer(Answer):
    """All that is known of a job. Addresses at fal and receivers' secrets are not."""

    job = ma.fields.Nested(AdminJobAnswer)
    endpoint = ma.fields.String(attribute="job.endpoint", metadata={"description": "At fal."})
    arguments = ma.fields.Dict(attribute="job.arguments", metadata={"description": "What fal is sent; pictures by their place here."})
    deadline_at = ma.fields.AwareDateTime(attribute="job.deadline_at", data_key="deadlineAt")
    timeline = shows(ma.fields.List(ma.fields.Nested(MomentAnswer)), lambda found: sorted(moments(found.job), key=lambda each: each["at"]))
    requests = shows(ma.fields.List(ma.fields.Nested(FalRequestAnswer)), lambda found: list(found.job.requests))
    money = shows(ma.fields.Nested(JobMoneyAnswer), lambda found: found.job)
    ledger = ma.fields.List(ma.fields.Nested(EntryAnswer), attribute="entries")
    events = shows(ma.fields.List(ma.fields.Nested(HistoryEntryAnswer)), lambda found: list(found.job.history))
    deliveries = ma.fields.List(ma.fields.Nested(DeliveryAnswer))
    retries = ma.fields.List(ma.fields.Nested(RetryOfAnswer), metadata={"description": "Jobs that ordered it again, newest first."})
    retry = ma.fields.Nested(OfferAnswer, attribute="offer")


def moments(job: Job) -> Iterator[dict[str, Any]]:
    """Yield what has happened to a job, in no order."""
    yield _moment(job.created_at, "ordered")
    for entry in job.history:
        yield _moment(entry.at, "event", entry.message)
    for request in job.requests:
        named = {
            "posting": request.submitting_at,
            "taken": request.submitted_at,
            "ended": request.ended_at,
            "collected": request.collected_at,
            "cancel_heard": request.cancel_heard_at,
        }
        yield from (_moment(at, what, None, request.index) for what, at in named.items() if at is not None)
    if job.cancel_requested_at is not None:
        yield _moment(job.cancel_requested_at, "cancel_requested")
    if job.completed_at is not None:
        yield _moment(job.completed_at, "finished", job.status.value)


def _moment(at: datetime, what: str, text: str | None = None, request: int | None = None) -> dict[str, Any]:
    return {"at": at, "what": what, "text": text, "request": request}


class AdminRetryBody(BodySchema):
    payer = ma.fields.Enum(
        Payer,
        by_value=True,
        load_default=None,
        metadata={"description": "Who paid for the first, unless told: `operator` takes nobody's tokens."},
    )
    again = ma.fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Order it also where a retry of it is at work or completed; needs an Idempotency-Key."},
    )


class AskedAnswer(Answer):
    index = ma.fields.Integer()
    request_id = ma.fields.String(data_key="requestId")
    state = shows(ma.fields.String(allow_none=True, metadata=STATE), lambda asked: asked.status and asked.status.state.value)
    queue_position = shows(
        ma.fields.Integer(data_key="queuePosition", allow_none=True), lambda asked: asked.status and asked.status.queue_position
    )


class RefreshAnswer(Answer):
    requests = ma.fields.List(ma.fields.Nested(AskedAnswer))
    job = ma.fields.Nested(AdminJobAnswer)


class RetryFilter(JobFilterQuery):
    """The filters of `GET /api/jobs`, as a JSON object."""


def _confirmation(value: Any) -> None:
    if not isinstance(value, bool | int) or not 0 <= value <= MAX_JOBS:
        raise ma.ValidationError(f"Send true, or how many jobs they are (at most {MAX_JOBS}).")


class RetriesBody(BodySchema):
    """Exactly one of `filter` and `ids`."""

    filter = ma.fields.Nested(RetryFilter, load_default=None)
    ids = ma.fields.List(ma.fields.UUID(), load_default=None, validate=ma.validate.Length(1, MAX_JOBS))
    max_cost = ma.fields.Decimal(data_key="maxCost", load_default=None, allow_nan=True, validate=usd_to(MAX_MONTHLY_USD))
    confirm = ma.fields.Raw(
        load_default=None,
        validate=_confirmation,
        metadata={"type": ["boolean", "integer"], "description": "Nothing: only say what it comes to. Above 50 jobs: their number."},
    )

    @ma.validates_schema
    def _one_of(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("filter") is None) == (data.get("ids") is None):
            raise ma.ValidationError("Give either filter or ids.", "filter")


class RefusedAnswer(Answer):
    job_id = ma.fields.UUID(data_key="jobId")
    code = ma.fields.String()
    message = ma.fields.String()


class RetriedAnswer(Answer):
    job_id = ma.fields.UUID(data_key="jobId")
    retry_id = ma.fields.UUID(data_key="retryJobId")


class RetriesAnswer(Answer):
    is_dry = ma.fields.Boolean(data_key="dryRun", metadata={"description": "Nothing was ordered: this is what it would come to."})
    count = ma.fields.Integer(metadata={"description": "Jobs that are ordered again."})
    micros = Usd(data_key="cost", metadata={"description": "USD, what their users are charged if all is delivered."})
    tokens = ma.fields.Integer(metadata={"description": "Of these, what is paid in tokens."})
    needs_count = ma.fields.Boolean(data_key="needsCount", metadata={"description": "Whether `confirm` must be the number."})
    unknown_outcome = ma.fields.Integer(
        data_key="unknownOutcome", metadata={"description": "So many may have been bought the first time without our knowing."}
    )
    skipped = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Integer(), metadata={"description": "`not_failed`, `already_retried`, `not_found`."}
    )
    refused = ma.fields.List(ma.fields.Nested(RefusedAnswer))
    retried = ma.fields.List(ma.fields.Nested(RetriedAnswer))
    remaining = ma.fields.Integer(metadata={"description": "Not yet ordered: send the same request again, with the same key."})
