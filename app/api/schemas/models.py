"""Models and long work, as administrators ask for them and are told of them."""

from __future__ import annotations

import marshmallow as ma

from app.api.http.answers import Answer, Usd, shows
from app.api.http.requests import BodySchema
from app.api.schemas.fields import no_nul, text_field, usd_to
from app.api.schemas.jobs import format_field, moment_field
from app.api.schemas.status import SumsAnswer
from app.domain.run import RunState

MAX_PRICE_USD = 1000


class ReconcileBody(BodySchema):
    since = moment_field("since", "Orders of this time or later; 30 days before `until` unless given.")
    until = moment_field("until", "Orders before this time; now unless given.")


class DriftExportQuery(BodySchema):
    format = format_field()


class ImportBody(BodySchema):
    endpoint = ma.fields.String(
        required=True,
        validate=[ma.validate.Length(3, 300), no_nul],
        metadata={"description": "An endpoint of fal's, such as `fal-ai/flux/krea`."},
    )
    name = text_field("name", 100)
    cost_per_image = ma.fields.Decimal(
        data_key="costPerImage",
        load_default=None,
        allow_nan=True,
        validate=usd_to(MAX_PRICE_USD),
        metadata={"description": "USD, in the place of fal's own price; needed where fal bills by something else than images."},
    )
    save = ma.fields.Boolean(
        load_default=False, truthy={True}, falsy={False}, metadata={"description": "Write it into the folder of `REGISTRY_PATH`."}
    )


class DriftRowAnswer(Answer):
    job_id = ma.fields.UUID(data_key="jobId", attribute="jobId")
    model = ma.fields.String()
    ended_at = ma.fields.AwareDateTime(data_key="endedAt", attribute="endedAt", allow_none=True)
    quoted = Usd()
    units = Usd(allow_none=True, metadata={"description": "By the units that fal's results named."})
    invoiced = Usd(allow_none=True, metadata={"description": "null: not on fal's bill, or not yet."})
    drift = Usd(allow_none=True, metadata={"description": "invoiced - quoted"})
    missing = ma.fields.List(ma.fields.String(), metadata={"description": "Requests at fal that were delivered, and are not on its bill."})


class ModelDriftAnswer(Answer):
    model = ma.fields.String()
    where = ma.fields.String(metadata={"description": "`price`, `endpoint`, or the parameter and what about it."})
    ours = ma.fields.String()
    fals = ma.fields.String()


class _RunAnswer(Answer):
    state = ma.fields.Enum(RunState, by_value=True)
    actor = ma.fields.String(metadata={"description": "Who has started it."})
    started_at = ma.fields.AwareDateTime(data_key="startedAt")
    updated_at = ma.fields.AwareDateTime(data_key="updatedAt", metadata={"description": "When it was last heard of."})
    done = ma.fields.Integer()
    total = ma.fields.Integer(metadata={"description": "0: not known yet."})
    message = ma.fields.String(allow_none=True, metadata={"description": "Why it has failed. What was corrected by then stays."})


class ReconciliationAnswer(_RunAnswer):
    since = ma.fields.AwareDateTime()
    until = ma.fields.AwareDateTime()
    invoiced_jobs = shows(ma.fields.Integer(data_key="invoicedJobs"), lambda run: run.sums.get("invoicedJobs", 0))
    disagreeing = shows(ma.fields.Integer(metadata={"description": "Of these."}), lambda run: run.sums.get("disagreeing", 0))
    missing = shows(
        ma.fields.Integer(metadata={"description": "Jobs that are not on the bill, or not yet."}), lambda run: run.sums.get("missing", 0)
    )
    quoted = shows(Usd(metadata={"description": "What the jobs on the bill were expected to cost."}), lambda run: run.sums.get("quoted", 0))
    invoiced = shows(Usd(metadata={"description": "What fal has billed for them."}), lambda run: run.sums.get("invoiced", 0))
    rows = ma.fields.List(ma.fields.Nested(DriftRowAnswer), data_key="drift", metadata={"description": "Jobs that differ most first."})
    left_out = ma.fields.Integer(data_key="leftOut", metadata={"description": "How many more there are."})


class LatestReconciliationAnswer(Answer):
    run = ma.fields.Nested(ReconciliationAnswer, allow_none=True, metadata={"description": "The latest; null: there was none."})


class CheckAnswer(_RunAnswer):
    differences = shows(ma.fields.Integer(), lambda run: len(run.rows))


class PriceNowAnswer(Answer):
    id = ma.fields.String()
    amount = shows(ma.fields.Float(metadata={"description": "USD that users are charged."}), lambda price: float(price.amount))
    unit = ma.fields.String(metadata={"description": "`image` or `megapixel`."})
    start = shows(ma.fields.Date(data_key="from"), lambda price: price.start.isoformat())
    source = ma.fields.String(metadata={"description": "Where it was read; empty where it is your own decision."})
    checked = shows(ma.fields.Date(allow_none=True), lambda price: price.checked.isoformat() if price.checked else None)


class ModelStateAnswer(Answer):
    name = ma.fields.String(attribute="spec.name")
    endpoint = ma.fields.String(attribute="spec.fal_endpoint")
    category = ma.fields.String(attribute="spec.category")
    price = ma.fields.Nested(PriceNowAnswer, allow_none=True, metadata={"description": "null: none is in force, orders are refused."})
    losses = ma.fields.List(ma.fields.String(), metadata={"description": "How an order may cost more than its user is charged."})
    is_own = ma.fields.Boolean(data_key="isOwn", metadata={"description": "Whether its file is in the folder of `REGISTRY_PATH`."})
    is_gone = ma.fields.Boolean(data_key="isGone", metadata={"description": "Whether fal had no such endpoint when it was last asked."})
    success_rate = shows(
        ma.fields.Float(data_key="successRate", allow_none=True, metadata={"description": "Of the last 30 days; null: no job."}),
        lambda state: state.figures.success_rate,
    )
    p50_s = shows(ma.fields.Float(data_key="p50Seconds", allow_none=True), lambda state: state.pace.p50_s if state.pace else None)
    p95_s = shows(ma.fields.Float(data_key="p95Seconds", allow_none=True), lambda state: state.pace.p95_s if state.pace else None)
    figures = ma.fields.Nested(SumsAnswer, data_key="last30Days")
    drifts = ma.fields.List(ma.fields.Nested(ModelDriftAnswer), data_key="drift", metadata={"description": "As of the last check."})


class ModelsOverviewAnswer(Answer):
    models = ma.fields.List(ma.fields.Nested(ModelStateAnswer))
    checked = ma.fields.Nested(
        CheckAnswer, allow_none=True, metadata={"description": "The last comparison with fal; null: there was none."}
    )
    problem = ma.fields.String(
        allow_none=True, metadata={"description": "Why the model files cannot be read as they are now; the models before stay in use."}
    )
    can_save = ma.fields.Boolean(data_key="canSave", metadata={"description": "Whether an import can be saved from here."})


class ProposalAnswer(Answer):
    name = ma.fields.String(attribute="draft.name")
    text = ma.fields.String(attribute="draft.text", metadata={"description": "The file `<name>.toml`."})
    example = ma.fields.Dict(attribute="draft.example", allow_none=True, metadata={"description": "Inputs that it accepts."})
    problems = ma.fields.List(ma.fields.String(), metadata={"description": "What stands against saving it as it is."})
    losses = ma.fields.List(ma.fields.String(), metadata={"description": "How an order may cost more than its user is charged."})


class ImportAnswer(Answer):
    proposal = ma.fields.Nested(ProposalAnswer)
    saved = ma.fields.Boolean()
