"""What fal's clients ask for as an order: the app's model, its arguments, and what is left out of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Response, g, request

from app.api.fal.links import upload_named
from app.api.http import services
from app.api.http.auth import caller
from app.api.http.bodies import UnsupportedMediaType, json_body, parse_json
from app.api.http.hooks import receiver
from app.api.http.ordering import checked_user, count_accept, order_key_of
from app.domain.asset import REFERENCE_PREFIX
from app.domain.delivery import HookFormat
from app.domain.endpoint import OrderHook
from app.domain.errors import FieldError, InvalidRequest, UnknownModelName
from app.domain.job import PRIORITY_HEADER
from app.services.orders.order import Order
from app.services.orders.submit import Accepted
from registry.spec import ModelSpec

IGNORED_HEADER = "X-Gateway-Ignored"
#: What fal would heed and nothing here does.
IGNORED_HEADERS = (
    "X-Fal-Object-Lifecycle-Preference",
    "X-Fal-Object-Lifecycle",
    "X-Fal-Store-IO",
    "X-Fal-No-Retry",
    "X-App-Fal-Disable-Fallback",
    "X-App-Fal-Upload-Policy",
)
IGNORED_NAMES, IGNORED_CHARS = 50, 64
RUNNER_HINT, MAX_HINT_CHARS = "X-Fal-Runner-Hint", 200
PRIORITIES = ("normal", "low")
#: At fal it bounds how long a request waits for a machine, on this service's own `run` how long the caller waits for its output.
TIMEOUT = "X-Fal-Request-Timeout"
MAX_START_S = 24 * 3600
#: Pictures are stored here and answered as links, never in the answer itself.
SYNC_MODE = "sync_mode"
WEBHOOK = "fal_webhook"


def ordered(app: str, *, passes_timeout: bool = False) -> Accepted:
    """Take this request's order and note what of it is ignored; with `passes_timeout` fal hears how long it may wait for a machine.

    Raises UnknownModelName, and what `Orders.submit` raises.
    """
    spec = spec_of(app)
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the arguments as JSON, with the header Content-Type: application/json")
    body = json_body(request, parse_json)
    who = caller()
    user_id = user_of_request()
    known, ignored = _sorted_out(spec, body)
    note_ignored(*ignored, *(name for name in request.args if name != WEBHOOK))
    hook = _hook()
    order = Order(
        model=spec.name,
        inputs={name: value for name, value in known.items() if spec.params[name].home == "inputs"},
        options={name: value for name, value in known.items() if spec.params[name].home == "options"},
        user_id=user_id,
        fal_headers=_passed_on(passes_timeout=passes_timeout),
        caller_key=who.key_id,
        limits=who.order_limits,
        key=order_key_of({"arguments": body, "userId": user_id} | ({"webhook": hook.url} if hook else {})),
        hook=hook,
        pays_tokens=who.account is not None,
    )
    accepted = services().orders.submit(order)
    g.fal_request_id = accepted.job.id
    count_accept(accepted)
    return accepted


def _hook() -> OrderHook | None:
    """Return where the request's end is told, in fal's own form. Raises InvalidRequest where nothing may be posted there."""
    url = request.args.get(WEBHOOK)
    return OrderHook(url=receiver(url, f"/{WEBHOOK}"), owner=caller().identity, format=HookFormat.FAL) if url else None


def spec_of(app: str) -> ModelSpec:
    """Return the model of an endpoint of fal's. Raises UnknownModelName where the registry has none."""
    found = next((spec for spec in services().registry if app == spec.fal_endpoint or app in spec.fal_twins), None)
    if found is None:
        endpoints = ", ".join(sorted({spec.fal_endpoint for spec in services().registry}))
        shown = app[:200]
        raise UnknownModelName(
            f'Application "{shown}" not found. This gateway has: {endpoints}. '
            f"Its operator can add others: python -m app registry import {shown}"
        )
    return found


def note_ignored(*names: str) -> None:
    """Have these names told in the answer, and those of fal's headers that nothing here heeds."""
    g.fal_ignored = [*names, *(name for name in IGNORED_HEADERS if name in request.headers)]


def tell_ignored(response: Response) -> Response:
    """Name what this request asked for in vain: fal ignores arguments that it does not know, and says nothing."""
    if names := g.get("fal_ignored"):
        shown = [quote(str(name)[:IGNORED_CHARS], safe="-_. ") for name in names[:IGNORED_NAMES]]
        response.headers[IGNORED_HEADER] = ", ".join(shown)
    return response


def _passed_on(*, passes_timeout: bool) -> dict[str, str]:
    """Return the headers that fal is to see as they came. Raises InvalidRequest for what fal would refuse, or make nothing of."""
    wrong = []
    hint, priority, timeout = (request.headers.get(name) for name in (RUNNER_HINT, PRIORITY_HEADER, TIMEOUT))
    if hint is not None and not (1 <= len(hint) <= MAX_HINT_CHARS and hint.isascii() and hint.isprintable()):
        wrong.append(FieldError(f"/{RUNNER_HINT}", f"Use 1 to {MAX_HINT_CHARS} printable ASCII characters"))
    if priority is not None and priority not in PRIORITIES:
        wrong.append(FieldError(f"/{PRIORITY_HEADER}", f"Use {' or '.join(PRIORITIES)}"))
    if passes_timeout and timeout is not None and not 0 < seconds(timeout) <= MAX_START_S:
        wrong.append(FieldError(f"/{TIMEOUT}", f"Use seconds, above 0 and at most {MAX_START_S}"))
    if wrong:
        raise InvalidRequest("; ".join(f"{error.pointer[1:]}: {error.detail}" for error in wrong), wrong)
    found = {RUNNER_HINT: hint, PRIORITY_HEADER: priority, TIMEOUT: timeout if passes_timeout else None}
    return {name: value for name, value in found.items() if value is not None}


def seconds(text: str) -> float:
    """Return the seconds that a text names; NaN for one that names none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _sorted_out(spec: ModelSpec, body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments that the model knows, and the names of the others. A null is an argument that was not given."""
    given = {name: value for name, value in body.items() if value is not None}
    known = {name: _with_uploads(value) for name, value in given.items() if name in spec.params and name != SYNC_MODE}
    ignored = [name for name, value in given.items() if name not in known and not (name == SYNC_MODE and value is False)]
    return known, ignored


def _with_uploads(value: Any) -> Any:
    """Return an argument with the uploads that its links of ours name in their place: nothing is fetched from ourselves."""
    if isinstance(value, list):
        return [_with_uploads(item) for item in value]
    upload_id = upload_named(value) if isinstance(value, str) else None
    return f"{REFERENCE_PREFIX}{upload_id}" if upload_id else value


def user_of_request() -> str:
    """Return whose orders and uploads these are: `X-User-Id`, or `user_id` among `X-Fal-Tags`, else the caller's own.

    Raises Forbidden for a user the caller may not act for.
    """
    tags = (tag.partition("=") for tag in request.headers.get("X-Fal-Tags", "").split(","))
    tagged = {name.strip(): value.strip() for name, _, value in tags}
    user_id = request.headers.get("X-User-Id") or tagged.get("user_id")
    return caller().orders_for if user_id is None else caller().acts_for(checked_user(user_id, "X-User-Id"))
