"""The verbs of a checkout, run in a copy of it; and what the scripts stand on."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

needs_git = pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what git has or would take, with the installed dependencies of the original."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folder = tmp_path / "a checkout"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@needs_git
def test_the_demo_ends_with_the_path_of_a_picture_and_leaves_nothing_running(copy: Path) -> None:
    command = [str(copy / "scripts" / "demo"), "a red bicycle"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(copy)}

    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=40, check=False)

    assert done.returncode == 0, done.stderr
    picture = Path(done.stdout.splitlines()[-1])
    assert picture.is_relative_to(copy)
    with Image.open(picture) as image:
        image.load()
        assert min(image.size) >= 512
    assert "a red bicycle" in done.stdout
    assert picture.parent == copy.resolve() / "var/pictures"
    assert not list(copy.glob("var/demo-*"))
    assert not processes_of(copy)


@needs_git
def test_the_demo_of_a_model_that_needs_more_than_a_prompt_says_so_and_fails(copy: Path) -> None:
    command = [str(copy / "scripts" / "demo"), "--model", "face-swap"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(copy)}

    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=40, check=False)

    assert done.returncode == 1
    assert "base_image_url" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in copy.glob("var/demo-*")] == ["demo-failed"]
    assert not processes_of(copy)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK)))
def test_every_script_says_what_it_is_for_and_does_nothing_else(name: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    done = subprocess.run([ROOT / "scripts" / name, "--help"], env=environment, capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    # `imagegen` and `python -m app` have helps of their own, which name all their commands.
    assert ("Commands:" in done.stdout) if name in ("imagegen", "operator") else (f"scripts/{name}" in done.stdout)
    assert "set -euo" not in done.stdout


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of live processes that name the folder."""
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in line]


def test_no_script_imports_a_test() -> None:
    nodes = [node for path in (ROOT / "scripts").rglob("*.py") for node in ast.walk(ast.parse(path.read_text(), str(path)))]
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}

    assert "scripts.stack.stack" in named
    assert not {name for name in named if name.partition(".")[0] == "tests"}
