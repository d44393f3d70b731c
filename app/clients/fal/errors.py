"""fal's answers as domain errors: one table, sourced in docs (fal.ai "Model Errors", "Request Error Types", read 2026-09)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import (
    ProviderBadKey,
    ProviderBusy,
    ProviderError,
    ProviderForbidden,
    ProviderLocked,
    ProviderRefused,
    ResultUnavailable,
    ResultUnusable,
)
from app.domain.outside_text import storable_text

#: fal's own error types that say more than "generation_failed" to whoever reads the job.
NARROW_CODES = frozenset(
    {
        "content_policy_violation",
        "no_media_generated",
        "image_too_small",
        "image_too_large",
        "image_load_error",
        "file_download_error",
        "face_detection_error",
        "file_too_large",
        "unsupported_image_format",
        "feature_not_supported",
        "generation_timeout",
        "client_cancelled",
    }
)


#: A 403 with one of these words is about the one application that was called, and one of those about the key.
_APPLICATION = re.compile(r"\b(?:app|application|model|endpoint)s?\b", re.IGNORECASE)
_CREDENTIAL = re.compile(r"\b(?:key|credential|token|scope|authenticat\w*)s?\b", re.IGNORECASE)
_LOCKED = re.compile(r"\blocked\b|\bexhausted\b|\bbalance\b", re.IGNORECASE)
MAX_PROBLEMS = 10
#: Where fal's words were found, best first. `error` and `message` stand beside `detail`, or in its place.
_PLACES = ("detail", "error", "message", "msg", "reason", "errors")
MAX_DEPTH = 5
NO_REASON = "the request was refused without a reason"


def submit_refusal(status: int, body: Any, error_type: str | None) -> ProviderError:
    """Return what an answered, unsuccessful submit means. Every answer is definite: fal did not take the request.

    A 403 has three meanings: the account is locked, the key is refused, or one application is not open to it. The last concerns only who
    ordered it.
    """
    text = words_of(body)
    if status in (402, 403) and _LOCKED.search(text):
        return ProviderLocked("fal has locked the operator's account (empty balance); the job waits until it is topped up")
    if status == 401 or (status == 403 and _CREDENTIAL.search(text)):
        return ProviderBadKey("fal does not accept the operator's key; the job waits until it is corrected")
    if status == 403 and _APPLICATION.search(text):
        return model_failure(status, body, error_type)
    if status == 403:
        return ProviderForbidden("fal does not accept the operator's key for this model; the job waits until that is corrected")
    if status in (408, 409, 425, 429) or status >= 500 or status < 400:
        return ProviderBusy(f"fal is not taking requests right now (HTTP {status})", details={"falStatus": status})
    return model_failure(status, body, error_type)


def result_failure(status: int, body: Any, headers: Mapping[str, str]) -> ProviderError:
    """Return what an unsuccessful answer of a finished request's result means."""
    error_type = headers.get("x-fal-error-type")
    words = words_of(body)
    if status < 400 or status in (401, 403, 408, 409, 425, 429) or (status == 400 and "still in progress" in words.lower()):
        return ResultUnavailable(f"fal does not hand out the result yet (HTTP {status})")
    if status == 404:
        return ResultUnusable("fal no longer has the result", code="result_gone")
    if status >= 500:
        if isinstance(body, dict) and words:
            failure = model_failure(status, body, error_type)
            return ResultUnusable(failure.message, code=failure.code, details=failure.details)
        return ResultUnavailable(f"fal does not hand out the result yet (HTTP {status})")
    return model_failure(status, body, error_type)


def error_beside_nothing(body: dict[str, Any], headers: Mapping[str, str]) -> ProviderRefused | None:
    """Return the failure that a result without pictures tells of, though its status is 200; None where it tells of none."""
    if not any(body.get(place) for place in ("error", "detail", "error_type")):
        return None
    return model_failure(200, body, headers.get("x-fal-error-type"))


def model_failure(status: int, body: Any, error_type: str | None) -> ProviderRefused:
    """Return the refusal or failure of the model itself, with what fal said about it and nothing else of its answer."""
    problems = _problems(body)
    kind = storable_text(error_type, 100) or _kind_of(body)
    code = kind if kind in NARROW_CODES else "client_cancelled" if status == 499 else "generation_failed"
    details: dict[str, Any] = {"falStatus": status}
    if kind:
        details["falErrorType"] = kind
    if problems:
        details["problems"] = problems
    return ProviderRefused(f"fal.ai: {words_of(body) or NO_REASON}", code=code, details=details)


def words_of(body: Any) -> str:
    """Return what an answer says to people, in whichever of its shapes; empty where it says nothing.

    Seen: `detail` as text, as a list of objects with `msg`, as a list of texts, as an object; `error` as a text or an object beside it;
    any of these null. The markup of some proxy on the way is not passed on.
    """
    return storable_text("; ".join(dict.fromkeys(_sayings(body, 0))))


def _sayings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        text = storable_text(value)
        if text and not text.startswith("<"):
            yield text
    elif depth > MAX_DEPTH:
        return
    elif isinstance(value, list):
        for entry in value[:MAX_PROBLEMS]:
            yield from _sayings(entry, depth + 1)
    elif isinstance(value, dict):
        found = next((said for place in _PLACES if (said := list(_sayings(value.get(place), depth + 1)))), None)
        # A bare type is better than nothing, for whoever has to find out.
        yield from found or _sayings(value.get("error_type") or value.get("type") or value.get("code"), depth + 1)


def _kind_of(body: Any) -> str:
    """Return the type that fal gives a failure: of the whole answer, else of its first problem that has one."""
    if not isinstance(body, dict):
        return ""
    detail, error = body.get("detail"), body.get("error")
    entries = [body.get("error_type"), *(entry.get("type") for entry in _objects(detail))]
    entries += [entry.get(name) for entry in (detail, error) if isinstance(entry, dict) for name in ("error_type", "type", "code")]
    return next((kind for entry in entries if (kind := storable_text(entry, 100))), "")


def _objects(detail: Any) -> list[dict[str, Any]]:
    return [entry for entry in detail[:MAX_PROBLEMS] if isinstance(entry, dict)] if isinstance(detail, list) else []


def _problems(body: Any) -> list[dict[str, Any]]:
    """Return the entries of fal's `detail` list, cut down to where, what and which type."""
    detail = body.get("detail") if isinstance(body, dict) else None
    found = [
        {"loc": _place(entry.get("loc")), "msg": storable_text(entry.get("msg")), "type": storable_text(entry.get("type"), 100)}
        for entry in _objects(detail)
    ]
    return [problem for problem in found if any(problem.values())]


def _place(loc: Any) -> list[int | str]:
    """Return the steps of a problem's place; integers beyond a million are no index of anything."""
    steps = loc[:10] if isinstance(loc, list) else []
    return [
        step if isinstance(step, int) and not isinstance(step, bool) and abs(step) < 1_000_000 else storable_text(str(step), 100)
        for step in steps
        if isinstance(step, int | str)
    ]
