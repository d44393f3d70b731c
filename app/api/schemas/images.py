"""What is ordered and estimated, as marshmallow checks it, and the answers about orders and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import marshmallow as ma

from app.api.http import services
from app.api.http.answers import Answer, DownloadLink, Link, ThumbnailLink, Usd, shows
from app.api.http.auth import caller
from app.api.http.requests import BodySchema
from app.api.schemas.fields import metadata_field, retain_days_field, text_field, user_id_field
from app.api.schemas.hooks import HookBody
from app.domain import clock
from app.domain.errors import InvalidRequest
from app.domain.job import Job, JobStatus
from app.domain.pricing import list_price
from registry.geometry import takes_size
from registry.params import known_params
from registry.request import RequestRefused, UnknownModel, check_options, check_request
from registry.schema import json_schema
from registry.spec import MAX_IMAGES, Extra, ModelSpec, Price, Tier
from registry.table import did_you_mean

UNKNOWN = "Unknown field."


class OrderBody(BodySchema):
    """What is ordered; `inputs` and `options` are checked against the model's own schema: see `/api/images/models/{name}`."""

    model = ma.fields.String(required=True, validate=ma.validate.Length(1, 200))
    inputs = ma.fields.Dict(keys=ma.fields.String(), load_default=dict)
    options = ma.fields.Dict(keys=ma.fields.String(), load_default=dict)
    #: Whether required inputs may not be missing.
    is_whole = True

    def handle_error(self, error: ma.ValidationError, data: Any, **_: Any) -> None:
        """Tell with what is wrong here also what the model would refuse, and where a name belongs that is only in the wrong place."""
        if isinstance(error.messages, dict) and isinstance(data, dict):
            known = [field.data_key or name for name, field in self.fields.items()]
            add_places(error.messages, known)
            add_models_faults(error.messages, data, whole=self.is_whole)


class GenerateBody(OrderBody, HookBody):
    user_id = user_id_field(metadata={"description": "Whom the job is for; a signed-in user may leave it out."})
    project_id = text_field("projectId")
    metadata = metadata_field()
    retain_days = retain_days_field()
    asynchronous = ma.fields.Boolean(data_key="async", load_default=False, truthy={True}, falsy={False})

    @ma.validates_schema(skip_on_field_errors=False)
    def _has_user(self, data: dict[str, Any], **_: Any) -> None:
        require_user(data)


class EstimateBody(OrderBody):
    inputs = ma.fields.Dict(keys=ma.fields.String(), load_default=None)
    is_whole = False


class EstimateAnswer(Answer):
    cost_per_image = Usd(data_key="costPerImage", attribute="unit_micros")
    total_cost = Usd(data_key="totalCost", attribute="micros")
    num_images = ma.fields.Integer(data_key="numImages")
    tokens = ma.fields.Integer(metadata={"description": "What a signed-in user pays for all images; for others it is left out."})


class ProvenanceAnswer(Answer):
    """What a picture says of its origin, or what its order tells of it."""

    c2pa = ma.fields.Boolean(metadata={"description": "The file has a signed manifest of C2PA's. It is kept as it came, not verified."})
    digital_source_type = ma.fields.String(
        data_key="digitalSourceType", allow_none=True, metadata={"description": "IPTC's term; null for pictures from before it was kept."}
    )
    synthetic = shows(ma.fields.Boolean(), lambda _: True)


class ImageAnswer(Answer):
    url = Link(attribute="key")
    thumbnail_url = shows(
        ThumbnailLink(
            data_key="thumbnailUrl",
            metadata={"description": "WebP, 320 pixels at most; `size=1024` in it gives a larger one. Opens by itself, for a day at most."},
        ),
        lambda image: image.key,
    )
    download_url = shows(
        DownloadLink(
            data_key="downloadUrl",
            metadata={"description": "Saves the picture under a name that tells what it is. Opens by itself, for a day at most."},
        ),
        lambda image: image.key,
    )
    width = ma.fields.Integer()
    height = ma.fields.Integer()
    content_type = ma.fields.String(data_key="contentType")
    size_bytes = ma.fields.Integer(data_key="sizeBytes")
    sha256 = ma.fields.String()
    image_id = ma.fields.UUID(data_key="imageId", attribute="upload_id")
    provenance = shows(ma.fields.Nested(ProvenanceAnswer), lambda image: image)
    flagged = shows(
        ma.fields.Boolean(metadata={"description": "The model's own safety checker marked this picture."}),
        lambda image: image.flagged or ma.missing,
    )


def _delivered(job: Job) -> str:
    count = len(job.images)
    return job.message if count < job.num_images else f"Generated {count} image{'s' if count > 1 else ''}"


