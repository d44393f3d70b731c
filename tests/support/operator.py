"""The operator's commands as a shell sees them, run in this process: to start Python and import everything takes them a second each."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Mapping
from unittest import mock

from app.operator import running
from app.operator.cli import main

COLUMNS = 200


def run_command(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Return what `python -m app` with these arguments ends with and prints. `environment` is all it is told."""
    printed, told = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict("os.environ", environment, clear=True),
        mock.patch.object(sys, "argv", ["app", *arguments]),
        mock.patch.object(running.console, "_width", COLUMNS),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(told),
    ):
        status = main()
    return subprocess.CompletedProcess(arguments, status, printed.getvalue(), told.getvalue())
