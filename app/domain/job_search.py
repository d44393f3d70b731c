"""What people type into the one box that finds jobs: `user:ada status:failed code:content_policy_violation red bicycle`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from app.domain.errors import FieldError, InvalidRequest
from app.domain.job import JobStatus

#: A name with a value, plain or quoted; words in quotes; or a word.
_TERM = re.compile(r'(?P<name>[a-z]+):(?:"(?P<quoted>[^"]*)"|(?P<value>\S*))|"(?P<phrase>[^"]+)"|(?P<word>\S+)', re.IGNORECASE)
NAMES = ("user", "model", "status", "code", "key", "batch", "fal", "id")
MAX_CHARS = 500
MAX_TERMS = 20


@dataclass(frozen=True)
class JobSearch:
    """`named` has the value of each name that was used; `statuses` may be several, any of which will do; each word must be there."""

    named: dict[str, str] = field(default_factory=dict)
    statuses: tuple[JobStatus, ...] = ()
    words: tuple[str, ...] = ()


def parsed(text: str) -> JobSearch:
    """Return what a search asks for. What looks like a name and is none (`16:9`) is a word. Raises InvalidRequest, saying why."""
    named: dict[str, str] = {}
    statuses: list[JobStatus] = []
    words: list[str] = []
    terms = list(_TERM.finditer(text))
    if len(terms) > MAX_TERMS:
        raise refused(f"At most {MAX_TERMS} terms.")
    for term in terms:
        name, value = (term["name"] or "").lower(), term["quoted"] or term["value"] or ""
        if name not in NAMES:
            words.append(term["phrase"] or term[0])
        elif name == "status":
            statuses.append(_status(value))
        elif not value or name in named:
            raise refused(f"`{name}:` needs a value." if not value else f"`{name}:` is given more than once.")
        else:
            named[name] = value
    return JobSearch(named, tuple(dict.fromkeys(statuses)), tuple(dict.fromkeys(words)))


def refused(detail: str) -> InvalidRequest:
    return InvalidRequest(f"q: {detail}", [FieldError("/q", detail)])


def _status(value: str) -> JobStatus:
    try:
        return JobStatus(value.lower())
    except ValueError:
        raise refused(f"`status:` is one of {', '.join(JobStatus)}.") from None
