"""A stand-in for fal that answers anything at all, and hypothesis' ways to think it up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.factories import picture
from tests.support.https_server import Call, Server, https_server

STATUSES = [200, 201, 202, 204, 206, 300, 301, 302, 307, 400, 401, 402, 403, 404, 408, 409, 410, 413, 418, 422, 425, 429, 451, 499]
STATUSES += [500, 501, 502, 503, 504, 520, 599]
STAGES = ("submit", "status", "result", "cancel", "file")
PNG = picture()


@dataclass(frozen=True)
class Answer:
    """`cut` announces more than is sent, and hangs up."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False

    def give(self, call: Call) -> None:
        call.send_response(self.status)
        for name, value in self.headers:
            call.send_header(name, value)
        call.send_header("Content-Length", str(len(self.body) + (100 if self.cut else 0)))
        call.end_headers()
        call.wfile.write(self.body)
        if self.cut:
            call.close_connection = True


@dataclass
class Script:
    """What fal answers at each stage, one after the other; then the right thing, or its last word for ever."""

    odd: dict[str, Sequence[Answer]]
    stubborn: bool = False
    given: dict[str, list[Answer]] = field(default_factory=lambda: {stage: [] for stage in STAGES})

    def next(self, stage: str, right: Answer) -> Answer:
        odd, given = self.odd.get(stage, ()), self.given[stage]
        number = len(given)
        answer = odd[number] if number < len(odd) else odd[-1] if odd and self.stubborn else right
        given.append(answer)
        return answer


class OddFal:
    """A server whose answers are those of the script in force."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.host = server.host
        self.script = Script({})
        self.requests = 0
        server.answers = _Any(self._answer)

    def _answer(self, call: Call) -> None:
        stage = _stage_of(call.command, call.path)
        self.script.next(stage, self._right(stage)).give(call)

    def _right(self, stage: str) -> Answer:
        if stage == "file":
            return Answer(200, PNG)
        if stage == "submit":
            self.requests += 1
        request_id = f"req-{id(self)}-{self.requests}"
        base = f"https://{self.host}/fal-ai/flux/requests/{request_id}"
        urls = {"status_url": f"{base}/status", "response_url": base, "cancel_url": f"{base}/cancel"}
        bodies = {
            "submit": {"request_id": request_id, **urls},
            "status": {"status": "COMPLETED"},
            "cancel": {"status": "ALREADY_COMPLETED"},
            "result": {"images": [{"url": f"https://{self.host}/file/0"}]},
        }
        return Answer(400 if stage == "cancel" else 200, json.dumps(bodies[stage]).encode())


class _Any(dict[str, Any]):
    """Every path leads to one answer."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def __missing__(self, path: str) -> Any:
        return self._answer


def _stage_of(command: str, path: str) -> str:
    if path.startswith("/file/"):
        return "file"
    if command == "POST":
        return "submit"
    if command == "PUT":
        return "cancel"
    return "status" if path.endswith("/status") else "result"


@contextmanager
def odd_fal(tls_dir: Path) -> Iterator[OddFal]:
    with https_server(tls_dir) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        yield OddFal(server)


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
WORD = st.sampled_from(["COMPLETED", "IN_QUEUE", "IN_PROGRESS", "GONE", "NOT_FOUND", "Access to this application is restricted", "req-1"])
NUMBER = st.integers(-(2**70), 2**70) | st.floats()
URL = st.sampled_from(
    ["https://[", "https://x y/", "http://127.0.0.1/a", "data:image/png;base64,\u2603", "data:,", "/a", "https://\ud800.x/"]
)
LEAF = st.none() | st.booleans() | NUMBER | TEXT | WORD | URL
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)
PROBLEM = st.fixed_dictionaries({}, optional={"loc": VALUE, "msg": VALUE, "type": VALUE, "message": VALUE, "code": VALUE})
IMAGE = st.fixed_dictionaries({}, optional={"url": URL | TEXT | VALUE, "width": VALUE})
NAMES = {
    "detail": VALUE | PROBLEM | st.lists(PROBLEM, max_size=3),
    "error": VALUE | PROBLEM,
    "error_type": VALUE,
    "status": WORD | VALUE,
    "queue_position": NUMBER | VALUE,
    "request_id": WORD | VALUE,
    "status_url": URL | VALUE,
    "response_url": URL | VALUE,
    "cancel_url": URL | VALUE,
    "images": st.lists(IMAGE | VALUE, max_size=3) | VALUE,
    "image": IMAGE | VALUE,
    "seed": NUMBER | VALUE,
    "has_nsfw_concepts": VALUE,
    "success": VALUE,
}
JSON = (VALUE | st.fixed_dictionaries({}, optional=NAMES)).map(lambda value: json.dumps(value).encode())
RAW = st.binary(max_size=200) | st.sampled_from(
    [b"", b"[" * 100_000, b"9" * 5000, b"<html>", PNG, PNG[:60], b"\x1f\x8b", b"\xff\xfe{", b"x" * 300_000]
)
BODIES = st.tuples(JSON | RAW, st.none() | st.integers(0, 50)).map(lambda made: made[0] if made[1] is None else made[0][: made[1]])
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["x-fal-error-type", "x-fal-billable-units", "Content-Encoding", "Content-Type", "Location", "Retry-After", "Set-Cookie"]
    ),
    st.sampled_from(["gzip", "deflate", "br", "application/json; charset=klingon", "https://[", "/elsewhere", "1e999"]) | PRINTABLE,
    max_size=3,
).map(lambda headers: tuple(headers.items()))
ANSWERS = st.builds(Answer, st.sampled_from(STATUSES) | st.just(200), BODIES, HEADERS, st.booleans())
SCRIPTS = st.builds(
    Script, st.fixed_dictionaries({}, optional={stage: st.lists(ANSWERS, min_size=1, max_size=2) for stage in STAGES}), st.booleans()
)
