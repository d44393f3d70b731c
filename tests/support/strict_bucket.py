"""An S3-compatible server over TLS that refuses what R2 and older stores refuse, and keeps what it was asked."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Start = Callable[..., Any]


@dataclass
class StrictBucket:
    """`refused` names requests, such as `GET versions`, that this user may not make; each is answered with the status beside it."""

    url: str = ""
    seen: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        what = f"{environ['REQUEST_METHOD']} {environ['QUERY_STRING'].partition('&')[0]}".strip()
        self.seen.append(what)
        if status := self.refused.get(what):
            return answer(start, status, "AccessDenied" if status == 403 else "NotImplemented")
        if problem := problem_of(environ):
            body_of(environ)  # Unread, it would cut the answer off.
            return answer(start, 501, problem)
        response: Iterable[bytes] = self.store(environ, start)
        return response

    def __post_init__(self) -> None:
        self.store = DomainDispatcherApplication(create_backend_app)


def problem_of(environ: dict[str, Any]) -> str | None:
    """Return what R2 would say to this request's way of sending a body; None where it takes it."""
    if "aws-chunked" in environ.get("HTTP_CONTENT_ENCODING", "") or environ.get("HTTP_X_AMZ_TRAILER"):
        return "NotImplemented"
    if "TRAILER" in environ.get("HTTP_X_AMZ_CONTENT_SHA256", "") or environ.get("HTTP_TRANSFER_ENCODING"):
        return "NotImplemented"
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ["REQUEST_METHOD"] != "PUT" or environ["QUERY_STRING"] or environ["PATH_INFO"].count("/") < 2 or not length:
        return None  # No object's body.
    if "HTTP_CONTENT_MD5" not in environ:
        return "MissingContentMD5"
    body = body_of(environ)
    environ["wsgi.input"] = io.BytesIO(body)
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return None if digest == environ["HTTP_CONTENT_MD5"] else "BadDigest"


def body_of(environ: dict[str, Any]) -> bytes:
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    body: bytes = stream.read() if environ.get("HTTP_TRANSFER_ENCODING") else stream.read(int(length or 0))
    return body


def answer(start: Start, status: int, code: str) -> list[bytes]:
    start(f"{status} Refused", [("Content-Type", "application/xml")])
    return [f"<Error><Code>{code}</Code><Message>refused</Message></Error>".encode()]


class Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def strict_bucket(tls_dir: Path) -> Iterator[StrictBucket]:
    """Serve it at https://localhost, with the emulator's certificate."""
    bucket = StrictBucket()
    pem = str(tls_dir / "server.pem")
    server = make_server("127.0.0.1", 0, bucket, threaded=True, request_handler=Silent, ssl_context=(pem, pem))
    bucket.url = f"https://localhost:{server.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
