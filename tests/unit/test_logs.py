"""What a line of the log looks like when somebody else's words are in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

PROGRAM = """
import json, logging, sys
from app.config import Settings
from app.logs import configure_logging

configure_logging(Settings(log_format=sys.argv[1]), process="web")
words = json.loads(sys.argv[2])
password = "hunter2-hunter2"
logging.getLogger("http").info("GET %s 200", words, extra={"reason": words})
try:
    raise ValueError(words)
except ValueError:
    logging.getLogger("http").exception("unhandled error")
"""
FORGED = "/x\r\n2026-01-01T00:00:00Z [error] forged\x1b[2K\u2028\u202e\x85\x00 end"


def logged(kind: str, words: str) -> list[str]:
    """Return the lines that a process writes which meets these words."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, json.dumps(words)], capture_output=True, timeout=60, check=True, cwd=sys.path[0] or None
    )
    return ran.stdout.decode().split("\n")[:-1]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_nobodys_words_begin_a_line_of_their_own_or_move_the_cursor(kind: str) -> None:
    lines = logged(kind, FORGED)

    assert not any(line.lstrip().startswith("2026-01-01") for line in lines)
    assert not any(char in line for line in lines for char in "\r\x1b\u2028\u202e\x85\x00")
    assert "GET /x\\r\\n2026-01-01" in lines[0]


def test_a_trace_in_text_shows_no_variables_and_stands_apart_from_the_lines_of_the_log() -> None:
    lines = logged("text", FORGED)

    trace = lines[2:]
    assert "hunter2" not in "\n".join(lines)
    assert trace[0] == "    | Traceback (most recent call last):"
    assert all(line.startswith("    | ") for line in trace)


def test_a_line_of_json_is_one_object_with_the_trace_in_it() -> None:
    objects: list[Mapping[str, Any]] = [json.loads(line) for line in logged("json", FORGED)]

    assert [line["event"] for line in objects] == [f"GET {FORGED} 200", "unhandled error"]
    assert "ValueError" in objects[1]["exception"]
    assert "hunter2" not in json.dumps(objects)
    assert logging.getLogger("http").name == objects[0]["logger"]
