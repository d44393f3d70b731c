"""An order's own webhook, taken out of its body and checked."""

from __future__ import annotations

from typing import Any

import httpcore

from app.api.http import services
from app.api.http.auth import caller
from app.clients.guarded import NotPublic
from app.domain.endpoint import USUAL_JOB_EVENTS, OrderHook
from app.domain.errors import FieldError, InvalidRequest


def hook_of(body: dict[str, Any], usual: tuple[str, ...] = USUAL_JOB_EVENTS) -> OrderHook | None:
    """Take the webhook out of a checked body. Raises InvalidRequest where nothing may be posted there."""
    url, events = body.pop("webhook", None), body.pop("webhook_events", None)
    if url is None:
        return None
    return OrderHook(url=receiver(url, "/webhook"), owner=caller().identity, events=tuple(dict.fromkeys(events or usual)))


def receiver(url: str, pointer: str) -> str:
    """Return a URL that webhooks may go to, as it will be asked. Raises InvalidRequest, with the field that names it."""
    try:
        checked = services().receivers.checked(url)
        services().receivers.require_reachable(checked)
    except NotPublic as exc:
        raise _refused(pointer, str(exc)) from exc
    except httpcore.ConnectError as exc:
        raise _refused(pointer, "Its host cannot be resolved.") from exc
    return checked


def _refused(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{pointer.lstrip('/')}: {detail}", [FieldError(pointer, detail)])
