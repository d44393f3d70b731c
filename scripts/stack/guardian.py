"""End the sessions a parent named once the parent is gone, however it died.

Run as a program by `Spawner`: each line on stdin is `+<session>` or `-<session>`. End of input means that the parent
has ended, by `kill -9` too. Must import nothing but the standard library: it starts before everything else and
outlives it.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

GRACE_S = 3.0
POLL_S = 0.02


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
        # The name in parentheses may itself hold spaces and parentheses; state, ppid, pgrp and session follow the
        # last one.
        state, _parent, _group, found = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return False
    return state not in "ZX" and int(found) == session


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
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
    main()
