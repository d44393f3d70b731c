"""What tests of the OpenAI façade share: a key as a client is configured with, the address as an SDK knows it, looks at pictures."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from PIL import Image

from app.domain.api_key import KeyTerms
from tests.acceptance.people import accounts_of
from tests.acceptance.service import Answer, Service

Shown = tuple[str | None, tuple[int, int]]


def a_key(service: Service, terms: KeyTerms = KeyTerms()) -> str:  # noqa: B008 - a frozen value
    """Make a key; without users of its own it orders for itself, or for whom a request names."""
    return accounts_of(service).make_key("a client of OpenAI's", terms)[1]


def base_url(service: Service) -> str:
    return f"{service.stack.base_url}/v1"


def shown(b64_json: str | None) -> Shown:
    """Return format and size of a picture in base64, all of it decoded."""
    assert b64_json
    return seen(base64.b64decode(b64_json, validate=True))


def seen(content: bytes) -> Shown:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.format, image.size


def job_of(service: Service, body: Answer) -> Answer:
    """Return the job that an answer is of, as the database has it."""
    return service.document(body["gateway"]["jobId"])


def events_of(text: str) -> list[tuple[str, Any]]:
    """Return the events of a stream, comments left out. A stream cut inside an event fails here."""
    assert text.endswith("\n\n")
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            assert set(fields) == {"event", "data"}
            found.append((fields["event"], json.loads(fields["data"])))
    return found
