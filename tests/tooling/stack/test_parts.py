"""What the stack is made of: the small files it reads and writes, its ports, its patience with a process that dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.stack.dev import delay_before
from scripts.stack.files import kept_secret, read_env_file, read_procfile
from scripts.stack.ports import free_port, is_free


@pytest.mark.parametrize("text", ["web python -m app", "web:", "web: a\nweb: b"])
def test_a_procfile_line_that_is_no_new_process_is_refused_by_its_number(text: str) -> None:
    with pytest.raises(ValueError, match=f"Procfile line {len(text.splitlines())}"):
        read_procfile(text)


def test_a_procfile_command_is_split_as_a_shell_does() -> None:
    commands = read_procfile("# the site\n\nfront-end: node 'my server.js' --port 1\n")

    assert commands == {"front-end": ["node", "my server.js", "--port", "1"]}


def test_an_env_file_is_read_as_compose_does() -> None:
    text = "# a comment\nexport A=1\nB=2\nC='x # y'\nD=\"q\"\nE=v # why\nF=\nG=a=b#c\n"

    assert read_env_file(text) == {"A": "1", "B": "2", "C": "x # y", "D": "q", "E": "v", "G": "a=b#c"}


def test_a_bad_env_line_is_named_without_showing_what_may_be_a_secret() -> None:
    with pytest.raises(ValueError, match=r"\.env line 2: not NAME=value$"):
        read_env_file("A=1\nhunter2\n")


def test_a_secret_file_left_empty_by_a_crash_is_filled(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()

    secret = kept_secret(tmp_path / "secret")

    assert len(secret) >= 32
    assert kept_secret(tmp_path / "secret") == secret


def test_a_free_port_lies_below_those_of_outgoing_connections() -> None:
    port = free_port()

    assert is_free(port)
    assert 20_000 <= port < 30_000


def test_restarts_wait_ever_longer_up_to_half_a_minute() -> None:
    delays = [delay_before(attempt) for attempt in range(7)]

    assert delays == [1, 2, 4, 8, 16, 30, 30]
