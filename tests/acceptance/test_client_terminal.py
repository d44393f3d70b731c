"""`imagegen` in a real terminal of 80 columns: what somebody in front of it sees."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import Service, a_prompt, wait_until
from tests.acceptance.terminal import Terminal
from tests.support.proxies import Network

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

COLUMNS, LINES = 80, 40
WITHIN_S = 60.0
JOB = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Screen:
    """A terminal with a shell in it, as tmux draws it."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._tmux = ["tmux", "-L", f"test-{uuid.uuid4().hex[:8]}", "-f", "/dev/null"]
        environment = terminal.environment | {
            "TERM": "xterm-256color",
            "PS1": "$ ",
            "LC_ALL": "C.UTF-8",
            "TMUX_TMPDIR": str(terminal.folder.parent),
        }
        self._environment = environment
        command = [*self._tmux, "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "bash --norc --noprofile"]
        subprocess.run(command, cwd=terminal.folder, env=environment, check=True, timeout=WITHIN_S)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], env=self._environment, check=False, timeout=WITHIN_S)

    def type(self, *arguments: str) -> None:
        """Start the command; the line itself is wiped, and its exit code follows what it says."""
        command = shlex.join([sys.executable, "-P", "-m", "imagegen", *arguments])
        self.keys(f"clear; {command}; echo ended with $?", "Enter")

    def keys(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *keys], env=self._environment, check=True, timeout=WITHIN_S)

    def text(self) -> str:
        """Return what is to be seen, lines that the terminal has broken as it shows them."""
        shown = subprocess.run(
            [*self._tmux, "capture-pane", "-p"], env=self._environment, capture_output=True, text=True, check=True, timeout=WITHIN_S
        )
        return shown.stdout

    def until(self, pattern: str) -> str:
        """Return the screen once it shows something."""

        def shown() -> str | None:
            text = self.text()
            return text if re.search(pattern, text) else None

        return wait_until(shown, WITHIN_S, f"{pattern!r} on the screen")


@pytest.fixture
def terminal(service: Service, tmp_path: Path) -> Terminal:
    return Terminal(service, tmp_path)


@pytest.fixture
def screen(terminal: Terminal) -> Iterator[Screen]:
    screen = Screen(terminal)
    yield screen
    screen.close()


def test_a_batch_shows_how_many_are_done_and_keeps_each_picture_as_it_comes(terminal: Terminal, screen: Screen) -> None:
    terminal.service.emulator.settings(seconds=0.1)
    bad = f"{a_prompt()} [emulator: fail=content_policy]"
    slow = f"{a_prompt()} [emulator: seconds=8]"
    (terminal.folder / "prompts.csv").write_text(f"prompt,name\na cat,cat\n{slow},slow\n{bad},bad\n")

    screen.type("batch", "prompts.csv", "--model", "flux-pro", "-o", "{name}")
    during = screen.until(r'(?sm)(?=.*^cat\.jpg$)(?=.*^Row 3 ")(?=.*1 done, 1 failed, 1 running .* \d+% 0:00:\d\d)')

    assert terminal.pictures() == ["cat.jpg", "prompts.csv"]
    assert "slow.jpg" not in during
    ended = screen.until("ended with 6")
    assert re.search("^slow.jpg$", ended, re.MULTILINE)
    assert "━" not in ended
    assert "2 images, 0.1 USD" in ended


def test_jobs_are_a_line_each_with_their_whole_ids(terminal: Terminal, screen: Screen) -> None:
    for _ in range(3):
        terminal.run("generate", "flux-pro", a_prompt(), "--async")

    screen.type("jobs", "--limit", "3")
    shown = screen.until("ended with 0").split("Not shown")[0].splitlines()

    assert [bool(JOB.search(line)) for line in shown[1:4]] == [True] * 3
    assert len([line for line in shown if line.strip()]) == 4
    assert all("  a red" in line for line in shown[1:4])


def test_interrupted_and_resumed(terminal: Terminal, screen: Screen) -> None:
    terminal.service.emulator.settings(seconds=3)
    prompt = a_prompt()
    screen.type("generate", "flux-pro", prompt, "-o", "one")
    screen.until("0:00:01")

    screen.keys("C-c")
    told = screen.until("ended with 5")
    screen.type("resume")

    assert "Interrupted; the order goes on at the server" in " ".join(told.split())
    assert re.search("^one.jpg$", screen.until("ended with 0"), re.MULTILINE)
    assert len(terminal.service.posts(prompt)) == 1


def test_killed_and_resumed(terminal: Terminal, screen: Screen) -> None:
    terminal.service.emulator.settings(seconds=3)
    prompt = a_prompt()
    screen.type("generate", "flux-pro", prompt, "-o", "one")
    terminal.accepted_order()

    screen.keys("C-z")
    screen.until("Stopped")
    screen.keys("kill -9 %1; clear", "Enter")
    screen.type("resume")

    assert re.search("^one.jpg$", screen.until("ended with 0"), re.MULTILINE)
    assert len(terminal.service.posts(prompt)) == 1


def test_a_server_that_goes_away_and_comes_back_is_told_and_waited_for(terminal: Terminal, screen: Screen) -> None:
    terminal.service.emulator.settings(seconds=3)
    host, port = terminal.service.stack.base_url.removeprefix("http://").split(":")
    with Network() as network:
        way = network.add("client", "web", (host, int(port)))
        screen.type("generate", "flux-pro", a_prompt(), "-o", "one", "--server", f"http://127.0.0.1:{way.port}")
        terminal.accepted_order()

        network.hang_up(way)
        screen.until(r"(?s)(did\s+not\s+answer|cannot\s+be\s+reached).*Trying\s+again\s+for\s+60\s+s")
        network.heal()
        back = screen.until("ended with 0")

    assert "answers again" in " ".join(back.split())
    assert re.search("^one.jpg$", back, re.MULTILINE)


def test_without_a_server_it_is_said_at_once(screen: Screen) -> None:
    screen.type("models", "--server", "http://127.0.0.1:9")
    shown = " ".join(screen.until(r"Trying\s+again\s+for\s+60\s+s").split())
    screen.keys("C-c")

    assert "http://127.0.0.1:9 cannot be reached" in shown
    assert "start it with scripts/dev" in shown
    screen.until("ended with 130")


def test_no_help_is_wider_than_the_terminal_or_cut_off(screen: Screen) -> None:
    screen.type("--help")

    shown = screen.until("ended with 0")

    assert "..." not in shown.partition("Commands:")[2]
    assert {"generate", "batch", "retry", "doctor"} <= set(re.findall(r"^  ([\w-]+)  ", shown, re.MULTILINE))
