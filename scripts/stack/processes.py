"""Processes that never outlive the one that started them: each leads a session, its output goes to a log file, it ends as a whole.

Run as a program, as `Spawner` does, this is the guardian: it imports nothing but the standard library, starts before everything else
and outlives it.
"""

import contextlib
import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

GRACE_S = 3.0
POLL_S = 0.02
#: A connection is an open file; the limit of a shell is often 1,024.
OPEN_FILES = 20_000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# No process can pass these on to its own children, so they go to every process of the session.
_FOR_THE_WHOLE_SESSION = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)


class StackError(Exception):
    """The stack, or a process of it, cannot be started; the text says which, why, and the last lines of its log."""


def allow_open_files(wanted: int = OPEN_FILES) -> int:
    """Raise this process's own limit, which those it starts inherit, as far as the system lets it; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(soft, allowed)


class Spawner:
    """Start processes that end when this one does, by `kill -9` too.

    Two nets: the kernel's parent-death signal for each child, and a guardian process for what the children start themselves.
    `lock_fd` (a lock on the data folder) is shared with the guardian, so it is free only once nothing is left running.
    """

    def __init__(self, lock_fd: int) -> None:
        # The parent-death signal fires when the THREAD that started a child ends, so one thread that lives as long starts all.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
        self._guardian = subprocess.Popen(
            [sys.executable, "-S", __file__],
            stdin=subprocess.PIPE,
            pass_fds=(lock_fd,),
            start_new_session=True,
            text=True,
        )

    def spawn(self, command: Sequence[str], *, env: Mapping[str, str], log_path: Path) -> subprocess.Popen[bytes]:
        process = self._thread.submit(_popen, command, env, log_path).result()
        self._tell(f"+{process.pid}")
        return process

    def forget(self, session: int) -> None:
        """Take an ended session from the guardian, before its number can name another one."""
        self._tell(f"-{session}")

    def close(self) -> None:
        if self._guardian.stdin:
            self._guardian.stdin.close()
        self._guardian.wait()
        self._thread.shutdown()

    def _tell(self, line: str) -> None:
        if self._guardian.stdin:
            with contextlib.suppress(BrokenPipeError):
                print(line, file=self._guardian.stdin, flush=True)


def _popen(command: Sequence[str], env: Mapping[str, str], log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("ab") as log:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - two system calls, no lock
        )


def die_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Ask the kernel, in a process that was just forked, to end it with its parent, by that signal."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # It died before the call above.
            os._exit(1)


class Child:
    """A named process that can be started, killed and started again with the same command and environment.

    Ready means: `ready` is found in what it wrote since its last start, and `answers` holds. The match is kept in `greeting`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log_path: Path,
        spawner: Spawner,
        ready: re.Pattern[str] | None = None,
        answers: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.greeting: re.Match[str] | None = None
        self._command, self._env, self._spawner = list(command), dict(env), spawner
        self._ready, self._answers = ready, answers
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise StackError(f"{self.name} was not started")
        return self._process

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process unless it runs. Does not wait: see `wait_until_ready`."""
        if self.is_running:
            return
        self._end_session()
        self._log_offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._process = self._spawner.spawn(self._command, env=self._env, log_path=self.log_path)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return once the process is ready; raise StackError with its last lines when it ends or `timeout_s` passes."""
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            if not self.is_running:
                raise StackError(f"{self.name} ended with status {self.process.returncode}.\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {timeout_s:.0f} s.\n{self.last_lines()}")
            time.sleep(POLL_S)

    def pids(self) -> list[int]:
        """Return the live processes of this child: itself and what it started."""
        return session_pids(self.process.pid) if self._process else []

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal. SIGKILL, SIGSTOP and SIGCONT reach all its processes, others only the first.

        After SIGKILL every process is gone when this returns.
        """
        if number in _FOR_THE_WHOLE_SESSION:
            signal_sessions([self.process.pid], number)
        elif self.is_running:
            self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()
            self._end_session()

    def wait_until_ended(self, timeout_s: float) -> None:
        """Wait for a process that was asked to end; after `timeout_s` kill it, and in any case what it left behind."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self._end_session()

    def log(self, *, start: int = 0) -> str:
        """Return all it wrote so far, over all its starts, from the byte `start` on."""
        return self.log_path.read_bytes()[start:].decode(errors="replace") if self.log_path.exists() else ""

    def last_lines(self, count: int = 20) -> str:
        lines = self.log(start=self._log_offset).splitlines()[-count:]
        return "\n".join(f"  {self.name} | {line}" for line in lines) or f"  {self.name} wrote nothing."

    def _end_session(self) -> None:
        if self._process is None:
            return
        kill_sessions([self._process.pid])
        self._process.wait()
        self._spawner.forget(self._process.pid)

    def _is_ready(self) -> bool:
        if not self.is_running:
            return False
        if self._ready:
            self.greeting = self._ready.search(self.log(start=self._log_offset))
            if self.greeting is None:
                return False
        return self._answers is None or self._answers()


def session_pids(session: int) -> list[int]:
    """Return the pids of a session's live processes, leader included; zombies do not count.

    Where there is no `/proc` (macOS) only the leader is seen.
    """
    processes = Path("/proc")
    if not (processes / "self" / "stat").exists():
        return [session] if _exists(session) else []
    return sorted(int(entry.name) for entry in processes.iterdir() if entry.name.isdigit() and _is_member(entry, session))


def signal_sessions(sessions: Iterable[int], number: int) -> None:
    """Send a signal to every process of the sessions; a process that has just ended is no error."""
    for session in sessions:
        for pid in session_pids(session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def kill_sessions(sessions: Iterable[int], *, timeout_s: float = 5.0) -> None:
    """Kill every process of the sessions and wait until they are gone, at most `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    remaining = set(sessions)
    # Repeated, as a process may have forked between the listing and the signal.
    while remaining and time.monotonic() < deadline:
        signal_sessions(remaining, signal.SIGKILL)
        time.sleep(POLL_S)
        remaining = {session for session in remaining if session_pids(session)}


def _is_member(entry: Path, session: int) -> bool:
    try:
        # The name in parentheses may itself hold spaces and parentheses; state, ppid, pgrp and session follow the last one.
        state, _parent, _group, found = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return False
    return state not in "ZX" and int(found) == session


def _exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def guard() -> None:
    """End the sessions a parent named on stdin, `+<session>` or `-<session>` a line, once the input has ended: however the parent did."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        change = sessions.add if line.startswith("+") else sessions.discard
        change(int(line[1:]))
    signal_sessions(sessions, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and any(session_pids(session) for session in sessions):
        time.sleep(POLL_S)
    kill_sessions(sessions)


if __name__ == "__main__":
    guard()