class GenerateAnswer(Answer):
    """Of a completed job; of one that goes on, of what is known."""

    success = shows(ma.fields.Boolean(), lambda _: True)
    id = ma.fields.UUID(data_key="jobId")
    status = ma.fields.Enum(JobStatus, by_value=True)
    model = ma.fields.String()
    images = ma.fields.List(ma.fields.Nested(ImageAnswer))
    charged_micros = Usd(data_key="cost", metadata={"description": "USD, what the user is charged."})
    status_url = shows(ma.fields.String(data_key="statusUrl"), lambda _: ma.missing)
    message = shows(ma.fields.String(), _delivered)


class ModelAnswer(Answer):
    name = ma.fields.String()
    category = ma.fields.String()
    description = ma.fields.String()
    fal_endpoint = ma.fields.String(data_key="falEndpoint")
    required_inputs = ma.fields.List(ma.fields.String(), data_key="requiredInputs")
    optional_inputs = ma.fields.List(ma.fields.String(), data_key="optionalInputs")
    default_options = ma.fields.Dict(data_key="defaultOptions")
    cost_per_image = shows(Usd(data_key="costPerImage"), lambda spec: list_price(spec, clock.now()))
    usual_seconds = shows(
        ma.fields.Float(data_key="usualSeconds", allow_none=True, metadata={"description": "Median of the latest generations at fal."}),
        lambda spec: services().usual_times.of(spec),  # noqa: PLW0108 - those of the request
    )


class ModelsAnswer(Answer):
    total = ma.fields.Integer()
    models = ma.fields.List(ma.fields.Nested(ModelAnswer))


def _limits(spec: ModelSpec) -> dict[str, Any]:
    """Return what a model can do at most; its megapixels are None where a request does not say how large the image is."""
    says_size = takes_size(spec) or {"width", "height"} <= spec.params.keys()
    largest = spec.max_megapixels if says_size else None
    return {"maxImagesPerCall": spec.max_images_per_call, "maxImages": MAX_IMAGES, "maxMegapixels": largest}


def _price(price: Price) -> dict[str, Any]:
    """Return a price with what changes it. The amounts are exact decimals in the registry; JSON numbers here."""

    def conditions(entries: Sequence[Tier | Extra]) -> list[dict[str, Any]]:
        return [{"option": e.option, "equals": e.equals, "amount": float(e.amount)} for e in entries]

    return {
        "id": price.id,
        "from": price.start.isoformat(),
        "unit": price.unit,
        "amount": float(price.amount),
        "currency": "USD",
        "tiers": conditions(price.tiers),
        "extras": conditions(price.extras),
        "source": price.source,
        "checked": price.checked.isoformat() if price.checked else None,
    }


class ModelDetailAnswer(ModelAnswer):
    input_schema = shows(
        ma.fields.Dict(data_key="inputSchema", metadata={"description": "JSON Schema 2020-12."}),
        lambda spec: json_schema(services().registry, spec),
    )
    pricing = shows(ma.fields.List(ma.fields.Dict()), lambda spec: [_price(price) for price in spec.prices])
    limits = shows(ma.fields.Dict(), _limits)


def require_user(data: Mapping[str, Any]) -> None:
    """Raise ValidationError where nobody tells whom an order is for. Raises Forbidden where the caller may not act for it."""
    if "user_id" not in data:
        return  # What is wrong with it is told already.
    try:
        caller().acts_for(data["user_id"])
    except InvalidRequest as exc:
        raise ma.ValidationError(exc.errors[0].detail, "userId") from exc


def add_places(messages: dict[Any, Any], known: Sequence[str]) -> None:
    """Say of each unknown name what was probably meant: `prompt` stands in `inputs`, and `input` is their misspelling."""
    for name, details in messages.items():
        if isinstance(name, str) and isinstance(details, list) and any(str(text).startswith(UNKNOWN) for text in details):
            hint = " It belongs in 'inputs'." if name in known_params() else did_you_mean(name, known)
            messages[name] = [str(text).replace(UNKNOWN, UNKNOWN + hint) for text in details]


def add_models_faults(messages: dict[Any, Any], body: Mapping[str, Any], *, whole: bool) -> None:
    """Add what the model would refuse, where the body is whole enough to tell."""
    model, inputs, options = (body.get(name) for name in ("model", "inputs", "options"))
    if not isinstance(model, str) or "model" in messages:
        return
    try:
        (check_request if whole else check_options)(services().registry, model, inputs, options)
    except UnknownModel as exc:
        messages["model"] = [str(exc)]
    except RequestRefused as exc:
        for problem in exc.problems:
            place, *below = problem.pointer.split("/")[1:]
            if place not in messages or (below and isinstance(messages[place], dict)):
                _put(messages, [place, *below], problem.detail)


def _put(messages: dict[Any, Any], path: list[str], detail: str) -> None:
    """Add a detail at a pointer's steps; marshmallow's messages are as deep as what they are about."""
    *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in path)
    for step in steps:
        below = messages.setdefault(step, {})
        if not isinstance(below, dict):
            return
        messages = below
    if isinstance(details := messages.setdefault(last, []), list):
        details.append(detail)
