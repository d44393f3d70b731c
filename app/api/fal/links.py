"""Addresses of this service as its caller knows it. fal's Python client follows them to the letter."""

from __future__ import annotations

from flask import request

from app.api.http import services


def base_url() -> str:
    """Return where the service is reached: `PUBLIC_URL`, else what this request called.

    fal-client calls https only, so a proxy that ends TLS is the usual case. Its X-Forwarded-Proto is taken from anybody: whoever makes
    one up misleads only himself.
    """
    public = services().settings.public_url
    scheme = "https" if request.headers.get("X-Forwarded-Proto", "").lower() == "https" else request.scheme
    return (public or f"{scheme}://{request.host}").rstrip("/") + "/fal"


def request_links(app: str, job_id: str) -> dict[str, str]:
    """Return where a request's result and state are, and where it is cancelled: under owner and app, as fal has it."""
    owner_and_app = "/".join(app.split("/")[:2])
    base = f"{base_url()}/queue/{owner_and_app}/requests/{job_id}"
    return {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}
