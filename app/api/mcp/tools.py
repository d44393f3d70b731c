"""The tools. Their docstrings are what agents read: when to call them, and what comes of it."""

from __future__ import annotations

import base64
import binascii
import functools
import io
import json
from collections.abc import Callable
from typing import Any

from app.api.http import paging, services
from app.api.http.auth import caller
from app.api.http.limits import counted_wait
from app.api.http.ordering import count_answer
from app.api.mcp import answers, arguments
from app.api.mcp.answers import job_result
from app.api.mcp.picture_order import asked_of, model_of, submitted
from app.api.mcp.tool import Result, Tool, Wait, tool
from app.api.schemas.images import ModelDetailAnswer
from app.api.schemas.usage import UsageAnswer
from app.api.usage import groups_of
from app.domain.api_key import Scope
from app.domain.errors import Forbidden, NotAnImage, UnknownModelName
from app.domain.job import Job
from app.domain.job_filter import JobFilter
from app.domain.pricing import usd_text
from app.services.orders.web_generation import REFERENCE_SIDES
from registry.request import UnknownModel
from registry.spec import ModelSpec

READS = {"readOnlyHint": True, "openWorldHint": False}


@tool("List models", Scope.READ, arguments.NoArguments, answers.AgentModels, **READS)
def list_models(_: dict[str, Any]) -> Result:
    """List the image models with their price of one picture in USD, what each needs, and whether it works from given pictures."""
    models = [spec for spec in services().registry if _is_allowed(spec)]
    shown = answers.AgentModels.of({"models": models})
    lines = [f"{model['name']}: {model['costPerImage']:g} USD, {model['category']}. {model['description']}" for model in shown["models"]]
    return Result(text="\n".join(lines), shown=shown)


@tool("Show a model", Scope.READ, arguments.ModelName, ModelDetailAnswer, **READS)
def get_model(given: dict[str, Any]) -> Result:
    """Show what one model takes: the JSON Schema of its inputs and options, its prices and limits."""
    registry = services().registry
    spec = registry.get(given["name"])
    if spec is None:
        raise UnknownModelName(str(UnknownModel(given["name"], registry.names)), details={"validModels": list(registry.names)})
    return _as_text(ModelDetailAnswer.of(spec))


@tool("Tell the price", Scope.READ, arguments.EstimateArguments, answers.AgentEstimate, **READS)
def estimate_cost(given: dict[str, Any]) -> Result:
    """Tell what generate_image would cost in USD with the same arguments. Orders nothing."""
    model = model_of(given)
    caller().order_limits.require_model(model)
    inputs, options = asked_of(model, given)
    quote = services().orders.estimate(model, inputs, options)
    shown = answers.AgentEstimate.of({**vars(quote), "model": model})
    text = f"{quote.num_images} x {usd_text(quote.unit_micros)} USD = {usd_text(quote.micros)} USD with {model}"
    return Result(text=text, shown=shown)


@tool(
    "Generate pictures",
    Scope.GENERATE,
    arguments.GenerateArguments,
    answers.AgentJob,
    readOnlyHint=False,
    destructiveHint=False,
    idempotentHint=False,
    openWorldHint=True,
)
def generate_image(given: dict[str, Any]) -> Result | Wait:
    """Make pictures from words, or from words and given pictures. This costs money: estimate_cost tells how much before.

    Waits for the pictures and gives a link to each and a small preview of the first. If they take longer than wait_seconds the job is
    given instead, and get_job has the pictures later. A failed order costs nothing.
    """
    accepted = submitted(given)
    job = accepted.job
    if accepted.begins_later:
        return Result(text=f"{accepted.message('')}. Call get_job with job_id {job.id} later.", shown=answers.AgentJob.of(job))

    def result(ended: Job) -> Result:
        if ended.is_terminal and not accepted.replayed:
            count_answer(ended)
        return job_result(ended, was_ordered=True)

    return _waited(job, given["wait_seconds"], result)


