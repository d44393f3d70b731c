"""Jobs: what their lists and exports are asked for, and how one, a list and a row of an export look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import marshmallow as ma

from app.api.http.answers import Answer, DownloadLink, Usd, shows
from app.api.http.paging import TwoWayCursorAnswer, cursor_field, limit_field
from app.api.http.requests import BodySchema
from app.api.schemas.fields import MAX_METADATA_KEYS, metadata_key, no_nul, text_field, usd_to, user_id_field
from app.api.schemas.hooks import HookBody
from app.api.schemas.images import ImageAnswer
from app.domain.budget import MAX_MONTHLY_USD
from app.domain.costs import CostSource
from app.domain.job import Job, JobStatus, Operation
from app.domain.job_filter import JOB_TYPE, prompt_of
from app.domain.job_search import MAX_CHARS
from app.domain.pricing import usd
from app.services.pictures.links import PictureLinks

METADATA = "metadata."
MAX_TAGS, MAX_TAG_CHARS = 20, 64
#: Outside of these nothing has happened, and arithmetic with times may leave what a time can be.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class ExportFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


class _Moment(ma.fields.AwareDateTime):
    """A time with its offset, or a day: then its start in UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str) and DAY.fullmatch(value):
            value = f"{value}T00:00:00Z"
        return super()._deserialize(value, attr, data, **kwargs)


#: The same as a pattern, for the API's document; a schema has no ranges of times.
YEARS = r"^[2-8]\d{3}-"


def moment_field(key: str, description: str, **options: Any) -> ma.fields.AwareDateTime:
    in_range = ma.validate.Range(EARLIEST, LATEST, error="Must be a time from the years 2000 to 8999.")
    described = {"description": description, "pattern": YEARS}
    return _Moment(data_key=key, format="iso", validate=in_range, metadata=described, **{"load_default": None, **options})


def check_order(data: Mapping[str, Any]) -> None:
    if data.get("created_from") and data.get("created_to") and data["created_from"] >= data["created_to"]:
        raise ma.ValidationError("Must be later than `from`.", "to")


def format_field() -> ma.fields.Enum[ExportFormat]:
    return ma.fields.Enum(ExportFormat, by_value=True, load_default=ExportFormat.CSV)


class RetryBody(HookBody):
    """Nothing, or where the new job's events go: by default where the first one's went."""


