"""Everything wrong with an order, told at once: what the body lacks, what its model refuses, and where a misplaced name belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import marshmallow as ma

from app.api.http import services
from app.api.http.auth import caller
from app.domain.errors import InvalidRequest
from registry.params import known_params
from registry.request import RequestRefused, UnknownModel, check_options, check_request
from registry.table import did_you_mean

UNKNOWN = "Unknown field."


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
    for name, told in messages.items():
        if isinstance(name, str) and isinstance(told, list) and any(str(text).startswith(UNKNOWN) for text in told):
            hint = " It belongs in 'inputs'." if name in known_params() else did_you_mean(name, known)
            messages[name] = [str(text).replace(UNKNOWN, UNKNOWN + hint) for text in told]


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
    if isinstance(told := messages.setdefault(last, []), list):
        told.append(detail)
