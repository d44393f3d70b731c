"""A completed job as OpenAI's body: `{"created", "data": [{"url", "b64_json"}], "output_format", "size", "gateway"}`.

The body is made while it is written, so pictures of any size cost the process a piece of one. It has no `usage`: clients would price its
tokens by OpenAI's list.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Response

from app.api.http import services
from app.api.http.limits import at_the_end, hold_encoding
from app.api.http.ordering import replay_headers
from app.api.openai.asked import Asked
from app.api.openai.pictures import Pictures, encoded, stored_kind
from app.clients.storage import Storage
from app.domain.errors import GatewayError
from app.domain.job import Job
from app.domain.pricing import usd

log = logging.getLogger("http")

BASE64, URL = "b64_json", "url"


def nothing() -> None:
    """Do nothing."""


@dataclass
class Progress:
    """How far an answer has come."""

    is_whole: bool = False


def answer(job: Job, asked: Asked, *, replayed: bool = False, written: Callable[[], None] = nothing) -> Response:
    """Answer a completed job. `written` is called once the whole body was written, and never where it broke off.

    Raises NotFound or StorageUnavailable where the first picture cannot be had, Busy where too many answers in base64 are on their way. An
    error with a later one breaks the connection off, so that no client takes what it has for all.
    """
    if BASE64 in asked.response:
        hold_encoding()
    pieces, progress = _pieces(job, asked, services().storage, services().offload), Progress()
    first = next(pieces)  # What is wrong from the start gets a status of its own.
    at_the_end(lambda: tell(written, progress))
    headers = {"X-Job-Id": job.id, **replay_headers(replayed=replayed)}
    return Response(_watched(first, pieces, progress), content_type="application/json", headers=headers)


def tell(written: Callable[[], None], progress: Progress) -> None:
    """Call `written` where an answer is whole. A store that is away then is no trouble of the client's, which has all it asked for."""
    if not progress.is_whole:
        return
    try:
        written()
    except GatewayError:
        log.warning("an answer was written, which could not be noted", exc_info=True)


def shown_of(job: Job) -> dict[str, Any]:
    """Return what an answer says of its job that no client of OpenAI's knows."""
    cost = {"cost": usd(job.charged_micros), "costCurrency": "USD"}
    return {"gateway": {"jobId": job.id, **cost, "statusUrl": f"/api/jobs/{job.id}"}}


def created(job: Job) -> int:
    """Return when the pictures were there, the same at every repeat."""
    return int((job.completed_at or job.updated_at).timestamp())


def _pieces(job: Job, asked: Asked, storage: Storage, offload: Callable[..., Any]) -> Iterator[bytes]:
    pictures = Pictures(storage, offload, asked)
    first, kind = job.images[0], stored_kind(job.images[0])
    opening = f'{{"created": {created(job)}, "data": ['
    for image in job.images:
        opening += f'{{"url": {json.dumps(storage.url(image.key))}' if URL in asked.response else "{"
        if BASE64 in asked.response:
            with pictures.opened(image) as (sent_kind, file):
                kind = sent_kind if image is first else kind
                yield f'{opening}{", " if URL in asked.response else ""}"{BASE64}": "'.encode()
                yield from encoded(file)
            opening = '"}, '
        else:
            opening += "}, "
    told = {"output_format": kind, "size": f"{first.width}x{first.height}", **shown_of(job)}
    yield f"{opening.removesuffix(', ')}], {json.dumps(told)[1:]}".encode()


def _watched(first: bytes, rest: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    with contextlib.closing(rest):  # type: ignore[type-var]
        yield first
        try:
            yield from rest
        except Exception:
            log.exception("an answer broke off amid its pictures")
            raise
    progress.is_whole = True