class JobFilterQuery(BodySchema):
    """What narrows a list of jobs. `metadata.<key>` is any number of parameters."""

    user_id = user_id_field(metadata={"description": "A signed-in user sees only its own; for a script, none means all users."})
    type = ma.fields.String(load_default=None, validate=ma.validate.OneOf([JOB_TYPE]))
    status = ma.fields.Enum(JobStatus, by_value=True, load_default=None)
    model = text_field("model", 200)
    project_id = text_field("projectId")
    batch_id = text_field("batchId")
    operation = ma.fields.Enum(Operation, by_value=True, load_default=None)
    prompt = ma.fields.String(
        load_default=None,
        validate=[ma.validate.Length(1, 500), no_nul],
        metadata={"description": "A part of the prompt, upper or lower case alike."},
    )
    metadata = ma.fields.Raw(
        data_key=f"{METADATA}<key>",
        metadata={"type": "string", "description": "The value of a metadata key, as text: `metadata.campaign=spring`."},
    )
    q = ma.fields.String(
        load_default=None,
        validate=[ma.validate.Length(1, MAX_CHARS), no_nul],
        metadata={
            "description": "`user:` `model:` `status:` `code:` `key:` `batch:` `fal:` (fal's request id) `id:`, and words of the prompt; "
            'values and words with spaces in double quotes: `user:ada status:failed "red bicycle"`.'
        },
    )
    min_cost = ma.fields.Decimal(
        data_key="minCost",
        load_default=None,
        allow_nan=True,
        validate=usd_to(MAX_MONTHLY_USD),
        metadata={"description": "USD, what the user is charged, at least.", "minimum": 0, "maximum": MAX_MONTHLY_USD},
    )
    attention = ma.fields.Boolean(
        load_default=False,
        metadata={"description": "Only those that do not go on by themselves: `unknown_outcome`, `uncollected`, `overdue` and the like."},
    )
    favorite = ma.fields.Boolean(load_default=None, metadata={"description": "Those that were noted as favorites, or the others."})
    tag = text_field("tag", MAX_TAG_CHARS)
    created_from = moment_field("from", "Created at this time or later; a day (2026-10-01) is its start in UTC.")
    created_to = moment_field("to", "Created before this time.")

    @ma.pre_load
    def _gather_metadata(self, data: Any, **_: Any) -> dict[str, Any]:
        """Make one field of the `metadata.<key>` parameters. Raises ValidationError, naming the parameter."""
        plain = {name: data[name] for name in data}
        named = [name for name in plain if name.startswith(METADATA)]
        problems = {name: [problem] for name in named if (problem := _metadata_problem(name, data))}
        if len(named) > MAX_METADATA_KEYS:
            problems[METADATA] = [f"At most {MAX_METADATA_KEYS} keys."]
        if problems:
            raise ma.ValidationError(problems)
        pairs = tuple(sorted((name.removeprefix(METADATA), plain.pop(name)) for name in named))
        return {**plain, f"{METADATA}<key>": pairs} if pairs else plain

    @ma.post_load
    def _spell_id(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Let a batch's id be written in any case, as in a path."""
        return data | {"batch_id": data["batch_id"].lower()} if data.get("batch_id") else data

    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        check_order(data)


def _metadata_problem(name: str, data: Any) -> str | None:
    if not isinstance(data[name], str):
        return "Not a valid string."  # Where the filter is JSON it may be anything.
    try:
        metadata_key(name.removeprefix(METADATA))
        no_nul(data[name])
    except ma.ValidationError as exc:
        return str(exc.messages[0])
    given = data.getlist(name) if hasattr(data, "getlist") else [data[name]]
    return "Given more than once." if len(given) > 1 else None


class NotesBody(BodySchema):
    favorite = ma.fields.Boolean(load_default=None, truthy={True}, falsy={False})
    tags = ma.fields.List(
        ma.fields.String(validate=[ma.validate.Length(1, MAX_TAG_CHARS), no_nul]),
        load_default=None,
        validate=ma.validate.Length(max=MAX_TAGS),
        metadata={"description": f"At most {MAX_TAGS}, of 1 to {MAX_TAG_CHARS} characters each."},
    )

    @ma.post_load
    def _as_kept(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return data | {"tags": data["tags"] if data["tags"] is None else tuple(data["tags"])}


class JobsQuery(JobFilterQuery):
    limit = limit_field()
    cursor = cursor_field()
    count = ma.fields.Boolean(load_default=False)


class JobsExportQuery(JobFilterQuery):
    format = format_field()


class CostDetailAnswer(Answer):
    """What a job costs the operator; what its user is charged is `cost`."""

    estimated = Usd(
        attribute="quote.cost_micros",
        metadata={"description": "USD, what the operator was expected to pay fal when the job was ordered."},
    )
    actual = shows(
        Usd(allow_none=True, metadata={"description": "USD, what fal charges the operator; null while unknown."}),
        lambda job: job.actual and job.actual.micros,
    )
    source = ma.fields.Enum(
        CostSource, by_value=True, attribute="cost_source", metadata={"description": "Where the best figure comes from."}
    )


class FailureAnswer(Answer):
    code = ma.fields.String()
    message = ma.fields.String()
    details = ma.fields.Dict(allow_none=True)


def processing_ms(job: Job) -> int | None:
    return None if job.completed_at is None else int((job.completed_at - job.created_at).total_seconds() * 1000)


def config_of(job: Job) -> dict[str, Any]:
    return {"model": job.model, "inputs": job.inputs, "options": job.options, "estimatedCost": usd(job.quote.micros)}


class JobAnswer(Answer):
    id = ma.fields.UUID(data_key="jobId")
    user_id = ma.fields.String(data_key="userId")
    type = shows(ma.fields.String(), lambda _: JOB_TYPE)
    operation = ma.fields.String()
    model = ma.fields.String()
    status = ma.fields.Enum(JobStatus, by_value=True)
    progress = ma.fields.Integer()
    message = ma.fields.String()
    cancel_requested = shows(
        ma.fields.Boolean(
            data_key="cancelRequested",
            metadata={"description": "Its user has asked to cancel it; while it has not ended, fal's answer decides how it will."},
        ),
        lambda job: job.cancel_requested_at is not None,
    )
    config = shows(ma.fields.Dict(), config_of)
    images = ma.fields.List(ma.fields.Nested(ImageAnswer))
    charged_micros = Usd(data_key="cost", metadata={"description": "USD, what the user is charged."})
    tokens_used = ma.fields.Integer(
        data_key="tokensUsed", metadata={"description": "Tokens, what a signed-in user is charged; 0 for others."}
    )
    cost_detail = shows(ma.fields.Nested(CostDetailAnswer, data_key="costDetail"), lambda job: job)
    failure = ma.fields.Nested(FailureAnswer, data_key="error", allow_none=True)
    project_id = ma.fields.String(data_key="projectId", allow_none=True)
    metadata = ma.fields.Dict()
    batch_id = ma.fields.UUID(data_key="batchId", allow_none=True)
    favorite = ma.fields.Boolean()
    tags = shows(ma.fields.List(ma.fields.String()), lambda job: list(job.tags))
    retain_days = ma.fields.Integer(
        data_key="retainDays",
        allow_none=True,
        metadata={"description": "How many days it is kept after its end, as it was ordered; null: as long as the operator keeps all."},
    )
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    updated_at = ma.fields.AwareDateTime(data_key="updatedAt")
    completed_at = ma.fields.AwareDateTime(data_key="completedAt", allow_none=True)
    processing_time_ms = shows(ma.fields.Integer(data_key="processingTimeMs", allow_none=True), processing_ms)


class JobsAnswer(Answer):
    jobs = ma.fields.List(ma.fields.Nested(JobAnswer))
    cursor = ma.fields.Nested(TwoWayCursorAnswer)
    total = ma.fields.Integer(metadata={"description": "Only with `count=true`."})
    total_is_exact = ma.fields.Boolean(
        data_key="totalIsExact", metadata={"description": "Only with `count=true`; where it is false there are at least `total`."}
    )


def _metadata_text(job: Job) -> str | None:
    return json.dumps(job.metadata, ensure_ascii=False) if job.metadata else None


class _Links(DownloadLink):
    """Links in one cell, a line each."""

    def made(self, links: PictureLinks, key: Any) -> str | None:
        return "\n".join(filter(None, (links.download_url(each) for each in key))) or None


class JobRow(Answer):
    """A job in a table: flat. Its links end within a day, its pictures' number does not."""

    id = ma.fields.Raw(data_key="jobId")
    user_id = ma.fields.Raw(data_key="userId")
    type = shows(ma.fields.Raw(), lambda _: JOB_TYPE)
    operation = ma.fields.Raw()
    model = ma.fields.Raw()
    status = ma.fields.Raw()
    prompt = shows(ma.fields.Raw(), prompt_of)
    images = shows(ma.fields.Raw(), lambda job: len(job.images))
    charged_micros = Usd(data_key="cost")
    quoted_micros = Usd(data_key="estimatedCost", attribute="quote.micros")
    error_code = shows(ma.fields.Raw(data_key="errorCode"), lambda job: job.failure and job.failure.code)
    error_message = shows(ma.fields.Raw(data_key="errorMessage"), lambda job: job.failure and job.failure.message)
    project_id = ma.fields.Raw(data_key="projectId")
    batch_id = ma.fields.Raw(data_key="batchId")
    metadata = shows(ma.fields.Raw(), _metadata_text)
    created_at = ma.fields.AwareDateTime(data_key="createdAt")
    updated_at = ma.fields.AwareDateTime(data_key="updatedAt")
    completed_at = ma.fields.AwareDateTime(data_key="completedAt")
    processing_time_ms = shows(ma.fields.Raw(data_key="processingTimeMs"), processing_ms)
    favorite = ma.fields.Raw()
    tags = shows(ma.fields.Raw(), lambda job: ", ".join(job.tags) or None)
    download_urls = shows(_Links(data_key="downloadUrls"), lambda job: [image.key for image in job.images])


def job_rows(jobs: Iterable[Job], links: PictureLinks, kind: ExportFormat) -> Iterator[dict[str, Any]]:
    """Yield jobs as `GET /api/jobs` shows them, or as rows of a table."""
    answer = JobRow if kind is ExportFormat.CSV else JobAnswer
    return (answer.of(job, links) for job in jobs)
