"""What stands before a gateway on a server of one's own: a proxy that ends TLS, and says so in X-Forwarded-Proto."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

CHUNK_BYTES = 1 << 16
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
KEPT_OPEN = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


@contextmanager
def tls_front(target: tuple[str, int], folder: Path, *names: str) -> Iterator[tuple[int, Path]]:
    """Serve a plain HTTP server over TLS on 127.0.0.1 under these names; yield the port and the file of the authority to trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, context, target), daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1], folder / "ca.pem"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(30)


def _accept(listener: socket.socket, context: ssl.SSLContext, target: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_serve, args=(plain, context, target), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, target: tuple[str, int]) -> None:
    """Pass on one request. Each has a connection of its own, and is read whole before its answer: so that nothing is said in between."""
    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as client, socket.create_connection(target) as server:
        head, _, body = _received(client, lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
        length = int(found[1]) if (found := LENGTH.search(head)) else 0
        body += _received(client, lambda data: len(body) + len(data) >= length)
        server.sendall(KEPT_OPEN.sub(b"", head) + b"\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\r\n" + body)
        while chunk := server.recv(CHUNK_BYTES):
            client.sendall(chunk)


def _received(client: ssl.SSLSocket, is_whole: Callable[[bytes], bool]) -> bytes:
    data = b""
    while not is_whole(data):
        if not (chunk := client.recv(CHUNK_BYTES)):
            raise ConnectionError("the client has gone")
        data += chunk
    return data
