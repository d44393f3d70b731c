"""The whole service on one machine: what the environment does not name, then every process of the Procfile."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, ClassVar, Self

from scripts.stack.backing import PORT_TAKEN, Backing, missing
from scripts.stack.files import kept_secret, lock_folder, read_procfile
from scripts.stack.ports import answers_ok, free_port
from scripts.stack.processes import Child, Spawner, StackError
from scripts.stack.terminal import LogPrinter

ROOT = Path(__file__).resolve().parent.parent.parent
READY_TIMEOUT_S = 60.0
SERVICE_GRACE_S = 15.0
BACKING_GRACE_S = 5.0


class Stack:
    """A running service, as a context manager: all it started has ended when the block is left or its process killed.

    `env` (default: the process's own) with `overrides` decides what is started: MongoDB without `MONGODB_URI`, Redis without
    `REDIS_URL`, the fal emulator without `FAL_KEY`; give `backing` to start fewer of them. Then the `processes` of the Procfile,
    the web process `webs` times, the first on `port` (0: a free one). State lives in `data_dir`; without one, in a temporary
    folder that is removed at the end. Raises StackError with the last log lines of the process that failed to start.
    """

    #: Each is called with a stack whose processes have ended, while its folder is still there.
    readers: ClassVar[list[Callable[["Stack"], None]]] = []

    def __init__(
        self,
        data_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, str] = MappingProxyType({}),
        *,
        processes: Sequence[str] = ("web", "worker", "watcher"),
        backing: Collection[str] = ("mongo", "redis", "emulator"),
        quiet: bool = False,
        port: int = 0,
        webs: int = 1,
        database: str = "imagegw",
        emulator_seconds: float = 2.0,
        procfile: Path = ROOT / "Procfile",
        choose_port: Callable[[], int] = free_port,
    ) -> None:
        self._is_temporary = data_dir is None
        self.data_dir = (data_dir or Path(tempfile.mkdtemp(prefix="imagegw-"))).resolve()
        self.env: dict[str, str] = {**(os.environ if env is None else env), **overrides}
        self.embedded: set[str] = set()
        self._processes, self._backing, self._procfile = processes, backing, procfile
        self._port, self._webs, self._choose_port = port, webs, choose_port
        self._database, self._emulator_seconds = database, emulator_seconds
        self._children: dict[str, Child] = {}
        self._backing_names: list[str] = []
        self._urls: dict[str, str] = {}
        self._printer = None if quiet else LogPrinter()
        self._spawner: Spawner | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def base_urls(self) -> list[str]:
        """The address of each web process, such as `http://127.0.0.1:5000`."""
        return list(self._urls.values())

    @property
    def base_url(self) -> str:
        return self._urls["web"]

    @property
    def mongo_uri(self) -> str:
        return self.env["MONGODB_URI"]

    @property
    def redis_url(self) -> str:
        return self.env["REDIS_URL"]

    @property
    def emulator_url(self) -> str | None:
        return f"https://{self.env['FAL_RUN_HOST']}" if "emulator" in self._children else None

    @property
    def bundle(self) -> str | None:
        """The certificate file with which the emulator is trusted."""
        return self.env["SSL_CERT_FILE"] if "emulator" in self._children else None

    @property
    def names(self) -> list[str]:
        """The processes as they were started: mongo, redis, emulator, web (web2, web3 ...), worker, watcher."""
        return list(self._children)

    def child(self, name: str) -> Child:
        return self._children[name]

    def process(self, name: str) -> subprocess.Popen[bytes]:
        return self._children[name].process

    def pids(self, name: str) -> list[int]:
        """Return the live processes of one name, those it started itself included; empty once it has ended."""
        return self._children[name].pids()

    def log(self, name: str) -> str:
        """Return what a process has written since the stack began."""
        return self._children[name].log()

    def kill(self, name: str, sig: int = signal.SIGKILL) -> None:
        """Signal a process. SIGKILL (waits for the end), SIGSTOP, SIGCONT reach all its processes, others the first."""
        self._children[name].kill(sig)

    def start(self, name: str) -> None:
        """Start a process that has ended, on the port it had, and wait until it is ready."""
        self._children[name].start()
        self._children[name].wait_until_ready(READY_TIMEOUT_S)

    def restart(self, name: str) -> None:
        """End a process as an operator would (SIGTERM, then SIGKILL) and start it again."""
        self._end([name], SERVICE_GRACE_S)
        self.start(name)

    def stop(self) -> None:
        """End everything, the service's processes first: their last writes still find the stores. May be repeated."""
        services = [name for name in self._children if name not in self._backing_names]
        try:
            self._end(services, SERVICE_GRACE_S)
            self._end(self._backing_names, BACKING_GRACE_S)
        finally:  # A second Ctrl-C does not wait.
            for child in self._children.values():
                child.wait_until_ended(0)
            self._release()

    def _end(self, names: Sequence[str], grace_s: float) -> None:
        children = [self._children[name] for name in names if self._children[name].is_running]
        for child in children:
            child.kill(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        for child in children:
            child.wait_until_ended(max(0.0, deadline - time.monotonic()))

    def _release(self) -> None:
        if self._printer:
            self._printer.close()
        if self._spawner:
            self._spawner.close()
            self._spawner = None
        if self._lock:
            self._lock.close()
        if self.data_dir.exists():
            for read in self.readers:
                read(self)
        if self._is_temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _start_all(self) -> None:
        self._open_data_dir()
        self._complete_env()
        # Read before anything runs: a mistake in it must not cost a start.
        commands = read_procfile(self._procfile.read_text()) if self._processes else {}
        self._start_backing()
        self._start_services(commands)

    def _open_data_dir(self) -> None:
        (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self.data_dir)
        self._spawner = Spawner(self._lock.fileno())
        for old in (self.data_dir / "logs").glob("*.log"):
            old.replace(old.with_suffix(".log.1"))

    def _complete_env(self) -> None:
        self.env["DATA_DIR"] = str(self.data_dir)
        self.env["PYTHONUNBUFFERED"] = "1"
        self.env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), self.env.get("PYTHONPATH"))))
        # Receivers of webhooks that one tries out are on this machine.
        for name, value in {"WEBHOOK_ALLOW_HTTP": "true", "WEBHOOK_PRIVATE_HOSTS": "localhost,127.0.0.1,::1"}.items():
            self.env.setdefault(name, value)
        if not self.env.get("STORAGE_URL"):
            (self.data_dir / "storage").mkdir(exist_ok=True)
            self.env["STORAGE_URL"] = (self.data_dir / "storage").as_uri()
        if not self.env.get("RECEIPTS_DIR"):
            self.env["RECEIPTS_DIR"] = str(self.data_dir / "receipts")
        if not self.env.get("JWT_SECRET"):
            self.env["JWT_SECRET"] = kept_secret(self.data_dir / "jwt_secret")

    def _start_backing(self) -> None:
        parts = missing(self.env, self.data_dir, database=self._database, emulator_seconds=self._emulator_seconds)
        parts = [part for part in parts if part.name in self._backing]
        ports = {part.name: self._choose_port() for part in parts}
        for part in parts:  # All at once, then wait for each: the start takes as long as the slowest.
            self._backing_names.append(part.name)
            self._add(part.name, part.command(ports[part.name]), ready=part.ready).start()
        for part in parts:
            self._wait_for_backing(part, ports[part.name])

    def _wait_for_backing(self, part: Backing, port: int, attempts: int = 4) -> None:
        child = self._children[part.name]
        try:
            child.wait_until_ready(READY_TIMEOUT_S)
        except StackError:
            if attempts == 0 or not PORT_TAKEN.search(child.log()):
                raise
            port = self._choose_port()
            self._add(part.name, part.command(port), ready=part.ready).start()
            self._wait_for_backing(part, port, attempts - 1)
            return
        if child.greeting:
            self.env.update(part.settings(port, child.greeting))
        if part.is_embedded:
            self.embedded.add(part.name)

    def _start_services(self, commands: Mapping[str, Sequence[str]]) -> None:
        for process in self._processes:
            if process not in commands:
                raise StackError(f"the Procfile has no {process!r}")
            for name in [process, *(f"web{i}" for i in range(2, self._webs + 1) if process == "web")]:
                self._add_service(name, commands[process]).start()
        for name in self._children:
            self._children[name].wait_until_ready(READY_TIMEOUT_S)
        if self._lock and "web" in self._urls:  # Who comes to this folder too is told where it is used.
            self._lock.write(self.base_url)
            self._lock.flush()

    def _add_service(self, name: str, command: Sequence[str]) -> Child:
        if not name.startswith("web"):
            return self._add(name, command)
        host = self.env.get("HOST") or "127.0.0.1"
        port = self._port if name == "web" and self._port else self._choose_port()
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        self._urls[name] = f"http://{reachable}:{port}"
        if name == "web":
            # Workers make links to pictures too, in the events they send.
            self.env["PORT"] = str(port)
        return self._add(name, command, ready=f"{self._urls[name]}/readyz", env={"HOST": host, "PORT": str(port)})

    def _add(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready: re.Pattern[str] | str | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Child:
        assert self._spawner  # noqa: S101 - made before anything is added
        log_path = self.data_dir / "logs" / f"{name}.log"
        if self._printer and not isinstance(ready, re.Pattern):
            self._printer.follow(name, log_path)
        self._children[name] = Child(
            name,
            command,
            env={**self.env, **env},
            log_path=log_path,
            spawner=self._spawner,
            ready=ready if isinstance(ready, re.Pattern) else None,
            answers=partial(answers_ok, ready) if isinstance(ready, str) else None,
        )
        return self._children[name]