@tool("Show a job", Scope.READ, arguments.GetJobArguments, answers.AgentJob, **READS)
def get_job(given: dict[str, Any]) -> Result | Wait:
    """Show how far a job is, and once it is completed its pictures: a link to each and a small preview of the first."""
    job = services().job_actions.job(_spelled(given["job_id"]), user_id=caller().sees)
    return _waited(job, given["wait_seconds"], job_result)


@tool(
    "Cancel a job",
    Scope.GENERATE,
    arguments.JobArguments,
    answers.AgentJob,
    readOnlyHint=False,
    destructiveHint=True,
    idempotentHint=True,
    openWorldHint=True,
)
def cancel_job(given: dict[str, Any]) -> Result:
    """Cancel a job that has not finished. What has not begun is free; what is being painted may still be finished, and is then charged."""
    return job_result(services().job_actions.cancel(_spelled(given["job_id"]), user_id=caller().owns))


@tool("List jobs", Scope.READ, arguments.ListJobsArguments, answers.AgentJobs, **READS)
def list_jobs(given: dict[str, Any]) -> Result:
    """List your latest jobs, newest first: to find a picture again, or an order whose answer was lost."""
    wanted = JobFilter(user_id=caller().orders_for, status=given["status"], model=given["model"])
    page = services().history.page(wanted, cursor=paging.position_of(given["cursor"], wanted), limit=given["limit"])
    shown = answers.AgentJobs.of({"jobs": page.jobs, "cursor": paging.cursors_of(page, wanted)})
    lines = [f"{job['jobId']}: {job['status']}, {job['model']}, {job['cost']:g} USD: {job['prompt'][:80]}" for job in shown["jobs"]]
    return Result(text="\n".join(lines) or "No jobs.", shown=shown)


@tool(
    "Upload a picture",
    Scope.GENERATE,
    arguments.UploadArguments,
    answers.AgentUpload,
    readOnlyHint=False,
    destructiveHint=False,
    idempotentHint=True,
    openWorldHint=False,
)
def upload_image(given: dict[str, Any]) -> Result:
    """Keep a picture of the user's for later orders, without its metadata. Not needed for pictures that have an https URL."""
    try:
        content = base64.b64decode(given["image"].partition(",")[2] or given["image"], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise NotAnImage("image: this is not valid base64") from exc
    services().readiness.require()  # Without its unique index one picture would get two records.
    kept = services().uploads.keep(caller().orders_for, io.BytesIO(content), sides=REFERENCE_SIDES, file_name=given["file_name"])
    shown = answers.AgentUpload.of(kept.upload)
    return Result(text=f"Kept. Give {shown['reference']} in images of generate_image.", shown=shown)


@tool("Show usage", Scope.READ, arguments.UsageArguments, UsageAnswer, **READS)
def get_usage(given: dict[str, Any]) -> Result:
    """Tell how many pictures were made in a period, and what they cost in USD."""
    whose = caller().orders_for
    period = services().usage.period(given["created_from"], given["created_to"])
    report = services().usage.report(whose, period, given["group_by"])
    shown = UsageAnswer.of({"user_id": whose, "totals": report.totals, "groups": groups_of(report)})
    totals = report.totals
    return Result(text=f"{totals.jobs} jobs, {totals.images} pictures, {usd_text(totals.micros)} USD", shown=shown)


TOOLS: dict[str, Tool] = {
    each.name: each
    for each in (list_models, get_model, estimate_cost, generate_image, get_job, cancel_job, list_jobs, upload_image, get_usage)
}


def _is_allowed(spec: ModelSpec) -> bool:
    try:
        caller().order_limits.require_model(spec.name)
    except Forbidden:
        return False
    return True


def _waited(job: Job, wait_s: float, result: Callable[[Job], Result]) -> Result | Wait:
    longest = min(wait_s, services().settings.sync_wait_seconds)
    if job.is_terminal or longest <= 0:
        return result(job)
    return Wait(counted_wait(functools.partial(services().waiters.wait, job.id), longest), result)


def _spelled(job_id: str) -> str:
    """Let an id be written in any case, as in a path."""
    return job_id.strip().lower()


def _as_text(shown: dict[str, Any]) -> Result:
    return Result(text=json.dumps(shown, ensure_ascii=False, separators=(",", ":")), shown=shown)
