"""What is asked in OpenAI's words, as an order: no price, no limit and no rule of a model is known here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow as ma

from app.api.http import services
from app.api.http.auth import Caller
from app.api.http.requests import refusal_of
from app.api.openai.asked import Asked
from app.api.openai.body import Body, Picture
from app.api.openai.errors import UnknownParameter
from app.api.schemas.fields import MAX_USER_ID_CHARS, metadata_field, retain_days_field, text_field
from app.domain.errors import FieldError, InvalidRequest, UnknownModelName
from app.services.orders.files import File, Mask
from app.services.orders.order import Order
from registry.openai import SIZE, OpenAIRules
from registry.request import accepted
from registry.spec import ModelSpec, Param
from registry.table import did_you_mean
from registry.values import canonical, faults

MAX_IMAGES = 10
URL, B64 = "url", "b64_json"
#: Clients that know these names read base64 only.
BASE64_NAMES = re.compile(r"(?:openai/)?(?:gpt-image|chatgpt-image)")
PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})")
AUTO = "auto"
#: What a request may say besides what its model understands.
PARAMETERS = {
    param.name: param
    for param in (
        Param(name="prompt", type="string", description="What is to be seen, or to be changed."),
        Param(name="model", type="string", max_length=200, description="A model of GET /v1/models."),
        Param(name="n", type="integer", minimum=1, maximum=MAX_IMAGES, description="How many pictures."),
        Param(name=SIZE, type="string", pattern=r"^(auto|\d{1,5}x\d{1,5})$", description="auto, or width x height such as 1024x1024"),
        Param(name="response_format", type="string", enum=(URL, B64), description="How the pictures are answered; both, unless said."),
        Param(name="output_format", type="string", enum=("png", "jpeg", "webp"), description="What the pictures are to be."),
        Param(name="output_compression", type="integer", minimum=0, maximum=100, description="Quality of jpeg and webp."),
        Param(name="stream", type="boolean", description="Answer as server-sent events."),
        Param(name="partial_images", type="integer", minimum=0, maximum=3, description="Accepted; none are sent."),
        Param(name="user", type="string", max_length=MAX_USER_ID_CHARS, description="Whom the job is for, where the key may say so."),
        Param(name="safety_identifier", type="string", max_length=MAX_USER_ID_CHARS, description="The same, as newer clients say it."),
        Param(name="async", type="boolean", description="Answer 202 at once; ask at Location for the pictures."),
    )
}


class OurOwn(ma.Schema):
    """What orders at /api may carry besides."""

    project_id = text_field("projectId")
    metadata = metadata_field()
    retain_days = retain_days_field()


OUR_OWN = ("projectId", "metadata", "retainDays")


@dataclass(frozen=True)
class Wanted:
    order: Order
    asked: Asked
    is_async: bool


def wanted(body: Body, *, edit: bool, who: Caller, deployment: str | None, user: str | None) -> Wanted:
    """Return what a request asks for. `deployment`: the model its address names; `user`: whom its headers name.

    Raises InvalidRequest, UnknownParameter or UnknownModelName, naming the parameter; Forbidden for a user the key may not act for.
    """
    said, left = _said(body)
    named = deployment or said.get("model")
    spec = model_of(named, edit=edit)
    rules = services().openai_rules
    options = {**_sized(rules, spec, said.get(SIZE)), **_ruled(rules, spec, left, body), **_counted(spec, said.get("n"))}
    if (format_ := said.get("output_format")) in _values(spec, "output_format"):
        options["output_format"] = format_
    inputs, extra, own = _remaining(spec, left, body)
    if twice := [name for name in extra if name in options and options[name] != extra[name]]:
        raise _wrong(twice[0], "Asked for in two ways that differ, once in OpenAI's words: leave one out")
    inputs |= {"prompt": said["prompt"]} if "prompt" in said and "prompt" in spec.params else {}
    inputs |= _pictures(rules, spec, body) if edit else {}
    user_id = next((name for name in (said.get("user"), said.get("safety_identifier"), user) if name), None)
    order = Order(
        model=spec.name,
        inputs=inputs,
        options={**options, **extra},
        user_id=who.orders_for if who.account or user_id is None else who.acts_for(user_id),
        pays_tokens=who.account is not None,
        caller_key=who.key_id,
        limits=who.order_limits,
        **own,
    )
    asked = Asked(
        edit=edit,
        stream=said.get("stream", False),
        response=_response(said.get("response_format"), named or ""),
        output_format=format_,
        output_compression=said.get("output_compression"),
        model=named or spec.name,
    )
    return Wanted(order, asked, said.get("async", False))


def model_of(name: str | None, *, edit: bool) -> ModelSpec:
    """Return the model that a name stands for. Raises UnknownModelName, or InvalidRequest where it belongs to the other endpoint."""
    registry, rules = services().registry, services().openai_rules
    spec = registry.get(name or "") or registry.get(rules.model_of(name, edit=edit) or "")
    if spec is None:
        valid = (*registry.names, *rules.alias_names)
        near = did_you_mean(str(name), valid)
        raise UnknownModelName(f"The model {str(name)[:100]!r} does not exist.{near} Valid models: {', '.join(valid)}")
    takes = rules.images_of(spec)
    if edit and not takes:
        others = ", ".join(other.name for other in registry if rules.images_of(other))
        raise _wrong("model", f"{spec.name} does not edit images: use /v1/images/generations, or one of {others}")
    if not edit and any(param.name in spec.required_inputs for param in takes):
        others = ", ".join(other.name for other in registry if not rules.images_of(other))
        raise _wrong("model", f"{spec.name} needs an image: use /v1/images/edits, or one of {others}")
    return spec


def _said(body: Body) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return OpenAI's own parameters, checked, and what is left. Raises InvalidRequest naming everything that is wrong with them."""
    said, left, errors = {}, {}, []
    for name, value in body.fields.items():
        if name not in PARAMETERS:
            left[name] = value
            continue
        meant = _typed(PARAMETERS[name], value) if body.is_text else value
        errors += [
            FieldError(f"/{name}{pointer}", f"{detail[0].upper()}{detail[1:]}.") for pointer, detail in faults(PARAMETERS[name], meant)
        ]
        said[name] = meant if errors else canonical(PARAMETERS[name], meant)
    if errors:
        raise InvalidRequest("; ".join(f"{error.pointer.strip('/')}: {error.detail}" for error in errors), errors)
    return said, left


