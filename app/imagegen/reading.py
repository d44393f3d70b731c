"""The commands that ask for models, prices and sums."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click

from imagegen.arguments import Model
from imagegen.ordering import model_of, request_body
from imagegen.session import Session, with_session
from imagegen.showing import emit, say, usd
from imagegen.tables import Column, show_list

EVERYBODY = click.option("--everybody", is_flag=True, help="Of all users; needs a key.")
MODEL_COLUMNS = (
    Column("model", "name"),
    Column("USD/image", "costPerImage"),
    Column("needs", "needs", is_words=True),
    Column("description", "description", is_words=True),
)
PARAMETER_COLUMNS = (
    Column("parameter", "name"),
    Column("in", "home"),
    Column("required", "required"),
    Column("values", "values", is_words=True),
    Column("default", "default", is_words=True),
)
USAGE_COLUMNS = (Column("jobs", "jobs"), Column("images", "images"), Column("USD", "cost"))


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
@click.option("--by", type=click.Choice(["model", "day", "status"]), default="model", show_default=True)
@click.option("--from", "start", metavar="DAY", help="First day, as 2026-11-01, in UTC; 30 days ago by default.")
@click.option("--to", "end", metavar="DAY", help="The day after the last one, as 2026-12-01, in UTC.")
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
        show_list(rows, (Column(by, "key", is_words=True), *USAGE_COLUMNS), as_json=False)
    return 0
