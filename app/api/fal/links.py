"""Addresses of this service as its caller knows it. fal's Python client follows them to the letter."""

from __future__ import annotations

import re

from flask import request

from app.api.http import services

FILE = re.compile(r"/fal/files/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.[a-z0-9]{1,8}")


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


def file_url(upload_id: str, extension: str) -> str:
    """Return the address of an upload, or of what will come by a ticket of this id; only its owner may use it."""
    return f"{base_url()}/files/{upload_id}.{extension}"


def upload_named(url: str) -> str | None:
    """Return the id of the upload that a link of ours names; None for every other text."""
    public = (services().settings.public_url or "").rstrip("/")
    own = [base for base in (public, f"http://{request.host}", f"https://{request.host}") if base]
    rest = next((url.removeprefix(base) for base in own if url.startswith(f"{base}/")), "")
    found = FILE.fullmatch(rest)
    return (services().tickets.upload_of(found[1]) or found[1]) if found else None