def _typed(param: Param, text: str) -> Any:
    """Return what a form's text means to a parameter; where it means nothing, the text itself, which is then refused."""
    if param.type in ("string", "image"):
        return text
    if param.type == "size" and not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text.lower() if param.type == "boolean" else text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text


def _sized(rules: OpenAIRules, spec: ModelSpec, size: str | None) -> dict[str, Any]:
    """Return the options of a size. A model that knows neither sizes nor ratios makes it as it will: the answer says how large it is."""
    if size is None or (rule := rules.options_of(spec.name, SIZE, size)) is not None:
        return dict(rule or {}) if size else {}
    pixels = PIXELS.fullmatch(size)
    if pixels is None or not {"width", "height"} <= accepted(spec).keys():
        return {}
    return {"width": int(pixels[1]), "height": int(pixels[2])}


def _counted(spec: ModelSpec, number: int | None) -> dict[str, Any]:
    """Return how many pictures are asked for; a model that makes one at a time need not be told."""
    return {} if number is None or (number == 1 and "num_images" not in spec.params) else {"num_images": number}


def _ruled(rules: OpenAIRules, spec: ModelSpec, left: dict[str, Any], body: Body) -> dict[str, Any]:
    """Take the parameters that the registry has rules for out of `left`; return what they mean to the model."""
    options: dict[str, Any] = {}
    for name, parameter in rules.parameters.items():
        if name not in left:
            continue
        value = left.pop(name)
        rule = rules.options_of(spec.name, name, value) if isinstance(value, str) else None
        if rule is not None:
            options |= rule
        elif name in accepted(spec):
            options[name] = _typed(accepted(spec)[name], value) if body.is_text else value
        elif value not in parameter.values:
            raise _wrong(name, f"Must be one of {', '.join(parameter.values)}")
        elif value in parameter.needs_rule:
            raise _wrong(name, f"{spec.name} cannot do {value!r}; leave it out, or use {AUTO}")
    return options


def _remaining(spec: ModelSpec, left: Mapping[str, Any], body: Body) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return what is left as the model's inputs, its options, and what is ours. Raises UnknownParameter for anything else."""
    names = accepted(spec)
    inputs: dict[str, Any] = {}
    options: dict[str, Any] = {}
    own: dict[str, Any] = {}
    unknown = [name for name in left if name not in names and name not in OUR_OWN]
    if unknown and services().settings.openai_unknown == "refuse":
        raise UnknownParameter(
            "; ".join(f"Unknown parameter: {name[:100]!r}.{did_you_mean(name, _known(spec))}" for name in unknown[:5])
            + f" Parameters of {spec.name}: {', '.join(_known(spec))}",
            [FieldError(f"/{name[:100]}", "Unknown parameter.") for name in unknown],
        )
    for name, value in left.items():
        if name in names:
            place = inputs if names[name].home == "inputs" else options
            place[name] = _typed(names[name], value) if body.is_text else value
        elif name in OUR_OWN:
            own[name] = _typed(Param(name=name, type="object"), value) if body.is_text and name == "metadata" else value
    try:
        return inputs, options, OurOwn().load(own)
    except ma.ValidationError as exc:
        raise refusal_of(ma.ValidationError({"json": exc.messages})) from exc


def _known(spec: ModelSpec) -> Iterator[str]:
    yield from dict.fromkeys((*PARAMETERS, *services().openai_rules.parameters, *accepted(spec), *OUR_OWN))


def _pictures(rules: OpenAIRules, spec: ModelSpec, body: Body) -> dict[str, Any]:
    """Return the inputs of the pictures: all in one list, or one in each. Raises InvalidRequest for too many, and for a mask too much."""
    places = rules.images_of(spec)
    if places[0].items is not None:
        found: dict[str, Any] = {places[0].name: list(body.images)}
    elif len(body.images) <= len(places):
        found = {place.name: image for place, image in zip(places, body.images, strict=False)}
    else:
        raise _wrong("image", f"{spec.name} takes at most {len(places)}, not {len(body.images)} images")
    return found | (_mask(rules, spec, body.mask) if body.mask is not None else {})


def _mask(rules: OpenAIRules, spec: ModelSpec, mask: Picture) -> dict[str, Any]:
    place = rules.mask_of(spec)
    if place is None:
        raise _wrong("mask", f"{spec.name} takes no mask: leave it out, and say in the prompt what is to be changed")
    white = rules.mask_style_of(spec.name) == "white"
    if isinstance(mask, File):
        return {place.name: Mask(mask.stream, mask.name, white=white)}
    if white:
        raise _wrong("mask", "Send the mask itself, as a file or a data URI: its transparency has to be read here")
    return {place.name: mask}


def _response(asked: str | None, name: str) -> frozenset[str]:
    if asked is not None:
        return frozenset({asked})
    return frozenset({B64}) if BASE64_NAMES.match(name) else frozenset({B64, URL})


def _values(spec: ModelSpec, name: str) -> tuple[Any, ...]:
    return spec.params[name].enum if name in spec.params else ()


def _wrong(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {detail}", [FieldError(f"/{name}", detail)])
