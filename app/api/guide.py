"""`/llms.txt` and `/models/{name}.md`: how to call the service, for language models and their people. Written from the registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from app.api.http import services
from app.api.http.access import open_to_all
from app.domain import clock
from app.domain.errors import NotFound
from app.domain.pricing import list_price, price_at, usd_text
from registry.request import UnknownModel, accepted
from registry.spec import MAX_IMAGES, ModelSpec, Param

#: Prices begin on a day: what was read five minutes ago may still be told.
CACHED_S = 300
EXAMPLE_URL = "https://example.com/picture.jpg"

blueprint = Blueprint("guide", __name__)


@blueprint.get("/llms.txt")
@open_to_all
def overview() -> Response:
    """Tell what the service is and how it is called (https://llmstxt.org)."""
    return _written("\n".join(_overview(services().settings.own_url)), "text/plain")


@blueprint.get("/models/<name>.md")
@open_to_all
def model_page(name: str) -> Response:
    """Tell what one model takes and costs, with an order that works as it stands."""
    registry = services().registry
    spec = registry.get(name)
    if spec is None:
        raise NotFound(str(UnknownModel(name, registry.names)))
    return _written("\n".join(_page(spec, services().settings.own_url)), "text/markdown")


def _written(text: str, kind: str) -> Response:
    response = Response(f"{text}\n", content_type=f"{kind}; charset=utf-8")
    response.headers["Cache-Control"] = f"public, max-age={CACHED_S}"
    response.set_etag(hashlib.sha256(text.encode()).hexdigest()[:32])
    return response.make_conditional(request)  # type: ignore[return-value]


def _overview(own_url: str) -> Iterator[str]:
    yield "# Image generation gateway"
    yield ""
    yield "> Makes pictures with many models. Every picture is kept, every order is known, and every price is told before. Prices are USD."
    yield ""
    yield f"- Agents: the Model Context Protocol at {own_url}/mcp, with `Authorization: Bearer <key>`. Tools: list_models, get_model,"
    yield "  estimate_cost, generate_image, get_job, cancel_job, list_jobs, upload_image, get_usage."
    yield f"- Scripts: `POST {own_url}/api/images/generate` with `X-API-Key: <key>`; the answer has the pictures' links. Send an"
    yield "  `Idempotency-Key` of your own with each order: the same one again buys nothing again."
    yield "- Take longer than you wait for? Ask the job: `GET /api/jobs/{jobId}`. A failed order costs nothing."
    yield f"- What an order costs: `POST {own_url}/api/images/estimate-cost`. Everything else: [OpenAPI]({own_url}/openapi.json)."
    yield ""
    yield "## Models"
    yield ""
    for spec in services().registry:
        price = usd_text(list_price(spec, clock.now()))
        yield f"- [{spec.name}]({own_url}/models/{spec.name}.md): {spec.description}. {spec.category}, {price} USD a picture"


def _page(spec: ModelSpec, own_url: str) -> Iterator[str]:
    yield f"# {spec.name}"
    yield ""
    yield f"> {spec.description}. {spec.category}, {usd_text(list_price(spec, clock.now()))} USD a picture at its defaults."
    yield ""
    yield "```bash"
    yield f"curl -X POST {own_url}/api/images/generate \\"
    yield '  -H "X-API-Key: $IMAGEGEN_KEY" -H "Content-Type: application/json" \\'
    yield f"  -d '{json.dumps(example_of(spec))}'"
    yield "```"
    yield ""
    yield from _price(spec)
    optional = {name: param for name, param in accepted(spec).items() if param.name not in spec.required_inputs}
    for title, params in (("Required inputs", {name: spec.params[name] for name in spec.required_inputs}), ("Optional", optional)):
        if params:
            yield f"## {title}\n"
            yield from (f"- `{name}`: {_told(param, spec)}" for name, param in params.items())
            yield ""
    yield f"Optional parameters stand in `inputs` or in `options`. `num_images` takes up to {MAX_IMAGES}; each picture costs."


def example_of(spec: ModelSpec) -> dict[str, Any]:
    """Return the smallest order of a model."""
    inputs = {name: _example(spec.params[name]) for name in spec.required_inputs}
    return {"model": spec.name, "inputs": inputs, "userId": "user123"}


def _example(param: Param) -> Any:
    if param.takes_images:
        return [EXAMPLE_URL] if param.type == "array" else EXAMPLE_URL
    if param.default is not None or param.enum:
        return param.enum[0] if param.default is None else param.default
    return {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}.get(param.type, "a red bicycle")


def _price(spec: ModelSpec) -> Iterator[str]:
    price = price_at(spec, clock.now())
    yield "## Price\n"
    yield f"- {price.amount} USD for each {price.unit}"
    yield from (f"- {tier.amount} USD where `{tier.option}` is {json.dumps(tier.equals)}" for tier in price.tiers)
    yield from (f"- {extra.amount} USD more where `{extra.option}` is {json.dumps(extra.equals)}" for extra in price.extras)
    yield ""


def _told(param: Param, spec: ModelSpec) -> str:
    """Return in words what a parameter takes."""
    words = [
        "a list of " + param.items.type if param.items else {"size": "a size by name, or width and height"}.get(param.type, param.type)
    ]
    if param.enum:
        words.append(f"one of {', '.join(json.dumps(value) for value in param.enum)}")
    if param.minimum is not None or param.maximum is not None:
        words.append(f"from {_number(param.minimum)} to {_number(param.maximum)}")
    if param.max_items is not None:
        words.append(f"at most {param.max_items}")
    default = spec.default_options.get(param.name, param.default)
    if default is not None:
        words.append(f"else {json.dumps(default)}")
    return f"{', '.join(words)}. {param.description}".strip()


def _number(bound: float | None) -> str:
    if bound is None:
        return "any"
    return str(int(bound)) if float(bound).is_integer() else str(bound)
