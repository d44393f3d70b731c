"""The commands that only ask, and `cancel`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

import click

from imagegen.arguments import Model
from imagegen.gateway import Answer, Gateway
from imagegen.ordering import model_of, request_body
from imagegen.orders import ORDER_ID
from imagegen.outcomes import WrongCall
from imagegen.session import Session, with_session
from imagegen.showing import emit, say, show_list, usd

PAGE = 100
ALL_THE_SAME = "what it finishes all the same is delivered and charged"
STATUSES = ("pending", "processing", "completed", "failed", "canceled")
EVERYBODY = click.option("--everybody", is_flag=True, help="Of all users; needs a key.")
MODEL_COLUMNS = (("model", "name"), ("USD/image", "costPerImage"), ("needs", "needs"), ("description", "description"))
PARAMETER_COLUMNS = (("parameter", "name"), ("in", "home"), ("required", "required"), ("values", "values"), ("default", "default"))
JOB_COLUMNS = (
    ("created", "createdAt"),
    ("job", "jobId"),
    ("model", "model"),
    ("status", "status"),
    ("%", "progress"),
    ("images", "count"),
    ("USD", "cost"),
    ("prompt", "prompt"),
)
USAGE_COLUMNS = (("jobs", "jobs"), ("images", "images"), ("USD", "cost"))


@click.command()
@click.argument("name", required=False)
@with_session
def models(session: Session, name: str | None) -> int:
    """List the models, or show what one of them takes."""
    with session.gateway() as gateway:
        if name is None:
            found = gateway.get("/api/images/models")["models"]
            shown = found if session.as_json else [{**model, "needs": ", ".join(model["requiredInputs"])} for model in found]
            show_list(shown, MODEL_COLUMNS, as_json=session.as_json)
            return 0
        view = gateway.get(f"/api/images/models/{quote(name, safe='')}")
    if session.as_json:
        emit(view)
        return 0
    say(f"{view['name']}: {view['description']}")
    say(f"{usd(view['costPerImage'])} an image at default options; {view['falEndpoint']}")
    model = Model(view)
    show_list((_parameter(model, name) for name in {**model.inputs, **model.options}), PARAMETER_COLUMNS, as_json=False)
    return 0


def _parameter(model: Model, name: str) -> dict[str, Any]:
    schema = model.inputs.get(name) or model.options[name]
    choices = next((choice["enum"] for choice in (schema, *schema.get("anyOf", [])) if "enum" in choice), None)
    values = ", ".join(map(_text, choices)) if choices else schema.get("type", "any")
    return {
        "name": name,
        "home": model.home(name),
        "required": "yes" if name in model.required else "",
        "values": values,
        "default": _text(schema["default"]) if "default" in schema else None,
    }


def _text(value: Any) -> str:
    """Return a value as it is typed on a command line."""
    return value if isinstance(value, str) else json.dumps(value)


@click.command()
@click.argument("model")
@click.option("-n", "--count", type=click.IntRange(1), help="How many images.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE")
@with_session
def estimate(session: Session, model: str, **request: Any) -> int:
    """Price a request without ordering anything."""
    with session.gateway() as gateway:
        body = request_body(model_of(gateway, model), prompt=None, images=(), **request)
        if not body["inputs"]:
            del body["inputs"]
        answer = gateway.post("/api/images/estimate-cost", body)
    if session.as_json:
        emit(answer)
    else:
        say(f"{answer['numImages']} x {usd(answer['costPerImage'])} = {usd(answer['totalCost'])}")
    return 0


@click.command()
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--model")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@click.option("--all", "everything", is_flag=True, help="All of them, whatever --limit says.")
@EVERYBODY
@with_session
def jobs(session: Session, *, status: str | None, model: str | None, limit: int, everything: bool, everybody: bool) -> int:
    """List jobs, newest first."""
    query = {"userId": None if everybody else session.user_id, "status": status, "model": model}
    with session.gateway() as gateway:
        found = islice(_pages(gateway, query, PAGE if everything else min(PAGE, limit)), None if everything else limit)
        show_list(found if session.as_json else map(_job_row, found), JOB_COLUMNS, as_json=session.as_json)
    return 0


def _pages(gateway: Gateway, query: dict[str, Any], limit: int) -> Iterator[Answer]:
    cursor: str | None = None
    while True:
        page = gateway.get("/api/jobs", **query, limit=limit, cursor=cursor)
        yield from page["jobs"]
        cursor = page["cursor"]["next"]
        if not page["cursor"]["hasMore"] or cursor is None:
            return


def _job_row(job: Answer) -> dict[str, Any]:
    created = job["createdAt"][:16].replace("T", " ")
    return {**job, "createdAt": created, "count": len(job["images"]), "prompt": str(job["config"]["inputs"].get("prompt", ""))[:60]}


@click.command()
@click.option("--by", type=click.Choice(["model", "day", "status"]), default="model", show_default=True)
@click.option("--from", "start", metavar="DAY", help="First day (UTC); 30 days ago by default.")
@click.option("--to", "end", metavar="DAY", help="Day after the last one.")
@EVERYBODY
@with_session
def usage(session: Session, *, by: str, start: str | None, end: str | None, everybody: bool) -> int:
    """Show what was made and what it cost."""
    query = {"userId": None if everybody else session.user_id, "groupBy": by, "from": start, "to": end}
    with session.gateway() as gateway:
        answer = gateway.get("/api/usage", **query)
    if session.as_json:
        emit(answer)
    else:
        rows = [*answer["groups"], {"key": "total", **answer["totals"]}]
        show_list(rows, ((by, "key"), *USAGE_COLUMNS), as_json=False)
    return 0


@click.command()
@click.argument("what", metavar="JOB|ORDER")
@with_session
def cancel(session: Session, what: str) -> int:
    """Cancel a job, or what an open order has ordered. What fal finishes all the same is delivered and charged."""
    path, server = f"/api/jobs/{quote(what, safe='')}/cancel", session.server
    if ORDER_ID.fullmatch(what):
        order = session.files.load(what)
        session.check_caller(order)
        if not order.is_accepted:
            raise WrongCall(f"It is not known whether the order {what} arrived. Resume it first: imagegen resume {what}")
        server = order.server
        path = f"/api/batches/{order.batch_id}/cancel" if order.is_batch else f"/api/jobs/{order.job_ids[0]}/cancel"
    with session.gateway(server) as gateway:
        answer = gateway.post(path)
    if session.as_json:
        emit(answer)
    else:
        name = answer.get("jobId") or answer.get("batchId")
        asked = answer.get("cancelRequested") and answer["status"] in ("pending", "processing")
        say(f"{name}: fal has been asked to stop; {ALL_THE_SAME}" if asked else f"{name} is now: {answer['status']}")
    return 0
