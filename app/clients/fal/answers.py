"""fal's answers as data: read within bounds, parsed whatever they hold, and what a result says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from app.domain.outside_text import storable_text

#: Longer numbers are nobody's seed, and turning them into an int takes time that grows with their square.
MAX_NUMBER_CHARS = 64
MAX_WORDS_BYTES = 4096


@dataclass(frozen=True)
class FalPicture:
    url: str
    flagged: bool


@dataclass(frozen=True)
class FalOutput:
    """A finished request's output. `billable_units` is fal's header as it came; `seed` is text since it may exceed 64 bits."""

    pictures: tuple[FalPicture, ...]
    billable_units: str | None
    seed: str | None


class TooLong(Exception):
    """An answer is longer than it may be."""


def read_bounded(response: httpx.Response, most_bytes: int) -> bytes:
    """Read a streamed answer's body. Raises TooLong; httpx.HTTPError where it breaks off."""
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > most_bytes:
            raise TooLong
    return bytes(content)


def parsed(content: bytes) -> Any:
    """Return the JSON an answer holds, or the beginning of its text where it is none. Bytes that are no UTF-8 do not spoil the rest."""
    try:
        text = content.decode(json.detect_encoding(content), errors="replace")
        return json.loads(text, parse_int=_number)
    except (ValueError, RecursionError):
        return content[:MAX_WORDS_BYTES].decode(errors="replace")


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_NUMBER_CHARS else digits[:MAX_NUMBER_CHARS]


def output_of(body: dict[str, Any], units: str | None) -> FalOutput:
    """Return a result's pictures and what it says of them; a result of another shape has no pictures."""
    flags = body.get("has_nsfw_concepts")
    flags = flags if isinstance(flags, list) else []
    pictures = tuple(
        FalPicture(url, flagged=number < len(flags) and flags[number] is True)
        for number, entry in enumerate(_entries(body))
        if (url := _url_of(entry))
    )
    seed = body.get("seed")
    is_number = isinstance(seed, int) and not isinstance(seed, bool)
    return FalOutput(pictures, storable_text(units, 64) or None, str(seed) if is_number else None)


def _entries(body: dict[str, Any]) -> Iterator[Any]:
    """Yield what may be pictures: some models fill `image` and leave `images` empty, or the other way round."""
    several = body.get("images")
    if isinstance(several, list) and several:
        yield from several
    elif isinstance(several, dict | str) and several:
        yield several
    else:
        yield body.get("image")


def _url_of(entry: Any) -> str | None:
    url = entry.get("url") if isinstance(entry, dict) else entry
    return url if isinstance(url, str) and url.startswith(("https://", "http://", "data:")) else None
