"""fal's answers as domain errors: one table, sourced in docs (fal.ai "Model Errors", "Request Error Types", read 2026-09)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.errors import (
    ProviderBadKey,
    ProviderBusy,
    ProviderError,
    ProviderLocked,
    ProviderRefused,
    ResultUnavailable,
    ResultUnusable,
)

MAX_TEXT_CHARS = 500

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


def submit_refusal(status: int, body: Any, error_type: str | None) -> ProviderError:
    """Return what an answered, unsuccessful submit means. Every answer is definite: fal did not take the request."""
    text = _text_of(body)
    if status == 403 and "locked" in text.lower():
        return ProviderLocked("fal has locked the operator's account (empty balance); the job waits until it is topped up")
    if status in (401, 403):
        return ProviderBadKey("fal does not accept the operator's key; the job waits until it is corrected")
    if status in (408, 409, 429) or status >= 500:
        return ProviderBusy(f"fal is not taking requests right now (HTTP {status})", details={"falStatus": status})
    return model_failure(status, body, error_type)


def result_failure(status: int, body: Any, headers: Mapping[str, str]) -> ProviderError:
    """Return what an unsuccessful answer of a finished request's result means."""
    error_type = headers.get("x-fal-error-type")
    if status in (401, 403, 408, 409, 429) or (status == 400 and "still in progress" in _text_of(body).lower()):
        return ResultUnavailable(f"fal does not hand out the result yet (HTTP {status})")
    if status == 404:
        return ResultUnusable("fal no longer has the result", code="result_gone")
    if status >= 500:
        if isinstance(body, dict) and "detail" in body:
            failure = model_failure(status, body, error_type)
            return ResultUnusable(failure.message, code=failure.code, details=failure.details)
        return ResultUnavailable(f"fal does not hand out the result yet (HTTP {status})")
    return model_failure(status, body, error_type)


def model_failure(status: int, body: Any, error_type: str | None) -> ProviderRefused:
    """Return the refusal or failure of the model itself, with what fal said about it and nothing else of its answer."""
    problems = _problems(body)
    named = body.get("error_type") if isinstance(body, dict) else None
    kind = error_type or (named if isinstance(named, str) else None)
    kind = kind or next((problem["type"] for problem in problems if problem.get("type")), None)
    message = next((problem["msg"] for problem in problems if problem.get("msg")), None) or _text_of(body)
    code = kind if kind in NARROW_CODES else "client_cancelled" if status == 499 else "generation_failed"
    details: dict[str, Any] = {"falStatus": status}
    if kind:
        details["falErrorType"] = kind[:MAX_TEXT_CHARS]
    if problems:
        details["problems"] = problems
    return ProviderRefused(f"fal.ai: {message or f'HTTP {status}'}", code=code, details=details)


def _problems(body: Any) -> list[dict[str, Any]]:
    """Return the entries of fal's `detail` list, cut down to where, what and which type."""
    detail = body.get("detail") if isinstance(body, dict) else None
    if not isinstance(detail, list):
        return []
    return [
        {
            "loc": [part if isinstance(part, int) else str(part)[:100] for part in entry.get("loc", [])][:10]
            if isinstance(entry.get("loc"), list)
            else [],
            "msg": str(entry.get("msg", ""))[:MAX_TEXT_CHARS],
            "type": str(entry.get("type", ""))[:100],
        }
        for entry in detail[:10]
        if isinstance(entry, dict)
    ]


def _text_of(body: Any) -> str:
    """Return fal's plain text for people, shortened; markup of some proxy on the way is not passed on."""
    text = body.get("detail") if isinstance(body, dict) else body
    if not isinstance(text, str) or text.lstrip().startswith("<"):
        return ""
    return text.strip()[:MAX_TEXT_CHARS]
