"""A sign of life for process managers: workers and watcher have no port that could be asked.

Each touches `ALIVE_FILE` whenever it goes on: a worker when it takes a task or has waited in vain for one, the watcher with each sweep,
the idle one too. A store that is away stops neither, as no restart would bring it back. `python -m workers.alive 60` ends with 0 where
that was at most 60 seconds ago, else with 1 and the reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path


def show(file: Path | None) -> None:
    """Touch the file; without one, or where it cannot be written, go on: work is worth more than its sign."""
    if file is not None:
        with contextlib.suppress(OSError):
            file.touch()


def silent_s(file: Path) -> float:
    """Return how many seconds ago the file was touched. Raises OSError where it cannot be looked at."""
    return time.time() - file.stat().st_mtime


def main(arguments: list[str], file: str | None) -> int:
    """Return the exit status: 0 well, 1 not, 2 where the call or `ALIVE_FILE` is missing something."""
    if len(arguments) != 1 or not arguments[0].isdigit() or not file:
        print("usage: ALIVE_FILE=<file> python -m workers.alive <seconds>", file=sys.stderr)  # noqa: T201 - for the operator
        return 2
    try:
        silent = silent_s(Path(file))
    except OSError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - as above
        return 1
    if silent > int(arguments[0]):
        print(f"no sign of life for {silent:.0f} s", file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], os.environ.get("ALIVE_FILE")))
