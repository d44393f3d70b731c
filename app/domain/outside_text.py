"""Text from outside (fal's words, headers, exceptions), made fit for every store, log and terminal. The one place where that is done."""

from __future__ import annotations

import re

MAX_CHARS = 500

#: C0 and C1 controls, Unicode's own line ends, and the characters that turn the direction of what follows.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def storable_text(value: object, longest: int = MAX_CHARS) -> str:
    """Return what somebody else said as one line of at most `longest` characters that UTF-8, BSON and JSON can hold.

    Halves of surrogate pairs become U+FFFD, runs of control characters a space. What is no text gives an empty one: `None` is no word.
    """
    if not isinstance(value, str):
        return ""
    # Twice the length is enough to cut from, and bounds the work for megabytes.
    whole = value[: 2 * longest].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _UNSEEN.sub(" ", whole).strip()[:longest]


def said_of(error: BaseException) -> str:
    """Return an exception as one line: its class and what it says, whatever it holds."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - its own text may be what is broken
        words = ""
    return f"{type(error).__name__}: {storable_text(words) or 'no words'}"
