"""What a person sees: text in colours, and the processes' log lines with a coloured prefix."""

import os
import sys
import threading
from pathlib import Path
from typing import IO

_COLOURS = (36, 33, 35, 32, 34, 31)  # cyan, yellow, magenta, green, blue, red
_POLL_S = 0.05


class LogPrinter:
    """Copy what is appended to log files to standard output, one whole line at a time.

    Reads the files, so a process never waits for a slow terminal.
    """

    def __init__(self) -> None:
        self._followed: dict[str, IO[str]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-printer", daemon=True)
        self._thread.start()

    def follow(self, name: str, path: Path) -> None:
        if name not in self._followed:
            path.touch()
            self._followed[name] = path.open(errors="replace")

    def close(self) -> None:
        """Print what is left and stop. May be repeated."""
        self._closing.set()
        self._thread.join()
        for file in self._followed.values():
            file.close()
        self._followed.clear()

    def _run(self) -> None:
        is_closing = False
        while not is_closing:
            is_closing = self._closing.wait(_POLL_S)
            for position, (name, file) in enumerate(list(self._followed.items())):
                while line := _whole_line(file):
                    print(f"{paint(f'{name:<8}|', _COLOURS[position % len(_COLOURS)])} {line.rstrip()}", flush=True)


def _whole_line(file: IO[str]) -> str:
    start = file.tell()
    line = file.readline()
    if line.endswith("\n"):
        return line
    file.seek(start)
    return ""


def paint(text: str, colour: int) -> str:
    """Colour a text with an ANSI code where standard output is a terminal and NO_COLOR is not set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
