"""What the tools take. Their descriptions are read by language models, which see nothing else."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http.ordering import MAX_KEY_CHARS
from app.api.http.paging import cursor_field
from app.api.mcp.tool import Arguments
from app.api.schemas.fields import no_nul
from app.api.schemas.jobs import check_order, moment_field
from app.domain.job import JobStatus
from app.domain.usage import GroupBy
from registry.spec import MAX_IMAGES

#: Clients give up on a call after 60 s unless told otherwise (the official SDKs do).
USUAL_WAIT_S, LONGEST_WAIT_S = 45, 120
MAX_LISTED = 50


def _told(text: str) -> dict[str, Any]:
    return {"metadata": {"description": text}}


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ma.ValidationError("Use printable characters.")


def _wait_field(usual: int, text: str) -> ma.fields.Float:
    return ma.fields.Float(load_default=usual, validate=ma.validate.Range(0, LONGEST_WAIT_S), **_told(text))


class NoArguments(Arguments):
    pass


class ModelName(Arguments):
    name = ma.fields.String(required=True, validate=ma.validate.Length(1, 200), **_told("A model's name, as list_models tells it."))


class Picture(Arguments):
    """What a picture is asked for by, and priced by."""

    prompt = ma.fields.String(load_default=None, **_told("May be left out: words do not change the price."))
    model = ma.fields.String(
        load_default=None,
        validate=ma.validate.Length(1, 200),
        **_told("A name of list_models. Without it the service's usual model: one for words alone, another where images are given."),
    )
    images = ma.fields.List(
        ma.fields.String(),
        load_default=list,
        **_told(
            "Pictures to work from, in the model's order: https URLs, or upload:<id> of upload_image or of an earlier picture's imageId, "
            "or data: URIs of at most 10 MB."
        ),
    )
    options = ma.fields.Dict(
        keys=ma.fields.String(),
        load_default=dict,
        **_told('Anything else the model takes, as get_model lists it, such as {"aspect_ratio": "16:9", "seed": 7}.'),
    )
    num_images = ma.fields.Integer(
        load_default=None,
        strict=True,
        validate=ma.validate.Range(1, MAX_IMAGES),
        **_told("How many pictures; each costs. One unless said."),
    )


class EstimateArguments(Picture):
    pass


class GenerateArguments(Picture):
    prompt = ma.fields.String(
        required=True, **_told("What the picture shows, or how the given images are to change. Empty only for models that take no words.")
    )
    max_cost = ma.fields.Float(
        load_default=None,
        validate=ma.validate.Range(0),
        **_told("Most USD this order may cost; above it nothing is ordered. Without it what the key allows, 1 USD where it says nothing."),
    )
    idempotency_key = ma.fields.String(
        load_default=None,
        validate=[ma.validate.Length(1, MAX_KEY_CHARS), _printable],
        **_told(
            "A new random text for each order. Calling again with the same one, after an error or a lost answer, buys nothing again: "
            "it gives the same job. Without it each call is an order of its own."
        ),
    )
    wait_seconds = _wait_field(
        USUAL_WAIT_S, "How long to wait for the pictures; if they take longer the job is given, for get_job. 0: not."
    )


class JobArguments(Arguments):
    job_id = ma.fields.String(required=True, **_told("The jobId that generate_image gave."))


class GetJobArguments(JobArguments):
    wait_seconds = _wait_field(0, "How long to wait for the job's end before it is told how far it is.")


class ListJobsArguments(Arguments):
    status = ma.fields.Enum(JobStatus, by_value=True, load_default=None, **_told("Only jobs of this status."))
    model = ma.fields.String(load_default=None, validate=[ma.validate.Length(1, 200), no_nul], **_told("Only jobs of this model."))
    limit = ma.fields.Integer(load_default=10, strict=True, validate=ma.validate.Range(1, MAX_LISTED), **_told("How many at most."))
    cursor = cursor_field()


class UploadArguments(Arguments):
    image = ma.fields.String(
        required=True, **_told("The file's bytes in base64, or a data: URI. JPEG, PNG, WEBP, GIF or BMP of at most 10 MB.")
    )
    file_name = ma.fields.String(load_default=None, validate=[ma.validate.Length(1, 255), no_nul], **_told("What to call it."))


class UsageArguments(Arguments):
    created_from = moment_field("from", "First UTC day, such as 2026-10-01; without it 30 days before the end.")
    created_to = moment_field("to", "The days before this time; without it until now.")
    group_by = ma.fields.Enum(GroupBy, by_value=True, load_default=GroupBy.MODEL, **_told("What the sums are grouped by."))

    @ma.validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        check_order(data)
