"""Failures on demand: which kinds exist, the book of those ordered, and orders written into a prompt."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from scripts.fal_emulator.state import camel_case

BEFORE_READ = "drop_before_read"

OUTCOMES = frozenset({
    "content_policy", "error_500", "nsfw", "never", "fewer", "none", "not_an_image", "html_result", "missing_file",
    "huge_file", "bomb", "truncated_file", "private_url", "redirect_private", "slow_file",
})  # fmt: skip
ASKING = frozenset({"error_500", "error_503", "hang", "drop", "html", "too_early", "not_found", "answer"})

KINDS: dict[str, frozenset[str]] = {
    "submit": frozenset({
        "drop_after_read", BEFORE_READ, "refuse_429", "error_500", "error_503", "error_503_nginx", "error_504",
        "locked_403", "restricted_403", "bad_key_401", "bad_input_422", "hang", "slow", "html", "huge", "foreign_urls",
        "answer",
    }),
    "run": OUTCOMES,
    "status": ASKING,
    "result": ASKING,
    # `late` holds each of its events back for so many seconds, `silent` tells none.
    "stream": frozenset({"late", "silent", "error_503", "hang", "drop", "html", "not_found"}),
    # `stop`: a running request ends at once. Without an order it is only told, and completes all the same.
    "cancel": frozenset({"stop", "error_503", "hang", "drop", "html", "not_found", "bad_key_401"}),
    "file": frozenset({"error_503", "hang", "drop"}),
    "webhook": frozenset({"repeat", "delayed", "wrong_signature", "old_timestamp", "withheld"}),
}  # fmt: skip

_DIRECTIVE = re.compile(r"\[emulator:\s*([^\]]*)\]", re.IGNORECASE)


class UnknownFaultError(ValueError):
    """The order names a stage or a kind that does not exist, or what it says cannot be used."""


@dataclass(slots=True)
class Fault:
    """One order: fail `kind` at stage `on`, `times` times (None: until deleted)."""

    on: str
    kind: str
    times: int | None = None
    endpoint: str | None = None
    prompt_contains: str | None = None
    value: Any = None
    seconds: float | None = None

    @classmethod
    def from_json(cls, order: dict[str, Any]) -> Self:
        """Check an order of the control API. Raises UnknownFaultError, whose text lists what exists."""
        on, kind, value = str(order.get("on")), str(order.get("kind")), order.get("value")
        if on == "submit" and kind == "outcome":
            on, kind, value = "run", str(value), None
        if kind not in KINDS.get(on, ()):
            kinds = {stage: sorted(names) for stage, names in KINDS.items()}
            raise UnknownFaultError(f"no fault {kind!r} on {on!r}; there are {kinds}")
        if not isinstance(order.get("times"), int | None):
            raise UnknownFaultError("times is a whole number, or null for: until deleted")
        if not all(isinstance(order.get(name), str | None) for name in ("endpoint", "promptContains")):
            raise UnknownFaultError("endpoint and promptContains are texts")
        if kind == BEFORE_READ and order.get("promptContains"):
            raise UnknownFaultError(f"{BEFORE_READ} never sees the prompt: use endpoint")
        given: dict[str, Any] = {name: order.get(camel_case(name)) for name in ("times", "endpoint", "prompt_contains", "seconds")}
        return cls(on=on, kind=kind, value=value, **given)

    def to_json(self) -> dict[str, Any]:
        return {camel_case(name): value for name, value in asdict(self).items()}

    def fits(self, on: str, endpoint: str, prompt: str) -> bool:
        return (
            self.on == on
            and self.times != 0
            and (self.endpoint is None or self.endpoint in endpoint)
            and (self.prompt_contains is None or self.prompt_contains in prompt)
        )


class FaultBook:
    """The orders in force; the oldest that fits is used first."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def take(self, on: str, endpoint: str, prompt: str, *, before_read: bool = False) -> Fault | None:
        """Return the failure due now, one of its times used up, or None; `before_read`: the prompt is not known yet."""
        for fault in self.orders:
            if (fault.kind == BEFORE_READ) == before_read and fault.fits(on, endpoint, prompt):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def directives_in(prompt: str) -> dict[str, str]:
    """Read `[emulator: seconds=10, fail=content_policy]`.

    Known words: seconds, queue (seconds), fail (an outcome of the run), submit, status, result, cancel, file and webhook
    (a kind each, every time). Others are ignored: a typing error does not refuse a prompt.
    """
    found = _DIRECTIVE.search(prompt)
    if found is None:
        return {}
    pairs = (part.partition("=") for part in found[1].split(","))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def without_directives(prompt: str) -> str:
    return _DIRECTIVE.sub("", prompt).strip()
