"""A small HTTPS server in this process for answers the fal emulator has no reason to give. It has the emulator's certificate."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Call(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.start(status, **{"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}})
        self.wfile.write(body)

    def start(self, status: int, **headers: str) -> None:
        """Send the head only: the body may then be late, short or endless."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        try:
            self.server.answers[self.path.partition("?")[0]](self)
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.answers: dict[str, Callable[[Call], None]] = {}
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def host(self) -> str:
        return f"localhost:{self.server_address[1]}"

    def on(self, path: str, status: int = 200, body: bytes = b"", **headers: str) -> str:
        """Answer a path from now on; returns its URL."""
        return self.call(path, lambda call: call.answer(status, body, **headers))

    def call(self, path: str, answer: Callable[[Call], None]) -> str:
        self.answers[path] = answer
        return f"https://{self.host}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: some tests make them."""


@contextmanager
def https_server(tls_dir: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_dir / "server.pem")
    with Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
