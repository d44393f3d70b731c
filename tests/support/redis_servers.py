"""Redis servers of a test's own, as an operator may have set them up: with users, TLS, a replica, Sentinels, or as a cluster."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from scripts.stack.backing import missing
from scripts.stack.ports import free_port

START_S = 30.0
SERVICE = "mymaster"
DOWN_AFTER_MS = 1000


def program() -> str:
    """Return the server that the development stack would start."""
    with tempfile.TemporaryDirectory() as folder:
        (backing,) = missing({"MONGODB_URI": "given", "FAL_KEY": "given"}, Path(folder), database="", emulator_seconds=0)
        return backing.command(0)[0]


@dataclass
class RedisServer:
    """One process. `address` is what stands between `redis://` and the database's number."""

    process: subprocess.Popen[bytes]
    port: int
    credentials: str = ""

    @property
    def address(self) -> str:
        return f"{self.credentials}127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def redis_server(*settings: str, credentials: str = "", sentinel: bool = False) -> Iterator[RedisServer]:
    """Run a server with these lines of configuration until the block ends."""
    folder, port = Path(tempfile.mkdtemp(prefix="imagegw-redis-")), free_port()
    lines = (f"port {port}", "bind 127.0.0.1", f"dir {folder}", *(() if sentinel else ('save ""',)), *settings)
    (conf := folder / "redis.conf").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        command = [program(), str(conf), *(["--sentinel"] if sentinel else [])]
        server = RedisServer(subprocess.Popen(command, stdout=log, stderr=log), port, credentials)
    try:
        until_it_listens(server, folder / "log")
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)


def until_it_listens(server: RedisServer, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while "ready to accept connections" not in (text := log.read_text().lower()) and "sentinel id is" not in text:
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server does not start: {text}")
        time.sleep(0.02)


@dataclass
class Sentinels:
    """A leader and its replica, watched by two Sentinels that have a password of their own."""

    servers: list[RedisServer] = field(default_factory=list)
    sentinels: list[RedisServer] = field(default_factory=list)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://gateway:word@{hosts}/{SERVICE}/0?sentinel_password=guarded"

    def leader_port(self) -> int:
        with Redis(port=self.sentinels[0].port, password="guarded") as redis:
            return int(redis.sentinel_masters()[SERVICE]["port"])


#: The rights that the documentation names.
USER = "user gateway on >word ~* &* +@all -@dangerous +info"


@contextlib.contextmanager
def running_sentinels() -> Iterator[Sentinels]:
    found = Sentinels()
    secured = ("requirepass secret", "masterauth secret", USER, "repl-diskless-sync-delay 0")
    with contextlib.ExitStack() as opened:
        leader = opened.enter_context(redis_server(*secured, credentials="gateway:word@"))
        replica = opened.enter_context(redis_server(*secured, f"replicaof 127.0.0.1 {leader.port}", credentials="gateway:word@"))
        found.servers = [leader, replica]
        watch = (
            "requirepass guarded",
            "sentinel sentinel-pass guarded",
            f"sentinel monitor {SERVICE} 127.0.0.1 {leader.port} 2",
            f"sentinel auth-pass {SERVICE} secret",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 5000",
        )
        found.sentinels = [opened.enter_context(redis_server(*watch, sentinel=True)) for _ in range(2)]
        until_they_agree(found)
        yield found


def until_they_agree(found: Sentinels) -> None:
    """Wait until each Sentinel knows the replica and the other Sentinel: before that they would not choose another leader."""
    deadline = time.monotonic() + START_S
    for sentinel in found.sentinels:
        with Redis(port=sentinel.port, password="guarded") as redis:
            while (state := state_of(redis)) != (1, 1, "ok"):
                assert time.monotonic() < deadline, state
                time.sleep(0.05)


def state_of(redis: Redis) -> tuple[int, int, str]:
    try:
        masters: Any = redis.sentinel_masters()
        replicas: list[Any] = list(redis.sentinel_slaves(SERVICE))
    except RedisError:
        return 0, 0, "away"
    master, link = masters[SERVICE], replicas[0]["master-link-status"] if replicas else "none"
    return int(master["num-slaves"]), int(master["num-other-sentinels"]), str(link)


class Front(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextlib.contextmanager
def tls_front(target: int, tls_dir: Path) -> Iterator[int]:
    """Take TLS for a server on this machine, with the emulator's certificate; yields the port. Not every build of Redis has it itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_dir / "server.pem")

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", target)) as server,
            ):
                threading.Thread(target=forward, args=(server, client), daemon=True).start()
                forward(client, server)

    with Front(("127.0.0.1", 0), Connection) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield front.server_address[1]
        finally:
            front.shutdown()
            thread.join()


def forward(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
